"""The loop of a child: takes frames through the models and follows its streams from open to end.

The loop owns every stage and every state; decoder threads only offer frames, the publisher thread only writes.
"""

from __future__ import annotations

import os
import queue
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from streamer import log
from streamer.batching.collector import CROWD_FACES, LIVE_QUEUE_FRAMES, Collector
from streamer.batching.exchange import Exchange
from streamer.bus.open import open_bus
from streamer.clock import SystemClock
from streamer.decode import DecoderInfo
from streamer.errors import BusError, SourceError
from streamer.messages import Record, SourceState, archive_run_id
from streamer.pipeline import Models, Pipeline, StageTimes, StreamState
from streamer.types import Frame
from streamer.worker import accounts
from streamer.worker.checkpoints import Checkpoints, Resumption, options_digest
from streamer.worker.connection import Connection, ConnectionFailed, ConnectionOpened
from streamer.worker.ends import Ends, LaneCommitted
from streamer.worker.hands import Hands
from streamer.worker.lane import Lane, LaneEvent, LaneRead, Stored
from streamer.worker.link import (
    Change,
    Drain,
    Drained,
    Ended,
    Link,
    Membership,
    Open,
    Positions,
    Release,
    Reopen,
    Spent,
    Start,
    Stop,
    ToChild,
    Tuning,
)
from streamer.worker.outbox import Outbox
from streamer.worker.publisher import Publisher
from streamer.worker.reports import Reports
from streamer.worker.state_reader import StateReader
from streamer.worker.tracing import tracing_of
from streamer.worker.watchdog import Watchdog

TICK_INTERVAL_S = 1.0
QUEUE_BYTES = 256 * 2**20
"""What the decoded frames of archives may take that wait in a child."""


@dataclass(frozen=True, slots=True)
class _BusFailed:
    error: BusError


@dataclass(frozen=True, slots=True)
class _FirstCommit:
    """The first archive records are on the bus."""


_Happening = LaneEvent | _BusFailed | LaneCommitted | _FirstCommit | ToChild
_Due = tuple[Lane, Frame, Any]  # and the trace of its batch, if any


