"""Streams added and removed again and again: threads, file handles and memory return to where they were."""

from __future__ import annotations

import itertools
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from streamer.bench.checker import check_live
from streamer.bench.fleet.ground import Ground
from streamer.bench.fleet.memory import MemoryWatch
from streamer.bench.fleet.site import Site
from streamer.bench.fleet.view import View
from streamer.bench.fleet.workers import Footprint, WorkerProcess

WARM_UP_S = 15.0
"""Streams come and go for so long before the first look: what is loaded or connected once is by then."""
RSS_ALLOWED = 0.10
_HANDLES_ALLOWED = 2
_THREADS_ALLOWED = 1
_STILL_S = 20.0


def run(
    ground: Ground,
    *,
    n_cycles: int = 1000,
    at_once: int = 20,
    warm_up_s: float = WARM_UP_S,
    rss_allowed: float = RSS_ALLOWED,
) -> dict[str, Any]:
    """`n_cycles` streams added, seen live and removed, some at once, on one worker.

    `rss_allowed` is the share by which memory may have grown.
    """
    camera = ground.camera()
    rounds = max(1, round(n_cycles / at_once))
    settings = {"fleet.starts_per_s": 1000.0, "worker.streams_per_child": at_once}
    with ground.site("cycles", [camera], settings) as site:
        worker = site.start("one")
        view = site.view()
        warm_s = time.monotonic() + warm_up_s
        for number in itertools.count():
            _cycle(site, view, camera, [f"warm-{number}-{k}" for k in range(at_once)])
            if time.monotonic() > warm_s:
                break
        before = _still(worker)
        memory = MemoryWatch([worker])
        began_s = time.monotonic()
        for number in range(rounds):
            _cycle(site, view, camera, [f"round-{number}-{k}" for k in range(at_once)])
            memory.look()
            if number % 10 == 9:
                ground.tell(f"{(number + 1) * at_once} of {rounds * at_once}: {worker.footprint()}")
        took_s = time.monotonic() - began_s
        after = _still(worker, like=before)
        code = worker.stop()
        verdict = check_live(site.bus, site.prefix)
    flat = (
        after.threads <= before.threads + _THREADS_ALLOWED
        and after.handles <= before.handles + _HANDLES_ALLOWED
        and after.rss_bytes <= before.rss_bytes * (1 + rss_allowed)
    )
    return {
        "good": flat and verdict.good and code == 0,
        "cycles": rounds * at_once,
        "at_once": at_once,
        "took_s": round(took_s, 1),
        "before": asdict(before),
        "after": asdict(after),
        "rss_slope_mb_per_min": memory.slope_mb_per_min(),
        "verdict": asdict(verdict),
    }


def _cycle(site: Site, view: View, camera: Path, streams: list[str]) -> None:
    """Streams of new names come, give frames, and go."""
    site.define(dict.fromkeys(streams, camera))
    site.until_live(view, streams)
    site.remove(streams)
    site.until(view, lambda: all(view.state(stream) == "ended" for stream in streams), "all ended")


def _still(worker: WorkerProcess, like: Footprint | None = None) -> Footprint:
    """What the worker takes once its last threads are gone, at the latest after some seconds."""
    until_s = time.monotonic() + _STILL_S
    found = worker.footprint()
    while time.monotonic() < until_s:
        time.sleep(0.25)
        before, found = found, worker.footprint()
        calm = (found.threads, found.handles) == (before.threads, before.handles)
        if calm and (like is None or (found.threads <= like.threads and found.handles <= like.handles)):
            break
    return found
