"""How long live streams are without an owner after their worker was killed.

Measured from the moment of the SIGKILL to the broker's time of the first observation whose state is `restored`, on one
clock, for each stream of the dead worker that had a face. The bound is the session timeout, after which the broker
takes a silent worker for dead, and two seconds.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

import msgspec

from streamer.bench.checker import check_live
from streamer.bench.fleet.ground import LIVE_FPS, Ground, spread
from streamer.bench.fleet.site import Site
from streamer.bench.fleet.view import View
from streamer.bus.protocol import Incoming
from streamer.messages import Observation

NAMES = ("one", "two")
ALLOWED_S = 2.0
_OBSERVATIONS = 12
"""At 2 a second these take longer than the interval of snapshots."""
_PATIENCE_S = 60.0


@dataclass(slots=True)
class _Restored:
    """The first restored observation of each stream after a moment."""

    since_epochs: dict[str, int]
    at_s: dict[str, float]

    def hear(self, record: Incoming, value: msgspec.Struct) -> None:
        if not isinstance(value, Observation) or value.stream not in self.since_epochs:
            return
        if value.state == "restored" and value.epoch > self.since_epochs[value.stream]:
            self.at_s.setdefault(value.stream, record.time_s)


def run(
    ground: Ground,
    *,
    repeats: int = 10,
    n_streams: int = 8,
    session_timeout_s: float = 10.0,
    allowed_s: float = ALLOWED_S,
) -> dict[str, Any]:
    """Two workers in turn killed `repeats` times in all, each time until all of its streams are restored."""
    camera = ground.camera()
    rounds: list[dict[str, Any]] = []
    with ground.site("takeover", [camera], {"fleet.session_timeout_s": session_timeout_s}) as site:
        streams = site.names("camera", n_streams)
        for name in NAMES:
            site.start(name)
        site.define(dict.fromkeys(streams, camera))
        restored = _Restored({}, {})
        view = site.view(heard=restored.hear)
        for number in range(repeats):
            victim = NAMES[number % 2]
            _settle(site, view, streams)
            restored.since_epochs = {
                stream: view.statuses[stream].epoch for stream in streams if view.owner(stream) == victim
            }
            restored.at_s = {}
            killed_s = time.time()
            site.workers[victim].process.kill()
            site.until(view, lambda: len(restored.at_s) == len(restored.since_epochs), "all restored", _PATIENCE_S)
            times = [at_s - killed_s for at_s in restored.at_s.values()]
            rounds.append({"killed": victim, "streams": len(times), "restored_s": spread(times)})
            ground.tell(f"kill {number + 1} of {repeats}: {len(times)} streams restored within {max(times):.2f} s")
            site.workers[victim].wait()
            site.start(victim)
        site.stop_all()
        verdict = check_live(site.bus, site.prefix)
    slowest = spread([one["restored_s"]["max"] for one in rounds])
    bound_s = session_timeout_s + allowed_s
    return {
        "good": verdict.good and slowest["max"] <= bound_s,
        "bound_s": bound_s,
        "session_timeout_s": session_timeout_s,
        "slowest_stream_s": slowest,
        "sample_fps": LIVE_FPS,
        "measured": "from SIGKILL of the supervisor to the broker's time of the first restored observation",
        "verdict": asdict(verdict),
        "rounds": rounds,
    }


def _settle(site: Site, view: View, streams: list[str]) -> None:
    """Until every stream is live, each worker has some, and each has given a face, and a snapshot of it, since."""
    site.until(view, lambda: {view.owner(stream) for stream in streams} == set(NAMES), "streams on both", _PATIENCE_S)
    site.until_live(view, streams)
    seen = dict(view.n_observations)
    site.until(
        view,
        lambda: all(view.n_observations[one] > seen.get(one, 0) + _OBSERVATIONS for one in streams),
        "faces of every stream, and a snapshot of them",
        _PATIENCE_S,
    )
