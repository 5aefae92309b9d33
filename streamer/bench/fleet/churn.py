"""Workers come, leave and die at random while streams run: one owner at a time, in order, all running at the end."""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import asdict
from typing import Any

from streamer.bench.checker import check_live
from streamer.bench.fleet.ground import LIVE_FPS, Ground
from streamer.bench.fleet.site import Site
from streamer.bench.fleet.view import View

NAMES = ("one", "two", "three")
_AT_END_S = 120.0


def run(
    ground: Ground,
    *,
    minutes: float = 10.0,
    n_streams: int = 24,
    pause_s: tuple[float, float] = (4.0, 15.0),
    session_timeout_s: float = 10.0,
    seed: int = 0,
) -> dict[str, Any]:
    """Something happens to one of three workers every few seconds; the last one is never taken away."""
    rng = random.Random(seed)  # noqa: S311  # to be the same again
    camera = ground.camera()
    done: Counter[str] = Counter()
    with ground.site("churn", [camera], {"fleet.session_timeout_s": session_timeout_s}) as site:
        streams = site.names("camera", n_streams)
        for name in NAMES:
            site.start(name)
        site.define(dict.fromkeys(streams, camera))
        view = site.view()
        site.until_live(view, streams)
        until_s = time.monotonic() + 60 * minutes
        while time.monotonic() < until_s:
            _read_on(view, rng.uniform(*pause_s))
            what = _happen(site, rng)
            done[what.partition(" ")[0]] += 1
            ground.tell(f"{what}: {len(site.running())} workers, {max(0.0, until_s - time.monotonic()):.0f} s left")
        ground.tell("waiting for every stream")
        at_end_s = site.until_live(view, streams, _AT_END_S)
        owners = Counter(view.owner(stream) for stream in streams)
        codes = site.stop_all()
        verdict = check_live(site.bus, site.prefix, keep=lambda stream: stream in streams)
    stopped_badly = {name: code for name, code in codes.items() if code > 0}
    return {
        "good": verdict.good and verdict.streams == n_streams and not stopped_badly,
        "minutes": minutes,
        "workers": len(NAMES),
        "streams": n_streams,
        "sample_fps": LIVE_FPS,
        "happened": dict(done),
        "all_live_after_s": round(at_end_s, 2),
        "owners_at_end": dict(owners),
        "seed": seed,
        "verdict": asdict(verdict),
    }


def _happen(site: Site, rng: random.Random) -> str:
    """Start one that is down, or stop or kill one that is up, unless it is the last."""
    down = [name for name in NAMES if not site.workers[name].running]
    up = [name for name in NAMES if name not in down]
    choices = [("start", name) for name in down]
    if len(up) > 1:
        choices += [(what, name) for name in up for what in ("stop", "kill")]
    what, name = rng.choice(choices)
    if what == "start":
        site.start(name)
    elif what == "stop":
        site.workers[name].stop()
    else:
        site.workers[name].kill()
    return f"{what} {name}"


def _read_on(view: View, duration_s: float) -> None:
    until_s = time.monotonic() + duration_s
    while time.monotonic() < until_s:
        view.look()
