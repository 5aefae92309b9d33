"""What exactly-once costs: the same jobs through transactions, and through plain sends.

Both kinds in turn, in pairs that begin with the one and the other, each on a worker of this very process under a prefix
of its own. A first job has the models loaded; then the time runs from the others' submission to their last end.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from streamer.bench.fleet.ground import Ground, spread
from streamer.bench.fleet.site import Site
from streamer.bus.open import open_bus
from streamer.errors import StreamerError
from streamer.worker.children import Children
from streamer.worker.fleet_worker import FleetWorker
from streamer.worker.spools import Spools

BOUND = 0.10
_TIMEOUT_S = 600.0
_SETTINGS: Mapping[str, Any] = {"fleet.roles": ["jobs"], "fleet.job_slots": 2}


class _PlainChildren(Children):
    """Child processes that publish without transactions."""

    program = "streamer.bench.fleet.plain_child"


def run(ground: Ground, *, pairs: int = 5, n_jobs: int = 2, job_s: float = 40.0) -> dict[str, Any]:
    """Medians over the pairs; the cost is the share of throughput that transactions take."""
    recording = ground.recording(job_s)
    fps: dict[str, list[float]] = {"transactions": [], "plain": []}
    costs: list[float] = []
    for number in range(pairs):
        for kind in ("transactions", "plain") if number % 2 == 0 else ("plain", "transactions"):
            fps[kind].append(_once(ground, kind, recording, n_jobs))
        costs.append(1 - fps["transactions"][-1] / fps["plain"][-1])
        ground.tell(f"pair {number + 1} of {pairs}: {100 * costs[-1]:.1f} % ({ {k: v[-1] for k, v in fps.items()} })")
    cost = spread(costs)
    return {
        "good": cost["median"] <= BOUND,
        "bound": BOUND,
        "cost": cost,
        "fps": {kind: spread(values) for kind, values in fps.items()},
        "pairs": pairs,
        "jobs": n_jobs,
        "job_s": job_s,
        "checkpoint_s": 2.0,
    }


def _once(ground: Ground, kind: str, recording: Path, n_jobs: int) -> float:
    """Frames a second of one kind."""
    with ground.site(f"cost-{kind}", [recording], _SETTINGS) as site:
        bus = open_bus(site.config.bus, settings=site.config.topics)
        children = Children() if kind == "transactions" else _PlainChildren()
        with Spools(site.config.spool, "bench", enabled=True) as spools:
            worker = FleetWorker(site.config, bus, "bench", spools, children=children)
            thread = threading.Thread(target=worker.run, name="worker", daemon=True)
            thread.start()
            try:
                return _measure(site, ground.recording(1.0), recording, n_jobs)
            finally:
                worker.interrupt()
                thread.join(60)
                bus.close()


def _measure(site: Site, first: Path, recording: Path, n_jobs: int) -> float:
    view = site.view("jobs.status")
    site.until_over(view, site.submit({"first": first}, "first"), _TIMEOUT_S)
    jobs = site.submit({f"file-{k}": recording for k in range(n_jobs)})
    took_s = site.until_over(view, jobs, _TIMEOUT_S)
    ended = [view.jobs[job.job] for job in jobs]
    if any(status.state != "done" for status in ended):
        raise StreamerError(f"jobs did not end well: {[(one.state, one.message) for one in ended]}")
    return sum(status.analysed for status in ended) / took_s
