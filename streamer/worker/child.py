"""A child process: decoders, one set of models, actors and a publisher for the streams it was given.

The loop owns every stage and every state; decoder threads only offer frames, the publisher thread only writes.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from streamer import log
from streamer.batching.collector import Collector
from streamer.batching.exchange import Exchange
from streamer.bus.open import open_bus
from streamer.bus.protocol import Outgoing
from streamer.bus.topics import outgoing
from streamer.clock import SystemClock
from streamer.errors import BusError, ModelError, StreamerError
from streamer.messages import Record, RunState, SourceResult, SourceState, archive_run_id
from streamer.pipeline import Models, Pipeline, StageTimes
from streamer.types import Frame
from streamer.worker.checkpoints import Checkpoints, Resumption, options_digest
from streamer.worker.lane import Lane, LaneEvent, LaneFailed, LaneOpened
from streamer.worker.link import (
    Close,
    Drain,
    Drained,
    Ended,
    Fatal,
    Link,
    LinkClosed,
    Open,
    Opened,
    Ready,
    Start,
    Stop,
    StreamTick,
    Tick,
    ToChild,
)
from streamer.worker.publisher import Batch, Publisher

TICK_INTERVAL_S = 1.0
FIRST_COMMIT_S = 0.25  # somebody waits for the first sign of life; later commits take their time
LIVE_QUEUE_FRAMES = 2


@dataclass(frozen=True, slots=True)
class _BusFailed:
    error: BusError


@dataclass(frozen=True, slots=True)
class _LaneCommitted:
    lane: Lane
    ended: Ended


@dataclass(frozen=True, slots=True)
class _FirstCommit:
    """The first archive records are on the bus."""


_Happening = LaneEvent | _BusFailed | _LaneCommitted | _FirstCommit | Open | Close | Drain | Stop


@dataclass(slots=True)
class _Unpublished:
    """Records made and not yet handed to the publisher, and whose state goes with them."""

    records: list[Outgoing] = field(default_factory=list)
    dirty: dict[str, Lane] = field(default_factory=dict)
    since_s: float = 0.0

    def add(self, lane: Lane, records: Sequence[Outgoing], now_s: float) -> None:
        if not self.records and not self.dirty:
            self.since_s = now_s
        self.records.extend(records)
        self.dirty[lane.stream] = lane


class Child:
    """The loop. Constructed with models open; `run` returns when drained, stopped or broken."""

    def __init__(self, start: Start, link: Link, models: Models) -> None:
        self._config = start.config
        self._start = start
        self._link = link
        self._clock = SystemClock()
        self._models = models
        self._times = StageTimes()
        self._pipeline = Pipeline(models, start.config, self._times)
        batch = start.config.batch
        self._exchange: Exchange[Frame] = Exchange(Collector(batch.max_frames, batch.max_wait_s), self._clock)
        self._bus = open_bus(start.config.bus, settings=start.config.topics)
        self._checkpoints = Checkpoints(self._bus, start.config, models, self._clock)
        self._publisher = Publisher(
            self._bus,
            transactional_id=f"affect-streamer-{start.live_run}-{start.child}-{os.getpid()}",
            failed=lambda error: self._tell(_BusFailed(error)),
        )
        self._happenings: queue.SimpleQueue[_Happening] = queue.SimpleQueue()
        self._lanes: dict[str, Lane] = {}
        self._archive = _Unpublished()
        self._live = _Unpublished()
        self._next_tick_s = 0.0
        self._next_live_snapshot_s = 0.0
        self._decoder_cpu_s = 0.0
        self._commit_interval_s = min(FIRST_COMMIT_S, start.config.checkpoint.archive_interval_s)
        self._leaving = False
        self._draining = False

    def listen(self) -> None:
        """Take the supervisor's messages until its pipe closes; then end this process at once."""
        try:
            while True:
                message = self._link.receive(ToChild)  # type: ignore[arg-type]
                self._tell(message)  # type: ignore[arg-type]
        except LinkClosed:
            os._exit(1)  # nobody owns this process any more; what is not committed is redone by its successor

    def _tell(self, happening: _Happening) -> None:
        self._happenings.put(happening)
        self._exchange.wake()

    def run(self) -> None:
        """Analyse frames until told to leave."""
        while not (self._leaving and not self._lanes):
            now_s = self._clock.monotonic_s()
            batch, finished = self._exchange.take(max(0.0, self._next_due_s() - now_s))
            self._hear()
            if batch:
                self._analyse(batch)
            for stream in finished:
                self._finish(self._lanes[stream])
            self._on_time()
        self._flush()
        self._publisher.close(self._config.worker.drain_timeout_s)
        self._tick()
        if self._draining:
            self._link.send(Drained())
        self._bus.close()

    # -- frames -----------------------------------------------------------------------------------------------

    def _analyse(self, batch: Sequence[tuple[str, Frame]]) -> None:
        entries = [
            (lane, lane.state, frame)
            for stream, frame in batch
            if (lane := self._lanes.get(stream)) is not None and lane.state is not None
        ]
        results = self._pipeline.step([(state, frame) for _, state, frame in entries])
        with self._times.stage("encode"):
            now_s = self._clock.monotonic_s()
            for (lane, _, _), (_, records) in zip(entries, results, strict=True):
                self._collect(lane, records, now_s)

    def _collect(self, lane: Lane, records: Sequence[Record], now_s: float) -> None:
        unpublished = self._archive if lane.mode == "archive" else self._live
        encoded = [outgoing(record, self._config.topics, lane.mode) for record in records]
        unpublished.add(lane, encoded, now_s)

    # -- time -------------------------------------------------------------------------------------------------

    def _next_due_s(self) -> float:
        settings = self._config.checkpoint
        due = [self._next_tick_s]
        if self._archive.dirty:
            due.append(self._archive.since_s + self._commit_interval_s)
        if self._live.dirty:
            due.append(self._live.since_s + settings.live_flush_s)
        return min(due)

    def _on_time(self) -> None:
        now_s = self._clock.monotonic_s()
        settings = self._config.checkpoint
        archive = self._archive
        if archive.dirty and (
            now_s >= archive.since_s + self._commit_interval_s or len(archive.records) >= settings.archive_max_records
        ):
            first = self._commit_interval_s < settings.archive_interval_s
            self._commit_interval_s = settings.archive_interval_s
            self._commit_archive(done=(lambda: self._tell(_FirstCommit())) if first else None)
        if self._live.dirty and now_s >= self._live.since_s + settings.live_flush_s:
            self._send_live()
        if now_s >= self._next_tick_s:
            self._next_tick_s = now_s + TICK_INTERVAL_S
            self._heartbeat()
            self._tick()

    def _commit_archive(self, done: Callable[[], None] | None = None) -> None:
        """Records, state and position of every archive stream that moved, in one transaction, at a frame boundary."""
        moved, self._archive = self._archive, _Unpublished()
        with self._times.stage("snapshot"):
            records = [*moved.records]
            for lane in moved.dirty.values():
                records += self._checkpoints.take(lane)
        self._publisher.publish(Batch(records, transactional=True, done=done))

    def _send_live(self, done: Callable[[], None] | None = None) -> None:
        moved, self._live = self._live, _Unpublished()
        records = [*moved.records]
        now_s = self._clock.monotonic_s()
        if now_s >= self._next_live_snapshot_s:
            self._next_live_snapshot_s = now_s + self._config.checkpoint.live_interval_s
            with self._times.stage("snapshot"):
                for lane in self._lanes.values():
                    if lane.mode == "live" and lane.state is not None:
                        records += self._checkpoints.take(lane)
        self._publisher.publish(Batch(records, transactional=False, done=done))

    def _flush(self) -> None:
        if self._archive.dirty:
            self._commit_archive()
        if self._live.dirty:
            self._send_live()

    def _heartbeat(self) -> None:
        now_s = self._clock.monotonic_s()
        for lane in self._lanes.values():
            if lane.mode == "live" and lane.state is not None:
                self._status(lane, "live", frame_age_s=max(0.0, now_s - lane.last_arrival_s))

    def _tick(self) -> None:
        stages = dict(self._times.seconds)
        stages["decode"] = self._decoder_cpu_s + sum(lane.cpu_s for lane in self._lanes.values())
        stages["publish"] = self._publisher.cpu_s
        ticks = tuple(
            StreamTick(
                stream=lane.stream,
                media_time_s=lane.state.media_time_s,
                faces_now=lane.state.faces_now,
                decoded=lane.counters.decoded,
                analysed=lane.counters.analysed,
                faces=lane.counters.faces,
                records=lane.counters.records,
                corrupt_packets=lane.counters.corrupt_packets,
                dropped=dict(lane.counters.dropped),
            )
            for lane in self._lanes.values()
            if lane.state is not None
        )
        self._link.send(Tick(streams=ticks, published=self._publisher.published, stage_s=stages))

    # -- what happens -----------------------------------------------------------------------------------------

    def _hear(self) -> None:
        while True:
            try:
                happening = self._happenings.get_nowait()
            except queue.Empty:
                return
            match happening:
                case Open():
                    self._open(happening)
                case Close():
                    if happening.stream in self._lanes:
                        self._interrupt(self._lanes[happening.stream])
                case Drain():
                    self._draining = self._leaving = True
                    for lane in list(self._lanes.values()):
                        self._interrupt(lane)
                case Stop():
                    self._leaving = True
                case LaneOpened():
                    self._opened(happening)
                case LaneFailed():
                    self._failed(happening.lane, happening.error)
                case _LaneCommitted():
                    self._lanes.pop(happening.lane.stream, None)
                    self._decoder_cpu_s += happening.lane.cpu_s
                    self._tick()
                    self._link.send(happening.ended)
                case _FirstCommit():
                    self._tick()
                case _BusFailed():
                    raise happening.error

    def _open(self, message: Open) -> None:
        if self._leaving:
            return
        lane = Lane(stream=message.stream, source=message.source(), mode=message.mode, restarts=message.restarts)
        self._lanes[lane.stream] = lane
        lane.start(self._config, self._clock, self._exchange, self._tell)

    def _opened(self, event: LaneOpened) -> None:
        lane, info = event.lane, event.info
        if lane.closing:
            return
        lane.info = info
        if lane.mode == "archive":
            lane.session = event.session
            lane.run = self._start.run or archive_run_id(
                event.session,
                lane.stream,
                [self._models.model_id],
                self._models.precision,
                options_digest(self._config),
            )
        else:
            lane.run = self._start.live_run
            lane.session = f"{lane.epoch}.0"  # epoch and connection number
        resumption = self._checkpoints.resume(lane)
        if resumption.done:
            self._done_before(lane, resumption)
            return
        self._pipeline.prepare(info.display_wh)
        capacity = self._config.decode.queue_frames if lane.mode == "archive" else LIVE_QUEUE_FRAMES
        self._exchange.open(lane.stream, lane.mode, capacity)
        self._link.send(
            Opened(
                stream=lane.stream,
                run=lane.run,
                session=lane.session,
                mode=lane.mode,
                width=info.display_wh[0],
                height=info.display_wh[1],
                fps=info.fps,
                duration_s=info.duration_s,
                resumed_at_s=resumption.media_time_s,
            )
        )
        self._status(lane, "live")
        lane.go()

    def _done_before(self, lane: Lane, resumption: Resumption) -> None:
        lane.stop(self._exchange)
        del self._lanes[lane.stream]
        state: RunState = "failed" if resumption.failure else "done"
        result = self._result(lane, state, cause=resumption.failure, message=resumption.message)
        self._link.send(Ended(stream=lane.stream, run=lane.run, result=result, already_done=True))

    def _failed(self, lane: Lane, error: StreamerError) -> None:
        """The source failed before it was open: there is nothing to commit."""
        del self._lanes[lane.stream]
        result = self._result(lane, "failed", cause=error.cause, message=str(error))
        self._link.send(Ended(stream=lane.stream, run=lane.run, result=result))

    def _finish(self, lane: Lane) -> None:
        """The source is over, well or badly: close its tracks, commit, and report once the commit is safe."""
        self._exchange.close(lane.stream)
        state = lane.state
        assert state is not None, "a lane delivers frames only after its state is ready"
        error = lane.error
        records = state.actor.finish("end_of_stream")
        state.counters.records += len(records)
        lane.finished = True
        self._collect(lane, records, self._clock.monotonic_s())
        self._status(lane, "ended" if error is None else "failed", error)
        result = self._result(
            lane,
            "done" if error is None else "failed",
            cause=error.cause if error else None,
            message=str(error) if error else None,
        )
        self._report_when_committed(lane, result)

    def _interrupt(self, lane: Lane) -> None:
        """Stop early. An archive keeps its place; a live stream's tracks end here."""
        lane.stop(self._exchange)
        if lane.state is None:
            del self._lanes[lane.stream]
            self._link.send(Ended(stream=lane.stream, run=lane.run, result=self._result(lane, "interrupted")))
            return
        records = lane.state.actor.finish("interrupted") if lane.mode == "live" else []
        lane.state.counters.records += len(records)
        self._collect(lane, records, self._clock.monotonic_s())
        self._status(lane, "ended")
        self._report_when_committed(lane, self._result(lane, "interrupted"))

    def _report_when_committed(self, lane: Lane, result: SourceResult) -> None:
        committed = _LaneCommitted(lane, Ended(stream=lane.stream, run=lane.run, result=result))
        if lane.mode == "archive":
            self._send_live()
            self._commit_archive(done=lambda: self._tell(committed))
        else:
            self._send_live(done=lambda: self._tell(committed))

    def _status(
        self, lane: Lane, state: SourceState, error: StreamerError | None = None, frame_age_s: float | None = None
    ) -> None:
        if lane.state is None:
            return
        record = lane.state.actor.status(
            state,
            lane.counters,
            wall_s=self._clock.wall_s(),
            cause=error.cause if error else None,
            message=str(error) if error else None,
            frame_age_s=frame_age_s,
        )
        self._live.add(lane, [outgoing(record, self._config.topics)], self._clock.monotonic_s())

    def _result(
        self, lane: Lane, state: RunState, cause: str | None = None, message: str | None = None
    ) -> SourceResult:
        counters, info = lane.counters, lane.info
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


