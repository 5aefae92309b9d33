"""The jobs of the partitions we own: done out of order, with the position of each partition behind the unfinished.

A partition's position is its lowest unfinished offset, so jobs above it that are over are read again by the next
owner: their statuses say so. Whoever takes a partition over gives the book its statuses first, then its jobs.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection
from dataclasses import dataclass, field

from streamer.bus.protocol import Incoming
from streamer.bus.topics import content_type
from streamer.errors import StreamerError
from streamer.fleet.admission import Admission
from streamer.messages import JOB_OVER, Job, JobCancel, JobStatus, decode
from streamer.source import Source
from streamer.wishes.records import CANCEL_SUFFIX, Rejected


class BadJob(StreamerError):
    """A job contradicts itself or its place."""

    cause = "bad_job"


@dataclass(frozen=True, slots=True)
class JobEntry:
    """A job that is not over: its record, and the source it means."""

    job: Job
    source: Source
    record: Incoming

    @property
    def partition(self) -> int:
        """Where its record lies, and its status too."""
        return self.record.partition


def _turn(entry: JobEntry) -> tuple[float, int, int]:
    return (entry.job.submitted_s, entry.record.offset, entry.partition)


@dataclass(slots=True)
class _Partition:
    """`next` is the offset behind the newest record taken; None until there was one."""

    next: int | None = None
    unfinished: dict[int, str] = field(default_factory=dict)


@dataclass(slots=True)
class JobBook:
    """Which jobs wait, which run, and how far each partition is. Times are wall time: other machines set some."""

    admission: Admission
    _partitions: dict[int, _Partition] = field(default_factory=dict)
    _entries: dict[str, JobEntry] = field(default_factory=dict)
    _statuses: dict[str, tuple[int, JobStatus]] = field(default_factory=dict)
    _over: dict[str, int] = field(default_factory=dict)
    _cancels: dict[str, int] = field(default_factory=dict)
    _running: set[str] = field(default_factory=set)

    def take(self, record: Incoming) -> Rejected | None:
        """A record of the jobs' topic. One that is no job counts as finished and comes back with the reason."""
        partition = self._partitions.setdefault(record.partition, _Partition())
        if partition.next is not None and record.offset < partition.next:
            return None  # read again; what it asks for is known
        partition.next = record.offset + 1
        if record.value is None:
            return None
        job = None
        try:
            job = self._read(record, record.value)
            if self._is_over(job):
                return None
            source = self._source(job)
        except StreamerError as error:
            return Rejected(record, error.cause, str(error), job)
        known = self._entries.get(job.job)
        if known is not None:
            if job.job in self._running or job.attempt <= known.job.attempt:
                return None  # the same wish twice
            self.ended(job.job)
        self._entries[job.job] = JobEntry(job, source, record)
        partition.unfinished[record.offset] = job.job
        return None

    def take_status(self, record: Incoming) -> Rejected | None:
        """A record of the jobs' statuses: how far a job is, or the wish to cancel it.

        A job that is over elsewhere, or has a later attempt, waits here no more.
        """
        key = record.key.decode("utf-8", "surrogateescape")
        try:
            if record.key.endswith(CANCEL_SUFFIX):
                job = key.removesuffix(CANCEL_SUFFIX.decode())
                if record.value is None:
                    self._cancels.pop(job, None)
                else:
                    decode(record.value, JobCancel, content_type(record.headers))
                    self._cancels[job] = record.partition
            elif record.value is not None:
                self.note(decode(record.value, JobStatus, content_type(record.headers)), record.partition)
        except StreamerError as error:
            return Rejected(record, error.cause, str(error))
        return None

    def note(self, status: JobStatus, partition: int) -> None:
        """This is the newest status of a job; say so for those we write ourselves too."""
        if status.state in JOB_OVER:  # there may be very many, and no more is asked of them
            self._statuses.pop(status.job, None)
            self._over[status.job] = partition
        else:
            self._statuses[status.job] = (partition, status)
            self._over.pop(status.job, None)
        entry = self._entries.get(status.job)
        if entry is not None and self._is_over(entry.job) and status.job not in self._running:
            self.ended(status.job)

    def status(self, job: str) -> JobStatus | None:
        """The newest status known of a job; None of one that is over."""
        known = self._statuses.get(job)
        return known[1] if known else None

    def due(self, now_s: float, free_slots: int) -> list[JobEntry]:
        """The next jobs to start, at most `free_slots`: those submitted first; cancelled ones are none of them.

        They stay due until `started` or `ended` is told.
        """
        if free_slots <= 0:  # the usual answer, whatever waits
            return []
        waiting = [
            entry
            for entry in self._entries.values()
            if entry.job.job not in self._running
            and entry.job.job not in self._cancels
            and (entry.job.not_before_s is None or entry.job.not_before_s <= now_s)
        ]
        return heapq.nsmallest(free_slots, waiting, key=_turn)

    def started(self, job: str) -> None:
        """The job has a place."""
        if job in self._entries:
            self._running.add(job)

    def stopped(self, job: str) -> None:
        """The job has lost its place and is not over: it waits again."""
        self._running.discard(job)

    def ended(self, job: str) -> None:
        """The job is over, or goes on as another record: its record is done with."""
        self._running.discard(job)
        entry = self._entries.pop(job, None)
        if entry is not None:
            self._partitions[entry.partition].unfinished.pop(entry.record.offset, None)

    def hold(self, entry: JobEntry) -> None:
        """As `ended`, but the bus does not say so yet: its record is not done with until `release`."""
        self._running.discard(entry.job.job)
        self._entries.pop(entry.job.job, None)

    def keep(self, rejected: Rejected) -> None:
        """The bus does not say yet that this record was rejected: it is not done with until `release`."""
        self._partitions[rejected.record.partition].unfinished[rejected.record.offset] = ""

    def release(self, record: Incoming) -> None:
        """A record that was held or kept is done with."""
        known = self._partitions.get(record.partition)
        if known is not None:
            known.unfinished.pop(record.offset, None)

    def cancelled(self) -> list[JobEntry]:
        """The jobs that are not over and are not wanted any more, running ones too: see `is_running`."""
        return [entry for job in sorted(self._cancels) if (entry := self._entries.get(job)) is not None]

    def is_running(self, job: str) -> bool:
        """Whether the job has a place."""
        return job in self._running

    def get(self, job: str) -> JobEntry | None:
        """A job that is not over."""
        return self._entries.get(job)

    def lowest_unfinished(self, partition: int, done: Collection[int] = ()) -> int | None:
        """The next offset to commit, also once those of `done` are; None where no record was taken yet."""
        known = self._partitions.get(partition)
        if known is None or known.next is None:
            return None
        return min((offset for offset in known.unfinished if offset not in done), default=known.next)

    def positions(self) -> dict[int, int]:
        """`lowest_unfinished` of every partition that has one."""
        found = {partition: self.lowest_unfinished(partition) for partition in self._partitions}
        return {partition: offset for partition, offset in sorted(found.items()) if offset is not None}

    def counts(self) -> dict[int, int]:
        """How many jobs of each partition are not over."""
        return {partition: len(known.unfinished) for partition, known in sorted(self._partitions.items())}

    def drop(self, partitions: Collection[int]) -> list[JobEntry]:
        """Forget these partitions; returns the jobs of theirs that have a place and must leave it."""
        gone = [entry for entry in self._entries.values() if entry.partition in partitions]
        running = [entry for entry in gone if entry.job.job in self._running]
        for entry in gone:
            del self._entries[entry.job.job]
            self._running.discard(entry.job.job)
        self._statuses = {job: known for job, known in self._statuses.items() if known[0] not in partitions}
        self._over = {job: partition for job, partition in self._over.items() if partition not in partitions}
        self._cancels = {job: partition for job, partition in self._cancels.items() if partition not in partitions}
        for partition in partitions:
            self._partitions.pop(partition, None)
        return running

    def _read(self, record: Incoming, value: bytes) -> Job:
        job = decode(value, Job, content_type(record.headers))
        if not job.job or not job.job.isprintable() or job.job.endswith(CANCEL_SUFFIX.decode()):
            raise BadJob("its id is empty or no name: submit it with `streamer jobs submit`.")
        if record.key.decode("utf-8", "surrogateescape") != job.job:
            raise BadJob("it names another job than its key: both must be the job's id.")
        if job.attempt < 1:
            raise BadJob("its attempt must be 1 or more.")
        return job

    def _source(self, job: Job) -> Source:
        self.admission.check_models(job.model, job.detector, job.head, job.precision)
        return self.admission.source(job.stream, job.source, "archive")

    def _is_over(self, job: Job) -> bool:
        status = self.status(job.job)
        return job.job in self._over or (status is not None and status.attempt > job.attempt)
