"""Archive jobs: batches and, in each, the jobs that there is something to say of."""

from __future__ import annotations

from typing import Any

from streamer.messages import JOB_OVER
from streamer.source import redacted
from streamer.web.model import Model
from streamer.wishes.batches import Batch, KnownJob, batches

MAX_BATCHES = 50
MAX_JOBS = 100
"""Jobs of a batch that are shown: those that run first, then what is tried again, failed, waits, and the rest."""
_ORDER = {"running": 0, "retrying": 1, "failed": 2, "waiting": 3, "cancelled": 4, "done": 5}

Row = dict[str, Any]


def rows(model: Model) -> dict[str, Row]:
    """Each batch by its name, the newest first; a batch has its jobs in `jobs`."""
    with model.lock:
        now_s = model.clock.wall_s()
        known = batches(model.wanted.board.jobs().values(), now_s)
    return {batch.batch: _batch(batch, at) for at, batch in enumerate(reversed(known[-MAX_BATCHES:]))}


def _batch(batch: Batch, at: int) -> Row:
    shown = sorted(batch.jobs, key=lambda job: (_ORDER.get(job.status.state, 9), job.status.stream))[:MAX_JOBS]
    return {
        "at": at,
        "counts": batch.counts,
        "n": len(batch.jobs),
        "over": batch.over,
        "fraction": None if batch.fraction is None else round(batch.fraction, 3),
        "media_s": round(batch.media_s),
        "total_s": None if batch.total_s is None else round(batch.total_s),
        "speed": None if batch.speed is None else round(batch.speed, 1),
        "left_s": None if batch.left_s is None or batch.over else round(batch.left_s),
        "records": sum(job.status.records for job in batch.jobs),
        "jobs": [_job(job) for job in shown],
        "more": len(batch.jobs) - len(shown),
    }


def _job(job: KnownJob) -> Row:
    status = job.status
    length_s = status.duration_s
    done = status.state in JOB_OVER
    fraction = 1.0 if status.state == "done" else None
    if fraction is None and length_s:
        fraction = min(1.0, status.media_time_s / length_s)
    message = " ".join((status.message or "").split()) or (status.cause or "").replace("_", " ")
    return {
        "job": status.job,
        "stream": status.stream,
        "state": "cancelling" if job.cancelling else status.state,
        "over": done,
        "fraction": None if fraction is None else round(fraction, 3),
        "media_s": round(status.media_time_s, 1),
        "length_s": None if length_s is None else round(length_s, 1),
        "faces": status.faces,
        "records": status.records,
        "worker": status.worker,
        "attempt": status.attempt,
        "note": redacted(message) or None,
    }
