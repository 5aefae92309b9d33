"""What a scenario stands on: a bus, a clip, and room for its files."""

from __future__ import annotations

import statistics
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from streamer.bench.broker import Broker
from streamer.bench.clips import loop_clip
from streamer.bench.fleet.site import Settings, Site
from streamer.bench.fleet.videos import slowed

LIVE_FPS = 2
_NONE: Settings = {}


@dataclass(frozen=True, slots=True)
class Ground:
    """`broker` is there when it is the scenario's own, to be stopped at will. `tell` says how far it is."""

    bus_url: str
    folder: Path
    clip: Path
    broker: Broker | None = None
    tell: Callable[[str], None] = lambda _: None

    def site(self, name: str, videos: Iterable[Path], settings: Settings = _NONE) -> Site:
        """A fleet under a prefix that nobody else has; its topics are made."""
        unique = f"{name}-{uuid.uuid4().hex[:8]}"
        site = Site(self.bus_url, unique, self.folder / unique, videos, settings)
        site.make_topics()
        return site

    def undisturbed(self, videos: Iterable[Path], settings: Settings = _NONE) -> Site:
        """A fleet on an embedded bus of its own, where nobody does anything to it."""
        place = self.folder / f"undisturbed-{uuid.uuid4().hex[:8]}"
        place.mkdir()
        site = Site(f"sqlite:///{place}/bus.db", "undisturbed", place, videos, settings)
        site.make_topics()
        return site

    def camera(self) -> Path:
        """A video of twenty seconds at 2 frames a second, made once: what a camera would show."""
        target = self.folder / "camera.mp4"
        return target if target.exists() else slowed(self.clip, target, rate=LIVE_FPS, n_frames=40)

    def recording(self, duration_s: float) -> Path:
        """The clip repeated until it lasts so long, made once."""
        target = self.folder / f"recording-{duration_s:g}.mp4"
        if not target.exists():
            loop_clip(self.clip, target, duration_s)
        return target


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, extremes and number of what was measured."""
    return {
        "median": round(statistics.median(values), 4),
        "min": round(min(values), 4),
        "max": round(max(values), 4),
        "n": len(values),
    }
