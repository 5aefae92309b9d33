"""Partitions of jobs that have become ours: what is said of their jobs is read before their jobs are looked at."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from streamer import log
from streamer.bus.protocol import Incoming
from streamer.bus.topics import topics
from streamer.clock import Clock
from streamer.config import Config
from streamer.errors import StreamerError
from streamer.worker.desk import Desk

READ_AGAIN_S = 5.0


@dataclass(slots=True, eq=False)
class _Arrival:
    """What came of a partition while its statuses are being read. `again_s` is set where that failed."""

    jobs: list[Incoming] = field(default_factory=list)
    statuses: list[Incoming] = field(default_factory=list)
    again_s: float | None = None


@dataclass(slots=True)
class Arrivals:
    """Owned by the supervisor's loop. `job` and `status` take what may be looked at, statuses first."""

    config: Config
    desk: Desk
    clock: Clock
    job: Callable[[Incoming], None]
    status: Callable[[Incoming], None]
    _owned: set[int] = field(default_factory=set)
    _reading: dict[int, _Arrival] = field(default_factory=dict)
    _read_to: dict[int, int] = field(default_factory=dict)

    @property
    def owned(self) -> frozenset[int]:
        """The partitions that are ours, whether they were read or not."""
        return frozenset(self._owned)

    def begin(self, partitions: Collection[int]) -> None:
        """These are ours from now on."""
        self._owned |= set(partitions)
        for partition in sorted(partitions):
            self._reading[partition] = _Arrival()
            self._read(partition)

    def drop(self, partitions: Collection[int]) -> None:
        """These are ours no more."""
        self._owned -= set(partitions)
        for partition in partitions:
            self._reading.pop(partition, None)
            self._read_to.pop(partition, None)

    def take_job(self, record: Incoming) -> None:
        """A record of the jobs' topic."""
        if record.partition in self._reading:
            self._reading[record.partition].jobs.append(record)
        elif record.partition in self._owned:
            self.job(record)

    def take_status(self, record: Incoming) -> None:
        """A record of the statuses' topic, of whichever partition; what was read already is not heard again."""
        if record.partition in self._reading:
            self._reading[record.partition].statuses.append(record)
        elif record.partition in self._owned and record.offset > self._read_to.get(record.partition, -1):
            self.status(record)

    def read_again(self) -> None:
        """Try once more what the bus refused a while ago."""
        now_s = self.clock.monotonic_s()
        for partition, arrival in self._reading.items():
            if arrival.again_s is not None and now_s >= arrival.again_s:
                arrival.again_s = None
                self._read(partition)

    def _read(self, partition: int) -> None:
        arrival, bus = self._reading[partition], self.desk.bus
        topic = topics(self.config.topics).jobs_status.name

        def read() -> dict[bytes, Incoming]:
            # Settled: an earlier owner may have a transaction open that holds the end of a job.
            return bus.latest(topic, partition, settled=True)

        self.desk.do(
            read,
            lambda found: self._found(partition, arrival, found),
            lambda error: self._refused(partition, arrival, error),
        )

    def _found(self, partition: int, arrival: _Arrival, found: dict[bytes, Incoming]) -> None:
        if self._reading.get(partition) is not arrival:
            return  # taken from us meanwhile, and perhaps given again
        del self._reading[partition]
        self._read_to[partition] = max((record.offset for record in found.values()), default=-1)
        for record in found.values():
            self.status(record)
        for record in arrival.statuses:
            self.take_status(record)
        for record in arrival.jobs:
            self.job(record)

    def _refused(self, partition: int, arrival: _Arrival, error: StreamerError) -> None:
        log.error("jobs.unread", partition=partition, cause=error.cause, reason=str(error))
        arrival.again_s = self.clock.monotonic_s() + READ_AGAIN_S