class Loop:
    """Constructed with models open; `run` returns when drained or stopped. `tell` may come from any thread."""

    def __init__(self, start: Start, link: Link, models: Models) -> None:
        self._start = start
        self._config = config = start.config
        self._link = link
        self._models = models
        self._clock = SystemClock()
        self._times = StageTimes()
        self._hands = Hands(start, self._times, self._clock) if start.hands else None
        self._pipeline = Pipeline(models, config, self._times, self._hands)
        batch = config.batch
        self._archive_frames = batch.archive_frames * (1 + start.hands)
        self._exchange: Exchange[Connection, Frame] = Exchange(
            Collector(batch.max_frames, batch.max_wait_s, config.frames.late_s, self._archive_frames), self._clock
        )
        self._happenings: queue.SimpleQueue[_Happening] = queue.SimpleQueue()
        self._lanes: dict[str, Lane] = {}
        self._owed: list[_Due] = []  # taken, and looked at elsewhere: the pipeline owes their records
        self._watchdog = Watchdog(config.connect, self._clock)
        self._done_already: dict[Lane, Resumption] = {}
        self._next_tick_s = 0.0
        self._leaving = self._draining = False
        self._bus = open_bus(config.bus, settings=config.topics)
        self._reader = StateReader(self._bus, config, self._clock)
        self._checkpoints = Checkpoints(config, models, self._clock)
        self._publisher = Publisher(
            self._bus,
            transactional_id=f"affect-streamer-{start.live_run}-{start.child}-{os.getpid()}",
            failed=lambda error: self.tell(_BusFailed(error)),
            waiting=self._tick_on_time,  # slow is not hung
            spool=start.spool,
            settings=config.spool,
        )
        self._reports = Reports(self._times, self._publisher)
        self._outbox = Outbox(
            self._publisher, self._checkpoints, config, self._times, self._clock, lambda: self.tell(_FirstCommit())
        )
        self._tracing = tracing_of(config.tracing, start.child)
        if self._tracing is not None:
            self._times.watch = self._tracing.passed
            self._publisher.watch = self._tracing.published
        self._ends = Ends(self._outbox, self._clock, self.tell, self._link.send, self._ended)

    def tell(self, happening: _Happening) -> None:
        """Have the loop hear of something before its next batch.

        What the publisher waits for is given to it at once: the loop may be waiting for the publisher.
        """
        match happening:
            case Membership():
                self._publisher.join(happening.token)
            case Release(how="discard"):
                self._publisher.bar(happening.work)
        self._happenings.put(happening)
        self._exchange.wake()

    def run(self) -> bool:
        """Analyse frames until told to leave. Raises `BusError`, `ModelError`, `LinkClosed`.

        False when it left for another process to go on, since too many readers are stuck in this one.
        """
        while not (self._leaving and not self._lanes):
            due_s = min(self._next_tick_s, self._outbox.due_s, self._watchdog.due_s)
            wait_s = max(0.0, due_s - self._clock.monotonic_s())
            # Archives wait for a bus that is behind; what is live goes on, to the spool if need be.
            wait_s = 0.0 if self._owed else wait_s
            batch, finished = self._exchange.take(wait_s, hold_archives=self._outbox.behind)
            # What was taken is worked off before anything else is heard: no lane of it can have been closed.
            self._count_late()
            if batch:
                self._analyse(batch)
            else:
                self._catch_up()
            for connection in finished:
                self._catch_up()
                self._finish(connection)
            self._hear()
            for lane, error in self._watchdog.look(self._lanes.values()):
                self._catch_up()
                self._give_up(lane, error)
            if self._watchdog.spent and not self._leaving:
                self._make_way()
                return False
            self._heartbeat_on_time()
            self._outbox.on_time(self._lanes.values())
        self._outbox.flush()
        self._publisher.close(self._config.worker.drain_timeout_s)
        if self._tracing is not None:
            self._tracing.close()
        self._tick()
        if self._draining:
            self._link.send(Drained())
        self._bus.close()
        if self._hands is not None:
            self._hands.close()
        return True

    def _make_way(self) -> None:
        """Leave everything for another child to go on from. Nothing is said of an end: our death says enough."""
        log.error("child.spent", hung=self._watchdog.n_hung)
        self._link.send(Spent())
        for lane in self._lanes.values():
            lane.stop()
            if lane.mode == "live" and lane.state is not None:
                self._outbox.hand_over(lane, lambda: None)
        self._outbox.flush()
        self._publisher.close(self._config.worker.drain_timeout_s)
        self._bus.close()

    def _analyse(self, taken: Sequence[tuple[Connection, Frame]], *, may_wait: bool = True) -> None:
        batch = [(self._lanes[connection.work], frame) for connection, frame in taken]
        for lane, frame in batch:
            if lane.unwatched:
                self._catch_up()
                lane.unwatched = False
                lane.open_state.tracker.unwatched_until(frame.media_time_s)
            if lane.watch.state == "connecting":
                self._enter(lane, "live")
        crowd = len(batch) == 1 and batch[0][0].mode == "live" and batch[0][0].open_state.faces_now > CROWD_FACES
        if crowd:
            self._catch_up()
        lanes = {lane.work: lane for lane, _ in batch}.values()
        n_faces = -sum(lane.open_state.counters.faces for lane in lanes)
        trace = self._tracing.begin([frame for _, frame in batch]) if self._tracing is not None else None
        due, self._owed = [*self._owed, *((lane, frame, trace) for lane, frame in batch)], []
        results = self._pipeline.step(
            [(lane.open_state, frame) for lane, frame in batch],
            between=(lambda: self._let_pass(taken[0][0])) if crowd and may_wait else None,
            may_owe=all(lane.mode == "archive" for lane, _ in batch),
        )
        self._owed = due[len(results) :]
        self._put_out(due[: len(results)], results)
        for connection, _ in taken:
            self._exchange.expect(connection, self._lanes[connection.work].open_state.faces_now)
        n_faces += sum(lane.open_state.counters.faces for lane in lanes)
        self._reports.batch(len(batch), n_faces, self._exchange.most_frames)
        if self._tracing is not None:
            self._tracing.end(n_faces)

    def _put_out(self, due: Sequence[_Due], results: Sequence[tuple[StreamState, list[Record]]]) -> None:
        with self._times.stage("encode"):
            for (lane, frame, trace), (_, records) in zip(due, results, strict=True):
                self._outbox.add(lane, records, frame.arrival_s, trace)

    def _catch_up(self) -> None:
        """Have the records of all that was taken: before a lane is changed or closed, and when nothing else comes."""
        if self._owed:
            due, self._owed = self._owed, []
            self._put_out(due, self._pipeline.finish())

    def _let_pass(self, crowd: Connection) -> None:
        """In the middle of a frame full of faces: what has come of other live streams goes first."""
        passing = self._exchange.take_passing((crowd,))
        self._count_late()
        if passing:
            self._analyse(passing, may_wait=False)
        self._outbox.send_live_on_time()

    def _count_late(self) -> None:
        for connection, _ in self._exchange.late():
            self._lanes[connection.work].counters.drop("late")

    def _heartbeat_on_time(self) -> None:
        now_s = self._clock.monotonic_s()
        if now_s >= self._next_tick_s:
            for lane in self._lanes.values():
                if lane.mode == "live" and lane.state is not None and lane.phase != "ending":
                    self._outbox.tell(accounts.status(lane, self._clock))
                if lane.phase == "resting" and now_s > lane.newest_s + self._config.checkpoint.grace_s:
                    self._ends.close_tracks(lane, "source_gone")
            self._tick_on_time()

    def _tick_on_time(self) -> None:
        now_s = self._clock.monotonic_s()
        if now_s >= self._next_tick_s:
            self._next_tick_s = now_s + TICK_INTERVAL_S
            self._tick()

    def _tick(self) -> None:
        helpers = () if self._hands is None else tuple(one.pid for one in self._hands.processes)
        now_s = self._clock.monotonic_s()
        self._link.send(self._reports.tick(self._lanes.values(), now_s, self._watchdog.n_hung, helpers))

    # -- what happens -----------------------------------------------------------------------------------------

    def _hear(self) -> None:
        while True:
            try:
                happening = self._happenings.get_nowait()
            except queue.Empty:
                return
            self._catch_up()
            match happening:
                case LaneRead() | ConnectionOpened() | ConnectionFailed():
                    self._hear_lane(happening)
                case LaneCommitted():
                    self._ended(happening.lane, happening.ended)
                case _FirstCommit():
                    self._tick()
                case _BusFailed():
                    raise happening.error
                case _:
                    self._obey(happening)

    def _hear_lane(self, event: LaneEvent) -> None:
        lane = self._lanes.get(event.lane.work if isinstance(event, LaneRead) else event.connection.work)
        if lane is None or lane.phase != "opening":
            return  # news of a lane that was given up meanwhile
        match event:
            case LaneRead():
                if lane is event.lane:
                    self._resume(lane, event.stored)
            case ConnectionOpened():
                if lane.connection is event.connection:
                    self._opened(lane, event.info)
            case ConnectionFailed():
                if lane.connection is event.connection:
                    self._ends.not_opened(lane, event.error)

    def _obey(self, message: ToChild) -> None:
        match message:
            case Open():
                self._open(message)
            case Release():
                if message.work in self._lanes:
                    self._ends.release(self._lanes[message.work], message)
                elif message.how == "discard":
                    self._publisher.discard(message.work)
            case Change():
                if message.work in self._lanes:
                    self._tune(self._lanes[message.work], message.tuning)
            case Reopen():
                lane = self._lanes.get(message.work)
                if lane is not None and lane.phase == "resting":
                    lane.reconnect(self._exchange, self.tell)
                    self._watchdog.add(lane.connection)
                    self._enter(lane, "connecting")
            case Membership():
                pass  # the publisher has it already
            case Positions():
                self._outbox.positions(dict(message.offsets))
            case Drain():
                self._draining = self._leaving = True
                for lane in list(self._lanes.values()):
                    self._ends.interrupt(lane)
            case Stop():
                self._leaving = True
            case Start():
                log.warning("child.started_already")

    def _open(self, message: Open) -> None:
        if self._leaving:
            return
        if message.work in self._lanes:
            log.warning("stream.open_already", stream=message.stream)
            return
        lane = Lane.of(message, self._config, self._clock)
        lane.run = lane.given_run = self._given_run(lane)
        self._lanes[lane.work] = lane
        lane.warm = self._pipeline.prepare
        lane.start(self._exchange, self._fetch, self.tell)
        self._watchdog.add(lane.connection)

    def _tune(self, lane: Lane, tuning: Tuning) -> None:
        lane.tune(tuning)
        if lane.connection is not None:
            self._exchange.prioritise(lane.connection, tuning.priority)

    def _enter(self, lane: Lane, state: SourceState, message: str | None = None) -> None:
        """The source is at another place: say so."""
        if lane.enter(state):
            self._outbox.tell(accounts.status(lane, self._clock, message))

    def _given_run(self, lane: Lane) -> str:
        """The run that somebody named; empty where the source's bytes name it."""
        if lane.mode == "live":
            return self._start.live_run
        return (lane.job.job.run if lane.job else self._start.run) or ""

    def _fetch(self, lane: Lane) -> Stored:
        """What the bus holds of the lane's state. Called on the lane's own thread."""
        if lane.mode == "archive" and not lane.run:
            models, precision = [self._models.model_id], self._models.precision
            lane.run = archive_run_id(lane.session, lane.stream, models, precision, options_digest(self._config))
        return self._reader.fetch(lane)

    def _resume(self, lane: Lane, stored: Stored) -> None:
        resumption = self._checkpoints.resume(lane, stored)
        lane.resumed_at_s = resumption.media_time_s
        lane.unwatched = lane.mode == "live" and resumption.media_time_s is not None
        if resumption.done:
            self._done_already[lane] = resumption
            return
        lane.tune(lane.tuning)
        if lane.mode == "live":
            self._outbox.tell(accounts.status(lane, self._clock, message=resumption.cold_reason))

    def _opened(self, lane: Lane, info: DecoderInfo) -> None:
        lane.info = info
        if (resumption := self._done_already.pop(lane, None)) is not None:
            self._ends.done_before(lane, resumption)
            return
        if self._hands is not None:
            self._hands.prepare(info.display_wh)
        self._pipeline.prepare(info.display_wh)
        capacity = self._queue_frames(info) if lane.mode == "archive" else LIVE_QUEUE_FRAMES
        if lane.n_connections:
            lane.open_state.actor.begin_session(lane.session)
        assert lane.connection is not None, "what was opened has a connection"
        self._exchange.open(lane.connection, lane.mode, capacity, lane.tuning.priority)
        self._link.send(accounts.opened(lane))
        if lane.mode == "archive":
            self._enter(lane, "live")
        self._outbox.opened(lane)
        lane.go()

    def _queue_frames(self, info: DecoderInfo) -> int:
        """How many decoded frames of a file may wait."""
        width, height = info.display_wh
        if self._hands is None:
            wanted, lanes = self._archive_frames // 2, self._config.worker.streams_per_child
        else:  # of the one file there is, another batch is decoded while the first is worked on
            wanted, lanes = 2 * self._archive_frames, 1
        room = QUEUE_BYTES // lanes // (2 * width * height)
        return max(self._config.decode.queue_frames, min(wanted, room))

    def _give_up(self, lane: Lane, error: SourceError) -> None:
        """The watchdog says so: its connection is left behind, whatever its thread is at."""
        log.warning("source.given_up", stream=lane.stream, cause=error.cause, reason=str(error))
        if lane.phase == "opening":
            self._ends.not_opened(lane, error)
        else:
            self._ends.source_ended(lane, error)

    def _finish(self, connection: Connection) -> None:
        """The decoder has given its last frame, well or badly."""
        self._ends.source_ended(self._lanes[connection.work], connection.error)

    def _ended(self, lane: Lane, ended: Ended) -> None:
        if self._lanes.get(lane.work) is not lane:
            return  # discarded while its last commit was under way
        del self._lanes[lane.work]
        self._done_already.pop(lane, None)
        self._reports.ended(lane)
        self._tick()
        self._link.send(ended)
