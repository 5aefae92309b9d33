"""A worker's archive jobs: from the record that asks for one to the status that says how it ended.

    taken (jobs topic) -> due (a free slot) -> begun (status on the bus) -> ordered (a child) -> over, or tried again

A job's end is committed by the child together with its last results; what never got so far is ended from here. All of
it happens in the supervisor's loop; nothing here waits for the bus.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from streamer import log
from streamer.bus.protocol import GroupToken, Incoming, Load, Position
from streamer.bus.topics import partition_of, topics
from streamer.clock import Clock
from streamer.config import Config, with_models
from streamer.errors import StreamerError
from streamer.fleet.admission import admission_of, networks_allowed
from streamer.fleet.jobs import JobBook, JobEntry
from streamer.fleet.retry import JobEnd, begun, cancelled, failed, first_status, is_poisonous, over, poisonous, refused
from streamer.messages import JOB_OVER, JobState, JobStatus
from streamer.wishes import records
from streamer.worker.crew import Crew
from streamer.worker.departures import Departures
from streamer.worker.desk import Desk
from streamer.worker.job_arrivals import Arrivals
from streamer.worker.job_ends import JobEnds
from streamer.worker.link import Ended, JobOrder, Positions, Release
from streamer.worker.membership import Assigned, Lost, Records, Revoked
from streamer.worker.orders import Order

WORK_PREFIX = "job:"
POSITIONS_INTERVAL_S = 1.0
ALL_POSITIONS_INTERVAL_S = 30.0
"""A child may have committed an older position last: all are told again now and then."""
BEGIN_AGAIN_S = 1.0


@dataclass(slots=True)
class JobDuty:
    """The archive jobs of one worker. Its methods are called by the supervisor's loop only."""

    config: Config
    crew: Crew
    desk: Desk
    clock: Clock
    worker: str
    slots: int
    commit: Callable[[dict[int, int]], None]
    """Remembers offsets for the group."""
    tell_all: Callable[[Positions], None]
    told: Callable[[JobState], None] = lambda _: None
    """Is told of each job that ended here, or is tried again."""
    rng: random.Random = field(default_factory=random.Random)
    token: GroupToken | None = None
    stopping: bool = False
    book: JobBook = field(init=False)
    arrivals: Arrivals = field(init=False)
    ends: JobEnds = field(init=False)
    _departures: Departures = field(default_factory=Departures)
    _told: dict[int, int] = field(default_factory=dict)
    _beginning: set[str] = field(default_factory=set)
    _cancelling: set[str] = field(default_factory=set)
    _next_positions_s: float = 0.0
    _next_all_s: float = 0.0
    _next_begin_s: float = 0.0

    def __post_init__(self) -> None:
        self.book = JobBook(admission_of(self.config))
        self.ends = JobEnds(self.config, self.desk, self.clock, self.book, self.told)
        self.arrivals = Arrivals(
            self.config,
            self.desk,
            self.clock,
            job=self._take,
            status=self._take_status,
        )

    # -- what the group tells -------------------------------------------------------------------------------------

    def assigned(self, event: Assigned) -> None:
        """Partitions are ours."""
        self.arrivals.begin(event.partitions)

    def take(self, event: Records) -> None:
        """Records of the jobs' topic."""
        for record in event.records:
            self.arrivals.take_job(record)

    def take_statuses(self, event: Records) -> None:
        """Records of the statuses' topic, of all partitions: wishes to cancel above all."""
        for record in event.records:
            self.arrivals.take_status(record)

    def joined(self, token: GroupToken) -> None:
        """Our membership has a new proof: children commit with it from now on."""
        self.token = token
        self.crew.join(token)

    def revoked(self, event: Revoked) -> None:
        """These partitions go to another worker: commit what was done."""
        if event.token is not None:
            self.joined(event.token)
        self._leave(event.partitions, event.done, "hand_over")

    def lost(self, event: Lost) -> None:
        """These partitions may be another worker's already."""
        self._leave(event.partitions, event.done, "discard")

    def hand_over_all(self) -> None:
        """The worker leaves."""
        self.stopping = True
        self._leave(self.arrivals.owned, threading.Event(), "hand_over")

    @property
    def n_running(self) -> int:
        """How many jobs have a place."""
        return sum(order.job is not None for order in self.crew.orders.values())

    @property
    def busy(self) -> bool:
        """Whether a child still has a job that is to be let go of, or an end is being written."""
        return self._departures.busy or self.ends.busy

    def load(self, name: str) -> Load:
        """What waits and runs, by partition, and how much can be done at once."""
        partitions = tuple((at, max(1, n), 0.0) for at, n in self.book.counts().items() if n)
        return Load(name, self.slots, 0.0, partitions)

    # -- what is to be done ---------------------------------------------------------------------------------------

    def step(self) -> None:
        """Begin what is due, end what is not wanted, and say how far each partition is."""
        if self.stopping:
            return
        now_s = self.clock.wall_s()
        self.arrivals.read_again()
        for entry in self.book.cancelled():
            self._cancel(entry, now_s)
        here = self.n_running
        free = self.slots - here - len(self._beginning)
        if free > 0 and self.token is not None and self.clock.monotonic_s() >= self._next_begin_s:
            due = self.book.due(now_s, free + here)
            # One that was another worker's meanwhile may still be ending here.
            fresh = [entry for entry in due if WORK_PREFIX + entry.job.job not in self.crew.orders]
            for entry in fresh[:free]:
                self._begin(entry, self.token, now_s)
        self.ends.say(self.token)
        self._tell_positions()

    def _begin(self, entry: JobEntry, token: GroupToken, now_s: float) -> None:
        job = entry.job
        last = self.book.status(job.job)
        self.book.started(job.job)
        if last is not None and is_poisonous(job, last):
            self.ends.add(entry, poisonous(entry, last, now_s))
            return
        state, settings, worker = topics(self.config.topics).archive_state, self.config.topics, self.worker
        bus, desk = self.desk.bus, self.desk
        position = self.book.lowest_unfinished(entry.partition)
        assert position is not None, "a job that is due was taken from its partition"
        # With the position, so that nobody says it of a job that is another worker's by now.
        place = Position(token, ((topics(settings).jobs.name, entry.partition, position),))
        self._beginning.add(job.job)
        status: JobStatus | None = None

        def begin() -> JobStatus:
            nonlocal status
            if status is None:
                known = last is not None and last.state_from is not None
                state_from = None if known else bus.end_offset(state.name, partition_of(job.stream, state.partitions))
                status = begun(job, last, worker, now_s, state_from)
            desk.commit_now([records.job_status(status, entry.partition, settings)], place)
            return status

        desk.do(begin, lambda status: self._begun(entry, status), lambda error: self._not_begun(entry, error))

    def _begun(self, entry: JobEntry, status: JobStatus) -> None:
        job = entry.job
        self._beginning.discard(job.job)
        if self.book.get(job.job) is not entry or self.stopping:
            return  # taken from us meanwhile
        self.book.note(status, entry.partition)
        position = self.book.lowest_unfinished(entry.partition)
        assert position is not None, "a job that is begun was taken from its partition"
        order = Order(
            WORK_PREFIX + job.job,
            entry.source,
            models=with_models(
                self.config.models,
                expression=job.model,
                head=job.head,
                detector=job.detector,
                precision=job.precision,
            ),
            guarded=networks_allowed(self.config) is not None,
            job=JobOrder(job=job, status=status, partition=entry.partition, position=position),
        )
        self.crew.add(order)

    def _not_begun(self, entry: JobEntry, error: StreamerError) -> None:
        log.warning("job.not_begun", job=entry.job.job, reason=str(error))
        self._beginning.discard(entry.job.job)
        self._next_begin_s = self.clock.monotonic_s() + BEGIN_AGAIN_S
        if self.book.get(entry.job.job) is entry:
            self.book.stopped(entry.job.job)

    def _cancel(self, entry: JobEntry, now_s: float) -> None:
        job = entry.job.job
        work = WORK_PREFIX + job
        if work in self.crew.orders and self.crew.child_of(work) is None:  # it waits, its child having died
            self.crew.abandon(work)
            self.book.stopped(job)
        if not self.book.is_running(job):
            last = self.book.status(job) or first_status(entry.job)
            self.ends.add(entry, cancelled(last, now_s))
        elif work in self.crew.orders and work not in self._cancelling:
            self._cancelling.add(work)
            self.crew.release(work, Release(work=work, how="cancel"))

    def _take(self, record: Incoming) -> None:
        rejected = self.book.take(record)
        if rejected is None:
            return
        self.book.keep(rejected)
        out = [records.dead_letter(rejected, self.config.topics)]
        end = refused(rejected, self.clock.wall_s())
        if end is not None:
            out.append(records.job_status(end.status, record.partition, self.config.topics))
        log.warning("job.rejected", cause=rejected.cause, reason=rejected.message)
        self.desk.append(out, lambda _: self.book.release(record), lambda error: self._unrejected(record, error))

    def _unrejected(self, record: Incoming, error: StreamerError) -> None:
        log.error("job.rejection_lost", partition=record.partition, offset=record.offset, reason=str(error))
        self.book.release(record)

    def _take_status(self, record: Incoming) -> None:
        rejected = self.book.take_status(record)
        if rejected is not None:
            log.warning("status.rejected", cause=rejected.cause, reason=rejected.message)
            self.desk.append([records.dead_letter(rejected, self.config.topics)])

    def _tell_positions(self) -> None:
        now_s = self.clock.monotonic_s()
        if now_s < self._next_positions_s:
            return
        self._next_positions_s = now_s + POSITIONS_INTERVAL_S
        if now_s >= self._next_all_s:
            self._next_all_s = now_s + ALL_POSITIONS_INTERVAL_S
            self._told.clear()
        positions = self.book.positions()
        moved = {at: offset for at, offset in positions.items() if self._told.get(at) != offset}
        if moved:
            self._told |= moved
            self.tell_all(Positions(offsets=tuple(moved.items())))
            self.commit(moved)

    def _leave(self, partitions: frozenset[int], done: threading.Event, how: Literal["hand_over", "discard"]) -> None:
        self.book.drop(partitions)
        self.arrivals.drop(partitions)
        self.ends.drop(partitions)
        for partition in partitions:
            self._told.pop(partition, None)
        theirs = [work for work, order in self.crew.orders.items() if order.job and order.job.partition in partitions]
        self._departures.begin([work for work in theirs if self.crew.release(work, Release(work=work, how=how))], done)

    def left(self, work: str) -> None:
        """No child has it any more."""
        self._cancelling.discard(work)
        self._departures.left(work)

    # -- what becomes of the orders -------------------------------------------------------------------------------

    def ended(self, order: Order, message: Ended) -> None:
        """It is over, or was let go of."""
        assert order.job is not None, "a job's order has a job"
        self.left(order.work)
        job = order.job.job.job
        entry = self.book.get(job)
        if entry is None or entry.job.attempt != order.job.job.attempt:
            return  # another worker's, or it was for a while and got on there
        now_s = self.clock.wall_s()
        last = self.book.status(job) or order.job.status
        result = message.result
        if message.job_state in JOB_OVER:
            self.told(message.job_state)
            self.book.note(over(last, message.job_state, now_s, result.cause, result.message), entry.partition)
            self.book.ended(job)
            if message.job_state == "cancelled":
                self.desk.append([records.job_cancel_done(job, entry.partition, self.config.topics)])
        elif message.already_done:
            state: Literal["done", "failed"] = "failed" if result.state == "failed" else "done"
            self.ends.add(entry, JobEnd(over(last, state, now_s, result.cause, result.message)))
        elif result.state == "failed":
            self._fail(entry, last, result.cause or "failed", result.message or "it failed.")
        else:
            self.book.stopped(job)

    def resumed(self, order: Order) -> None:
        """Its child died, and it waits for another: not where it was to leave."""
        assert order.job is not None, "a job's order has a job"
        self._cancelling.discard(order.work)
        if self.book.get(order.job.job.job) is None:
            self.crew.abandon(order.work)
            self.left(order.work)

    def given_up(self, order: Order, deaths: int) -> None:
        """Its children died too often."""
        self.refused(order, f"the process that worked on it died {deaths} times.", "child_died")

    def refused(self, order: Order, message: str, cause: str) -> None:
        """It cannot be done here."""
        assert order.job is not None, "a job's order has a job"
        self.left(order.work)
        entry = self.book.get(order.job.job.job)
        if entry is not None and entry.job.attempt == order.job.job.attempt:
            self._fail(entry, self.book.status(entry.job.job) or order.job.status, cause, message)

    def _fail(self, entry: JobEntry, last: JobStatus, cause: str, message: str) -> None:
        self.ends.add(entry, failed(entry, last, cause, message, self.config.fleet, self.clock.wall_s(), self.rng))
