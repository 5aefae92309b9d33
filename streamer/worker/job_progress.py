"""How far a job is, as the record that is committed together with the results it speaks of."""

from __future__ import annotations

import msgspec

from streamer.bus.protocol import Outgoing
from streamer.clock import Clock
from streamer.config import TopicSettings
from streamer.fleet.retry import cancelled, handed_over, over
from streamer.messages import JobState, JobStatus, SourceResult
from streamer.wishes import records
from streamer.worker.lane import Lane
from streamer.worker.link import JobOrder


def progress(
    lane: Lane, job: JobOrder, clock: Clock, state: JobState = "running", result: SourceResult | None = None
) -> JobStatus:
    """The status of the lane's job now: an end where `state` is one, `waiting` where the job is let go of in order.

    `result` says how it went.
    """
    counters, info, now_s = lane.count(), lane.info, clock.wall_s()
    status = msgspec.structs.replace(
        job.status,
        state="running",
        run=lane.run or job.status.run,
        media_time_s=lane.state.media_time_s if lane.state else job.status.media_time_s,
        duration_s=info.duration_s if info else job.status.duration_s,
        decoded=counters.decoded,
        analysed=counters.analysed,
        faces=counters.faces,
        records=counters.records,
        updated_s=now_s,
    )
    if status.media_time_s > job.status.media_time_s:  # it gets on: if workers end, that is not its doing
        status = msgspec.structs.replace(status, starts=1)
    match state:
        case "cancelled":
            return cancelled(status, now_s).status
        case "done" | "failed":
            cause, message = (result.cause, result.message) if result else (None, None)
            return over(status, state, now_s, cause, message)
        case "waiting":
            return handed_over(status, now_s)
        case _:
            return status


def progress_record(status: JobStatus, job: JobOrder, settings: TopicSettings) -> Outgoing:
    """Where the status goes, and its bytes."""
    return records.job_status(status, job.partition, settings)