def main() -> int:
    """Run as a child of the supervisor: its pipe is our standard input and output."""
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, signal.SIG_IGN)  # the supervisor drains us
    # Libraries print where they like: the pipe moves to another descriptor and standard output joins standard error.
    pipe = os.dup(1)
    os.dup2(2, 1)
    # Unbuffered: a buffered reader would hold a lock that the interpreter wants when it ends after a failure.
    link = Link(os.fdopen(0, "rb", buffering=0), os.fdopen(pipe, "wb"))
    try:
        start = link.receive(ToChild)  # type: ignore[arg-type]
    except LinkClosed:
        return 1
    assert isinstance(start, Start)
    _prepare_process(start)
    child: Child | None = None
    try:
        begun_s = SystemClock().monotonic_s()
        models = Models.open(start.config, Path(start.cache) if start.cache else None)
        child = Child(start, link, models)
        load_s = SystemClock().monotonic_s() - begun_s
        link.send(Ready(precision=models.precision, device=models.device, load_s=load_s))
        threading.Thread(target=child.listen, name="link", daemon=True).start()
        child.run()
    except (BusError, ModelError) as error:
        try:
            link.send(Fatal(cause=error.cause, message=str(error)))
        except LinkClosed:
            pass
        return 1
    except LinkClosed:
        return 1
    return 0


def _prepare_process(start: Start) -> None:
    import cv2

    log.configure(start.log_level, child=start.child)
    cv2.setNumThreads(1)  # one process a core
    if start.cpu is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {start.cpu})


if __name__ == "__main__":
    sys.exit(main())
