"""What a child tells of its streams: ticks, results and status records."""

from __future__ import annotations

from collections.abc import Collection

from streamer.clock import Clock
from streamer.messages import RunState, SourceResult, Status
from streamer.worker.lane import Lane
from streamer.worker.latency import Latencies
from streamer.worker.link import Opened, StreamTick


def opened(lane: Lane) -> Opened:
    """The source is open and its state ready."""
    info = lane.info
    assert info is not None, "only an open source is told of"
    return Opened(
        work=lane.work,
        run=lane.run,
        session=lane.session,
        mode=lane.mode,
        width=info.display_wh[0],
        height=info.display_wh[1],
        fps=info.fps,
        duration_s=info.duration_s,
        resumed_at_s=lane.resumed_at_s,
    )


def ticks(lanes: Collection[Lane], now_s: float, latencies: Latencies) -> tuple[StreamTick, ...]:
    """How far each stream is; those not yet open are left out."""
    latencies.keep({lane.work for lane in lanes})
    return tuple([_tick(lane, now_s, latencies) for lane in lanes if lane.state is not None])


def _tick(lane: Lane, now_s: float, latencies: Latencies) -> StreamTick:
    state, counters = lane.open_state, lane.count()
    return StreamTick(
        work=lane.work,
        state=lane.watch.state,
        entries={str(state): n for state, n in lane.watch.entries.items()},
        frame_age_s=_frame_age_s(lane, now_s),
        reorder_delay_s=_reorder_delay_s(lane),
        media_time_s=state.media_time_s,
        faces_now=state.faces_now,
        decoded=counters.decoded,
        analysed=counters.analysed,
        faces=counters.faces,
        records=counters.records,
        corrupt_packets=counters.corrupt_packets,
        dropped=dict(counters.dropped),
        latency=latencies.of(lane.work),
    )


def result(lane: Lane, state: RunState, cause: str | None = None, message: str | None = None) -> SourceResult:
    """How the stream went so far. The supervisor knows the source's name and the times."""
    counters, info = lane.count(), lane.info
    return SourceResult(
        stream=lane.stream,
        source="",
        state=state,
        mode=lane.mode,
        session=lane.session or None,
        cause=cause,
        message=message,
        width=info.display_wh[0] if info else 0,
        height=info.display_wh[1] if info else 0,
        duration_s=lane.state.media_time_s if lane.state else 0.0,
        decoded=counters.decoded,
        analysed=counters.analysed,
        faces=counters.faces,
        records=counters.records,
        tracks=lane.state.n_tracks if lane.state else 0,
        corrupt_packets=counters.corrupt_packets,
        dropped=dict(counters.dropped),
    )


def status(lane: Lane, clock: Clock, message: str | None = None) -> Status:
    """A numbered status record of a stream with a state; it says how old the newest frame is while some are expected.

    `message` is told where no error of the source is.
    """
    state = lane.watch.state
    error = lane.error if state in ("failed", "backing_off", "stalled") else None
    cause = error.cause if error else None
    if state == "backing_off" and error is None:  # it said goodbye, as a camera does that is switched off
        cause, message = "ended", f"{lane.source.name} has ended: it is opened again"
    return lane.open_state.actor.status(
        state,
        lane.count(),
        wall_s=clock.wall_s(),
        cause=cause,
        message=str(error) if error else message,
        frame_age_s=_frame_age_s(lane, clock.monotonic_s()),
        reorder_delay_s=_reorder_delay_s(lane),
    )


def _frame_age_s(lane: Lane, now_s: float) -> float | None:
    arrival_s = None if lane.watch.state in ("ended", "failed") else lane.last_arrival_s
    return None if arrival_s is None else max(0.0, now_s - arrival_s)


def _reorder_delay_s(lane: Lane) -> float | None:
    return (
        lane.connection.counts.reorder_delay_s if lane.connection is not None and lane.watch.state == "live" else None
    )
