"""The loop of a child: takes frames through the models and follows its streams from open to end.

The loop owns every stage and every state; decoder threads only offer frames, the publisher thread only writes.
"""

from __future__ import annotations

import os
import queue
from collections.abc import Sequence
from dataclasses import dataclass

from streamer import log
from streamer.batching.collector import Collector
from streamer.batching.exchange import Exchange
from streamer.bus.open import open_bus
from streamer.clock import SystemClock
from streamer.errors import BusError, SourceError
from streamer.messages import RunState, SourceResult, SourceState, archive_run_id
from streamer.pipeline import Models, Pipeline, StageTimes
from streamer.state.records import LeftCause
from streamer.types import Frame
from streamer.worker import accounts
from streamer.worker.checkpoints import Checkpoints, Resumption, options_digest
from streamer.worker.lane import Lane, LaneEvent, LaneFailed, LaneOpened
from streamer.worker.link import Close, Drain, Drained, Ended, Link, Open, Start, Stop, Tick, ToChild
from streamer.worker.outbox import Outbox
from streamer.worker.publisher import Publisher

TICK_INTERVAL_S = 1.0
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


_Happening = LaneEvent | _BusFailed | _LaneCommitted | _FirstCommit | ToChild


class Loop:
    """Constructed with models open; `run` returns when drained or stopped. `tell` may come from any thread."""

    def __init__(self, start: Start, link: Link, models: Models) -> None:
        self._start = start
        self._config = config = start.config
        self._link = link
        self._models = models
        self._clock = SystemClock()
        self._times = StageTimes()
        self._pipeline = Pipeline(models, config, self._times)
        batch = config.batch
        self._exchange: Exchange[Lane, Frame] = Exchange(Collector(batch.max_frames, batch.max_wait_s), self._clock)
        self._happenings: queue.SimpleQueue[_Happening] = queue.SimpleQueue()
        self._lanes: dict[str, Lane] = {}
        self._decoder_cpu_s = 0.0
        self._next_tick_s = 0.0
        self._leaving = self._draining = False
        self._bus = open_bus(config.bus, settings=config.topics)
        self._checkpoints = Checkpoints(self._bus, config, models, self._clock)
        self._publisher = Publisher(
            self._bus,
            transactional_id=f"affect-streamer-{start.live_run}-{start.child}-{os.getpid()}",
            failed=lambda error: self.tell(_BusFailed(error)),
            waiting=self._tick_on_time,  # slow is not hung
        )
        self._outbox = Outbox(
            self._publisher, self._checkpoints, config, self._times, self._clock, lambda: self.tell(_FirstCommit())
        )

    def tell(self, happening: _Happening) -> None:
        """Have the loop hear of something before its next batch."""
        self._happenings.put(happening)
        self._exchange.wake()

    def run(self) -> None:
        """Analyse frames until told to leave. Raises `BusError`, `ModelError`, `LinkClosed`."""
        while not (self._leaving and not self._lanes):
            due_s = min(self._next_tick_s, self._outbox.due_s)
            batch, finished = self._exchange.take(max(0.0, due_s - self._clock.monotonic_s()))
            # What was taken is worked off before anything else is heard: no lane of it can have been closed.
            if batch:
                self._analyse(batch)
            for lane in finished:
                self._finish(lane)
            self._hear()
            self._heartbeat_on_time()
            self._outbox.on_time(self._lanes.values())
        self._outbox.flush()
        self._publisher.close(self._config.worker.drain_timeout_s)
        self._tick()
        if self._draining:
            self._link.send(Drained())
        self._bus.close()

    def _analyse(self, batch: Sequence[tuple[Lane, Frame]]) -> None:
        results = self._pipeline.step([(lane.open_state, frame) for lane, frame in batch])
        with self._times.stage("encode"):
            for (lane, _), (_, records) in zip(batch, results, strict=True):
                self._outbox.add(lane, records)

    def _heartbeat_on_time(self) -> None:
        if self._clock.monotonic_s() >= self._next_tick_s:
            for lane in self._lanes.values():
                if lane.mode == "live" and lane.phase == "running":
                    self._outbox.tell(accounts.status(lane, "live", self._clock))
            self._tick_on_time()

    def _tick_on_time(self) -> None:
        now_s = self._clock.monotonic_s()
        if now_s >= self._next_tick_s:
            self._next_tick_s = now_s + TICK_INTERVAL_S
            self._tick()

    def _tick(self) -> None:
        stages = dict(self._times.seconds)
        stages["decode"] = self._decoder_cpu_s + sum(lane.cpu_s for lane in self._lanes.values())
        stages["publish"] = self._publisher.cpu_s
        streams = accounts.ticks(self._lanes.values())
        self._link.send(Tick(streams=streams, published=self._publisher.published, stage_s=stages))

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
                case LaneOpened():
                    if self._awaits(happening.lane):
                        self._opened(happening)
                case LaneFailed():
                    if self._awaits(happening.lane):
                        self._failed(happening.lane, happening.error)
                case Close():
                    if happening.stream in self._lanes:
                        self._interrupt(self._lanes[happening.stream])
                case Drain():
                    self._draining = self._leaving = True
                    for lane in list(self._lanes.values()):
                        self._interrupt(lane)
                case Stop():
                    self._leaving = True
                case _LaneCommitted():
                    self._ended(happening.lane, happening.ended)
                case _FirstCommit():
                    self._tick()
                case _BusFailed():
                    raise happening.error

    def _awaits(self, lane: Lane) -> bool:
        """Whether the news is of a lane that is still opening, not of one given up meanwhile."""
        return self._lanes.get(lane.stream) is lane and lane.phase == "opening"

    def _open(self, message: Open) -> None:
        if self._leaving:
            return
        if message.stream in self._lanes:
            log.warning("stream.open_already", stream=message.stream)
            return
        lane = Lane(stream=message.stream, source=message.source(), mode=message.mode, restarts=message.restarts)
        if lane.mode == "live":
            lane.run, lane.session = self._start.live_run, f"{lane.epoch}.0"  # epoch and connection number
        else:
            lane.run = self._start.run or ""  # else named by the session, which the source's bytes give
        self._lanes[lane.stream] = lane
        lane.start(self._config, self._clock, self._exchange, self.tell)

    def _opened(self, event: LaneOpened) -> None:
        lane, info = event.lane, event.info
        lane.info = info
        if lane.mode == "archive":
            lane.session = event.session
            models, precision = [self._models.model_id], self._models.precision
            options = options_digest(self._config)
            lane.run = lane.run or archive_run_id(lane.session, lane.stream, models, precision, options)
        resumption = self._checkpoints.resume(lane)
        if resumption.done:
            self._done_before(lane, resumption)
            return
        self._pipeline.prepare(info.display_wh)
        capacity = self._config.decode.queue_frames if lane.mode == "archive" else LIVE_QUEUE_FRAMES
        self._exchange.open(lane, lane.mode, capacity)
        self._link.send(accounts.opened(lane, resumption.media_time_s))
        self._outbox.tell(accounts.status(lane, "live", self._clock))
        lane.go()

    def _done_before(self, lane: Lane, resumption: Resumption) -> None:
        """An earlier child or invocation has finished this very work."""
        lane.stop(self._exchange)
        state: RunState = "failed" if resumption.failure else "done"
        result = accounts.result(lane, state, resumption.failure, resumption.message)
        self._ended(lane, Ended(stream=lane.stream, run=lane.run, result=result, already_done=True))

    def _failed(self, lane: Lane, error: SourceError) -> None:
        """The source could not be opened: there is nothing to commit."""
        result = accounts.result(lane, "failed", error.cause, str(error))
        self._ended(lane, Ended(stream=lane.stream, run=lane.run, result=result))

    def _finish(self, lane: Lane) -> None:
        """The decoder has given its last frame, well or badly."""
        error = lane.error
        lane.stop(self._exchange)
        lane.finished = lane.over
        if lane.finished or lane.mode == "live":
            self._close_tracks(lane, "end_of_stream")
        if error is None:
            self._end(lane, "ended", accounts.result(lane, "done"))
        else:
            self._end(lane, "failed", accounts.result(lane, "failed", error.cause, str(error)))

    def _interrupt(self, lane: Lane) -> None:
        """Stop early. An archive keeps its place; a live stream's tracks end here."""
        phase = lane.phase
        if phase == "ending":
            return
        lane.stop(self._exchange)
        if phase == "opening":
            result = accounts.result(lane, "interrupted")
            self._ended(lane, Ended(stream=lane.stream, run=lane.run, result=result))
            return
        if lane.mode == "live":
            self._close_tracks(lane, "interrupted")
        self._end(lane, "ended", accounts.result(lane, "interrupted"))

    def _close_tracks(self, lane: Lane, cause: LeftCause) -> None:
        records = lane.open_state.actor.finish(cause)
        lane.counters.records += len(records)
        self._outbox.add(lane, records)

    def _end(self, lane: Lane, state: SourceState, result: SourceResult) -> None:
        """Commit what the lane still has, and report its end once that is safe."""
        self._outbox.add(lane, ())
        self._outbox.tell(accounts.status(lane, state, self._clock))
        committed = _LaneCommitted(lane, Ended(stream=lane.stream, run=lane.run, result=result))
        self._outbox.last_of(lane, lambda: self.tell(committed))

    def _ended(self, lane: Lane, ended: Ended) -> None:
        del self._lanes[lane.stream]
        self._decoder_cpu_s += lane.cpu_s
        self._tick()
        self._link.send(ended)
