"""Whole workers killed at every numbered step of the commit: the archive must be that of an undisturbed run.

A round is a fleet of one worker that lives and one doomed worker for each kill: its first child has the supervisor and
itself killed (SIGKILL) when it passes a chosen step for a chosen time. The others finish what the dead had.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from streamer.bench.checker import check_archive, compare
from streamer.bench.fleet.ground import Ground, spread
from streamer.bench.fleet.site import Site
from streamer.errors import StreamerError

STEPS = ("begin", "records", "acknowledgements", "position", "commit", "done")
_SETTINGS: dict[str, Any] = {"checkpoint.archive_interval_s": 0.3, "fleet.session_timeout_s": 6.0}
_TIMEOUT_S = 300.0


def run(
    ground: Ground, *, n_kills: int = 50, per_round: int = 5, jobs_each: int = 2, job_s: float = 6.0, seed: int = 0
) -> dict[str, Any]:
    """At least `n_kills` kills, the steps in turn, each at the first to third time that the step is passed."""
    rng = random.Random(seed)  # noqa: S311  # to be the same again
    recording = ground.recording(job_s)
    n_jobs = jobs_each * (per_round + 1)
    files = {f"file-{k:02}": recording for k in range(n_jobs)}
    faults = [(STEPS[k % len(STEPS)], rng.randint(1, 3)) for k in range(n_kills)]
    rounds: list[dict[str, Any]] = []
    with ground.undisturbed([recording], _SETTINGS) as reference:
        ground.tell("an undisturbed run")
        _finish(reference, files, [])
        reference.stop_all()
        for at in range(0, n_kills, per_round):
            doomed = faults[at : at + per_round]
            ground.tell(f"kills {at + 1} to {at + len(doomed)} of {n_kills}: {doomed}")
            rounds.append(_round(ground, reference, files, recording, doomed))
    killed = Counter(step for one in rounds for step in one["killed"])
    return {
        "good": all(one["good"] for one in rounds) and killed.total() == n_kills,
        "kills": killed.total(),
        "kills_by_step": {f"commit.{step}": killed[step] for step in STEPS},
        "jobs": len(rounds) * n_jobs,
        "records": sum(one["records"] for one in rounds),
        "missing": sum(one["missing"] for one in rounds),
        "twice": sum(one["repeated"] for one in rounds),
        "changed": sum(one["changed"] for one in rounds),
        "round_s": spread([one["took_s"] for one in rounds]),
        "job_s": job_s,
        "workers_a_round": per_round + 1,
        "seed": seed,
        "faults": [fault for one in rounds for fault in one["faults"]],
    }


def _round(
    ground: Ground, reference: Site, files: dict[str, Path], recording: Path, doomed: list[tuple[str, int]]
) -> dict[str, Any]:
    with ground.site("kills", [recording], _SETTINGS) as site:
        took_s = _finish(site, files, doomed)
        killed = [step for k, (step, _) in enumerate(doomed) if _was_killed(site, f"doomed-{k}")]
        verdict = check_archive(site.bus, site.prefix)
        found = compare(reference.bus, site.bus, reference_prefix=reference.prefix, prefix=site.prefix)
        return {
            "good": verdict.good and found.good,
            "killed": killed,
            "took_s": took_s,
            **{name: asdict(found)[name] for name in ("records", "missing", "repeated", "changed")},
            "faults": verdict.faults + found.faults,
        }


def _finish(site: Site, files: dict[str, Path], doomed: list[tuple[str, int]]) -> float:
    """Submit the jobs, have workers come and die, and wait for the end; returns how long that took."""
    view = site.view("jobs.status")
    jobs = site.submit(files)
    for k, (step, passage) in enumerate(doomed):
        site.start(f"doomed-{k}", fault=f"worker!commit.{step}:{passage}", once=True)
    site.start("lives")
    took_s = site.until_over(view, jobs, _TIMEOUT_S)
    ended = {view.jobs[job.job].stream: view.jobs[job.job] for job in jobs}
    bad = {stream: (status.state, status.message) for stream, status in ended.items() if status.state != "done"}
    if bad:
        raise StreamerError(f"jobs did not end well: {bad}")
    return took_s


def _was_killed(site: Site, name: str) -> bool:
    worker = site.workers[name]
    if worker.running:
        return False
    return worker.wait() < 0
