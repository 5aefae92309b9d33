"""Ends of jobs that no child commits: each is written with its partition's position, until the bus has it.

A position never goes past a job whose end is not on the bus: a worker that dies leaves it to the next owner.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from streamer import log
from streamer.bus.protocol import GroupToken, Outgoing, Position
from streamer.bus.topics import topics
from streamer.clock import Clock
from streamer.config import Config
from streamer.errors import DeliveryFailed, Fenced, StreamerError
from streamer.fleet.jobs import JobBook, JobEntry
from streamer.fleet.retry import JobEnd
from streamer.messages import JobState
from streamer.wishes import records
from streamer.worker.desk import Desk

MOST_AT_ONCE = 200
PAUSE_S = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class _Unsaid:
    entry: JobEntry
    end: JobEnd


@dataclass(slots=True)
class JobEnds:
    """Owned by the supervisor's loop. Many ends share a transaction; one transaction is under way at a time."""

    config: Config
    desk: Desk
    clock: Clock
    book: JobBook
    told: Callable[[JobState], None] = lambda _: None
    """Is told of each end that the bus has."""
    _waiting: list[_Unsaid] = field(default_factory=list)
    _saying: list[_Unsaid] | None = None
    _at_once: int = MOST_AT_ONCE
    _next_s: float = 0.0

    def add(self, entry: JobEntry, end: JobEnd) -> None:
        """This becomes of a job that no child has."""
        log.info("job.ends", job=entry.job.job, state=end.status.state, cause=end.status.cause)
        self.book.hold(entry)
        self.book.note(end.status, entry.partition)
        self._waiting.append(_Unsaid(entry, end))

    def drop(self, partitions: Collection[int]) -> None:
        """Whoever has these partitions next finds the jobs as they are on the bus."""
        self._waiting = [one for one in self._waiting if one.entry.partition not in partitions]
        if self._saying is not None:
            self._saying = [one for one in self._saying if one.entry.partition not in partitions]

    @property
    def busy(self) -> bool:
        """Whether something is being written."""
        return self._saying is not None

    def say(self, token: GroupToken | None) -> None:
        """Write what waits, as the member that `token` shows."""
        if token is None or not self._waiting or self._saying is not None or self.clock.monotonic_s() < self._next_s:
            return
        self._saying, self._waiting = self._waiting[: self._at_once], self._waiting[self._at_once :]
        out = [record for one in self._saying for record in self._records(one)]
        done: dict[int, set[int]] = {}
        for one in self._saying:
            done.setdefault(one.entry.partition, set()).add(one.entry.record.offset)
        topic = topics(self.config.topics).jobs.name
        places = [
            (topic, partition, self.book.lowest_unfinished(partition, offsets)) for partition, offsets in done.items()
        ]
        position = Position(token, tuple((name, at, next_) for name, at, next_ in places if next_ is not None))
        self.desk.commit(out, position, lambda _: self._said(), self._unsaid)

    def _said(self) -> None:
        said, self._saying, self._at_once = self._saying or [], None, MOST_AT_ONCE
        for one in said:
            self.book.release(one.entry.record)
            self.told(one.end.status.state)

    def _unsaid(self, error: StreamerError) -> None:
        """A newer membership may do; of what the bus refuses, the one that is to blame is found."""
        again, self._saying = self._saying or [], None
        self._next_s = self.clock.monotonic_s() + PAUSE_S
        log.warning("job.end_unsaid", jobs=[one.entry.job.job for one in again], reason=str(error))
        if isinstance(error, DeliveryFailed) and not isinstance(error, Fenced) and error.refused:
            if self._at_once == 1:
                for one in again:
                    log.error("job.end_lost", job=one.entry.job.job, reason=str(error))
                    self.book.release(one.entry.record)
                again = []
            self._at_once = 1
        self._waiting = again + self._waiting

    def _records(self, one: _Unsaid) -> list[Outgoing]:
        settings, end, partition = self.config.topics, one.end, one.entry.partition
        out = [records.job_status(end.status, partition, settings)]
        if end.again is not None:
            out.append(records.job(end.again, partition, settings))
        if end.letter is not None:
            out.append(records.dead_letter(end.letter, settings))
        if end.status.state == "cancelled":
            out.append(records.job_cancel_done(one.entry.job.job, partition, settings))
        return out
