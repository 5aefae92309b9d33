"""The broker gone, frozen and slow, while live streams and jobs go on: nothing lost, memory flat, order kept.

Each trouble is judged from the same fleet, and its memory against a phase of the same length in which nothing happened:
young children grow whether or not the broker is there. At the end the streams are removed, so that their last status
counts all they gave, and every record that a worker counted must be on the topics.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from streamer.bench.broker import Broker
from streamer.bench.checker import check_archive, check_live
from streamer.bench.fleet.accepted import check_accepted
from streamer.bench.fleet.ground import LIVE_FPS, Ground
from streamer.bench.fleet.memory import MemoryWatch
from streamer.bench.fleet.site import Site
from streamer.bench.fleet.view import View
from streamer.errors import UsageError
from streamer.messages import Job

_BACK_S = 120.0
_JOBS_S = 1800.0


def run(
    ground: Ground,
    *,
    away_s: float = 300.0,
    times: int = 3,
    frozen_s: float = 60.0,
    throttled_s: float = 60.0,
    bytes_per_s: int = 8000,
    n_streams: int = 12,
    n_jobs: int = 2,
    job_s: float = 60.0,
    settle_s: float = 180.0,
    undisturbed_s: float | None = None,
) -> dict[str, Any]:
    """Stopped `times` times, then frozen (SIGSTOP), then throttled by a quota; 0 seconds leave a trouble out.

    The first `n_jobs` are done and `settle_s` pass before memory is looked at; then nothing happens for `undisturbed_s`
    (by default `away_s`). Each trouble begins with `n_jobs` new jobs under way.
    """
    broker = ground.broker
    if broker is None:
        raise UsageError("the broker has to be this program's own to be stopped: give --kafka LIBS instead of --bus")
    camera, recording = ground.camera(), ground.recording(job_s)
    phases: list[dict[str, Any]] = []
    with ground.site("outage", [camera, recording]) as site:
        streams = site.names("camera", n_streams)
        workers = [site.start(name) for name in ("one", "two")]
        view = site.view()
        site.define(dict.fromkeys(streams, camera))
        site.until_live(view, streams)
        memory = MemoryWatch(workers)
        outage = _Outage(ground, site, view, memory, streams, recording, n_jobs)
        outage.settle(settle_s)
        phases.append(outage.phase("none", _nothing, _nothing, away_s if undisturbed_s is None else undisturbed_s))
        for number in range(1, times + 1):
            phase = outage.phase(f"stopped {number}", broker.kill, broker.restart, away_s)
            phases.append(phase)
        if frozen_s:
            phases.append(outage.phase("frozen", broker.pause, broker.resume, frozen_s))
        if throttled_s:
            slow, fast = _throttles(broker, bytes_per_s)
            phases.append(outage.phase("throttled", slow, fast, throttled_s))
        result = _end(site, view, streams, outage.jobs)
    grown_mb = memory.grown_mb(outage.settled_s)
    return {
        "good": result.pop("good"),
        "away_s": away_s,
        "times": times,
        "streams": n_streams,
        "sample_fps": LIVE_FPS,
        "workers": len(workers),
        "memory": {"slope_mb_per_min": memory.slope_mb_per_min(outage.settled_s), "grown_mb": grown_mb},
        "phases": phases,
        **result,
    }


def _nothing() -> None:
    """No trouble at all."""


class _Outage:
    """One trouble after the other. `settled_s`: from then on memory is to be flat."""

    def __init__(
        self,
        ground: Ground,
        site: Site,
        view: View,
        memory: MemoryWatch,
        streams: list[str],
        recording: Path,
        n_jobs: int,
    ) -> None:
        self.jobs: list[Job] = []
        self.settled_s = time.monotonic()
        self._ground = ground
        self._site = site
        self._view = view
        self._memory = memory
        self._streams = streams
        self._recording = recording
        self._n_jobs = n_jobs

    def settle(self, duration_s: float) -> None:
        """Have jobs done beside the streams, and let time pass, until the children are as large as they get."""
        self._submit("first")
        self._site.until_over(self._view, self.jobs, _JOBS_S)
        self._watch(duration_s)
        self.settled_s = time.monotonic()

    def _submit(self, batch: str) -> None:
        files = {f"{batch}-{k}".replace(" ", "-"): self._recording for k in range(self._n_jobs)}
        self.jobs += self._site.submit(files, batch)

    def _watch(self, duration_s: float) -> None:
        until_s = time.monotonic() + duration_s
        while time.monotonic() < until_s:
            self._memory.look()
            self._view.look(0.2)

    def phase(self, name: str, begin: Callable[[], None], end: Callable[[], None], duration_s: float) -> dict[str, Any]:
        """Have trouble for so long; then everything must be live again."""
        self._ground.tell(f"{name} for {duration_s:g} s")
        self._submit(name)
        began_s = time.monotonic()
        begin()
        self._watch(began_s + duration_s - time.monotonic())
        end()
        ended_s = time.monotonic()
        back_s = self._site.until_live(self._view, self._streams, _BACK_S)
        found = {
            "trouble": name,
            "duration_s": round(ended_s - began_s, 1),
            "all_live_after_s": round(back_s, 1),
            "slope_mb_per_min": self._memory.slope_mb_per_min(began_s),
            "grown_mb": self._memory.grown_mb(began_s),
        }
        self._ground.tell(f"{found}")
        return found


def _throttles(broker: Broker, bytes_per_s: int) -> tuple[Callable[[], None], Callable[[], None]]:
    return lambda: broker.throttle(bytes_per_s), lambda: broker.throttle(None)


def _end(site: Site, view: View, streams: list[str], jobs: list[Job]) -> dict[str, Any]:
    site.until_over(view, jobs, _JOBS_S)
    site.remove(streams)
    site.until(view, lambda: all(view.state(stream) == "ended" for stream in streams), "all streams ended", _BACK_S)
    codes = site.stop_all()
    live = check_live(site.bus, site.prefix, keep=lambda stream: stream in streams)
    archive = check_archive(site.bus, site.prefix)
    accepted = check_accepted(site.bus, site.prefix, streams)
    done = sum(view.jobs[job.job].state == "done" for job in jobs)
    return {
        "good": (
            live.good
            and archive.good
            and accepted.missing == 0
            and accepted.accepted > 0
            and live.crash_missing == 0
            and done == len(jobs)
            and not any(codes.values())
        ),
        "accepted": asdict(accepted),
        "jobs_done": done,
        "exit_codes": codes,
        "live": asdict(live),
        "archive": asdict(archive),
    }
