"""The scenarios by name, and what `streamer bench live` makes of them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from streamer.bench.cameras import rtsp
from streamer.bench.fleet.ground import Ground
from streamer.bench.fleet.program import Scenario
from streamer.bench.live import flaps, page, soak
from streamer.bench.record import header
from streamer.errors import UsageError

SCENARIOS: Mapping[str, Scenario] = {
    "flaps": Scenario(flaps.run, repeats="times", seeded=True),
    "page": Scenario(page.run, minutes="minutes"),
    "soak": Scenario(soak.run, minutes="minutes", seeded=True),
}
_NEEDS_RTSP = frozenset(("flaps", "soak"))


def check(name: str) -> None:
    """Raise `UsageError` where a server is missing that the scenario needs."""
    if name in _NEEDS_RTSP and (reason := rtsp.missing()) is not None:
        raise UsageError(f"{reason}: this scenario's cameras are theirs, install them (docs/benchmarks.md says how)")


def run(name: str, folder: Path, clip: Path, arguments: Mapping[str, Any], tell: Any) -> dict[str, Any]:
    """One scenario's result behind the facts of the machine, on an embedded bus in `folder`; `good` is its verdict."""
    began_s = time.monotonic()
    ground = Ground(f"sqlite:///{folder}/bus.db", folder, clip, None, tell)
    found = SCENARIOS[name].run(ground, **arguments)
    return {**header(f"live-{name}"), "clip": clip.name, "wall_s": round(time.monotonic() - began_s, 1), **found}
