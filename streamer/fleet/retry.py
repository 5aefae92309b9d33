"""What becomes of a job: its statuses, whether it is tried again, and when it has failed for good. Pure policy."""

from __future__ import annotations

import random
from dataclasses import dataclass

import msgspec

from streamer.config import FleetSettings
from streamer.fleet.jobs import JobEntry
from streamer.messages import Job, JobState, JobStatus
from streamer.source import redacted
from streamer.wishes.records import Rejected

IN_THE_BYTES = frozenset(
    (
        "not_a_video",
        "no_video_stream",
        "absurd_dimensions",
        "resolution_changed",
        "truncated",
        "damaged",
        "empty",
        "unsupported",
    )
)
"""Causes that another attempt would meet again."""
SPARE_STARTS = 2
"""How often more than once an attempt a job may be begun: its workers were killed, perhaps by it."""
LONGEST_RETRY_S = 3600.0


@dataclass(frozen=True, slots=True)
class JobEnd:
    """A job is over, or tried again: `status` says so, `again` is the record of the next attempt, `letter` the dead
    letter of a job that used up its attempts. All are to be written in one transaction with the job's position."""

    status: JobStatus
    again: Job | None = None
    letter: Rejected | None = None


def first_status(job: Job) -> JobStatus:
    """What is said of a job that nobody has begun."""
    return JobStatus(
        job=job.job,
        batch=job.batch,
        stream=job.stream,
        source=redacted(job.source),
        run=job.run,
        model=job.model,
        state="waiting",
        attempt=job.attempt,
        submitted_s=job.submitted_s,
        updated_s=job.submitted_s,
    )


def begun(job: Job, last: JobStatus | None, worker: str, now_s: float, state_from: int | None = None) -> JobStatus:
    """`worker` begins, or goes on with, a job of which `last` was said. `state_from` counts where none was noted."""
    last = last or first_status(job)
    return msgspec.structs.replace(
        last,
        state="running",
        attempt=job.attempt,
        starts=last.starts + 1,
        worker=worker,
        state_from=last.state_from if last.state_from is not None else state_from,
        cause=None,
        message=None,
        started_s=last.started_s if last.started_s is not None else now_s,
        updated_s=now_s,
    )


def handed_over(status: JobStatus, now_s: float) -> JobStatus:
    """The worker lets go of a job in good order: this start does not count against it."""
    return msgspec.structs.replace(
        status, state="waiting", starts=max(0, status.starts - 1), worker=None, updated_s=now_s
    )


def is_poisonous(job: Job, last: JobStatus | None) -> bool:
    """Whether a job was begun so often without an end that it must be what ends its workers."""
    return last is not None and last.starts > job.attempt + SPARE_STARTS


def poisonous(entry: JobEntry, last: JobStatus, now_s: float) -> JobEnd:
    """A job that kills its workers has failed."""
    message = (
        f"{last.starts} workers began it and none came to an end: the file may crash its decoder or take all memory."
    )
    status = over(last, "failed", now_s, "poisonous", message)
    return JobEnd(status, letter=Rejected(entry.record, "poisonous", message))


def refused(rejected: Rejected, now_s: float) -> JobEnd | None:
    """A job that this fleet may not or cannot do has failed; None where the record does not say which job it is."""
    if rejected.job is None:
        return None
    status = over(first_status(rejected.job), "failed", now_s, rejected.cause, rejected.message)
    return JobEnd(status, letter=rejected)


def cancelled(last: JobStatus, now_s: float) -> JobEnd:
    """A job that is not wanted any more is over; results that were committed stay."""
    return JobEnd(over(last, "cancelled", now_s, "cancelled", "cancelled on demand; results until then are kept."))


def failed(
    entry: JobEntry,
    last: JobStatus,
    cause: str,
    message: str,
    settings: FleetSettings,
    now_s: float,
    rng: random.Random,
) -> JobEnd:
    """What follows a failure with `cause`: nothing where the file's bytes are to blame, else another attempt after a
    pause, until there were `job_attempts`."""
    if cause in IN_THE_BYTES:
        return JobEnd(over(last, "failed", now_s, cause, message))
    if entry.job.attempt >= settings.job_attempts:
        tried = f"{message} Tried {entry.job.attempt} times."
        return JobEnd(over(last, "failed", now_s, cause, tried), letter=Rejected(entry.record, cause, tried))
    pause_s = min(LONGEST_RETRY_S, settings.job_retry_s * 2.0 ** min(entry.job.attempt - 1, 16))
    again = msgspec.structs.replace(
        entry.job, attempt=entry.job.attempt + 1, not_before_s=now_s + pause_s * rng.uniform(0.75, 1.25)
    )
    status = msgspec.structs.replace(
        last, state="retrying", attempt=again.attempt, worker=None, cause=cause, message=message, updated_s=now_s
    )
    return JobEnd(status, again=again)


def over(
    last: JobStatus, state: JobState, now_s: float, cause: str | None = None, message: str | None = None
) -> JobStatus:
    """The last status of a job."""
    return msgspec.structs.replace(last, state=state, cause=cause, message=message, updated_s=now_s, finished_s=now_s)
