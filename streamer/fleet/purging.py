"""Forgetting a stream: when that may be done, doing it, and looking whether anything is left."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

from streamer.bus.protocol import Bus, Erased, Found
from streamer.bus.read import drain
from streamer.bus.topics import Topics, key_of, partition_of, topics
from streamer.config import Config
from streamer.errors import UsageError
from streamer.fleet.traces import Traces, jobs_of
from streamer.messages import JOB_OVER, JobStatus, Status
from streamer.progress import printable
from streamer.wishes.views import read

STILL_WRITTEN_S = 10.0
"""A stream of which something was heard within that is being watched: its owner says every second that it lives."""
_OVER = ("ended", "failed")


@dataclass(frozen=True, slots=True)
class Purge:
    """What is to be forgotten: a stream, or what it left in one run."""

    config: Config
    stream: str
    run: str | None = None

    @property
    def names(self) -> Topics:
        """The topics of the bus."""
        return topics(self.config.topics)

    def check_over(self, bus: Bus, now_s: float) -> None:
        """Raise `UsageError` while something may still write of it, saying what ends that."""
        name, names, key = printable(self.stream), self.names, key_of(self.stream)
        place = partition_of(self.stream, names.streams.partitions)
        if self.run is None and key in bus.latest(names.streams.name, place, [key]):
            raise UsageError(f"{name} is a wanted stream: take it out with `streamer streams remove {name}` first")
        heard = bus.latest(names.status.name, place, [key]).get(key)
        status = read(heard, Status)
        if heard is not None and status is not None and status.state not in _OVER and self._in_run(status.run):
            age_s = now_s - heard.time_s
            if age_s < STILL_WRITTEN_S:
                raise UsageError(
                    f"{name} is being watched: {status.state} was said of it {max(0.0, age_s):.0f} s ago; stop that"
                    f" first (one that was killed is taken for gone after {STILL_WRITTEN_S:.0f} s)"
                )
        newest = {record.key: read(record, JobStatus) for record in drain(bus, [names.jobs_status.name])}
        for job in newest.values():
            if job is not None and job.stream == self.stream and self._in_run(job.run) and job.state not in JOB_OVER:
                raise UsageError(f"{name} has a job that is {job.state}: `streamer jobs cancel {job.batch}` first")

    def look(self, bus: Bus) -> dict[str, Found]:
        """What can still be read of it, by topic."""
        return bus.find([topic.name for topic in self.names.all()], self._traces(bus).judge)

    def erase(self, bus: Bus) -> Erased:
        """Forget it, as far as the bus can."""
        return bus.erase([topic.name for topic in self.names.all()], self._traces(bus).judge)

    def _in_run(self, run: str | None) -> bool:
        return self.run is None or run is None or run == self.run

    def _traces(self, bus: Bus) -> Traces:
        names = self.names
        records = chain(*(drain(bus, [topic.name], "read_uncommitted") for topic in (names.jobs, names.jobs_status)))
        return Traces(names, self.stream, self.run, jobs_of(records, names, self.stream, self.run))
