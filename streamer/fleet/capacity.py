"""Which of the wanted streams a worker runs: pure policy.

Higher priorities first; among equals those that run stay, then by id. What does not fit waits, each with a sentence
that says for what.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

ASSUMED_FPS = 25.0
"""The rate of a stream of which nothing is known yet."""
TOLERANCE = 1.1
"""Running streams keep their places until this much more than `max_fps` is measured: rates waver."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What one stream, that is not paused, asks for. `host` None is no connection to another machine."""

    stream: str
    rate_fps: float
    priority: int = 0
    host: str | None = None


@dataclass(frozen=True, slots=True)
class Share:
    """Who runs, and who waits, with the reason as a sentence. Every demand is in one of the two."""

    run: frozenset[str]
    waiting: dict[str, str]


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a worker carries; 0 is no limit."""

    max_streams: int = 0
    max_fps: float = 0.0
    host_streams: int = 0

    def share(self, demands: Iterable[Demand], running: Collection[str]) -> Share:
        """Who of `demands` runs, when `running` do now."""
        held = frozenset(running)
        load = _Load(self)
        waiting: dict[str, str] = {}
        for demand in sorted(demands, key=lambda one: (-one.priority, one.stream not in held, one.stream)):
            reason = load.refuses(demand, running=demand.stream in held)
            if reason is None:
                load.add(demand)
            else:
                waiting[demand.stream] = reason
        return Share(frozenset(load.run), waiting)


@dataclass(slots=True)
class _Load:
    """What is given out so far."""

    capacity: Capacity
    run: set[str] = field(default_factory=set)
    fps: float = 0.0
    hosts: Counter[str] = field(default_factory=Counter)

    def refuses(self, demand: Demand, *, running: bool) -> str | None:
        """Why there is no place for `demand`; None where there is."""
        limits = self.capacity
        if limits.max_streams and len(self.run) >= limits.max_streams:
            return f"waiting for capacity: this worker carries {len(self.run)} of at most {limits.max_streams} streams"
        if limits.max_fps and demand.rate_fps > limits.max_fps * (TOLERANCE if running else 1.0):
            return (
                f"waiting for capacity: it has {demand.rate_fps:g} frames/s and this worker carries at most "
                f"{limits.max_fps:g}; set a lower sample_fps or raise fleet.max_fps"
            )
        if limits.max_fps and self.fps + demand.rate_fps > limits.max_fps * (TOLERANCE if running else 1.0):
            return (
                f"waiting for capacity: this worker carries {self.fps:g} of at most {limits.max_fps:g} frames/s "
                f"and it needs {demand.rate_fps:g}"
            )
        if limits.host_streams and demand.host and self.hosts[demand.host] >= limits.host_streams:
            return (
                f"waiting for its host: this worker has the most connections to it that it may ({limits.host_streams})"
            )
        return None

    def add(self, demand: Demand) -> None:
        self.run.add(demand.stream)
        self.fps += demand.rate_fps
        if demand.host:
            self.hosts[demand.host] += 1


def rate_of(sample_fps: float | None, measured_fps: float | None) -> float:
    """Frames a second that a stream costs: what is asked for, at most what it was last measured to give."""
    known = [fps for fps in (sample_fps, measured_fps) if fps is not None and fps > 0]
    return min(known) if known else ASSUMED_FPS
