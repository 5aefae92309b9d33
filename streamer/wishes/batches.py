"""How far submitted work is: the statuses of jobs, taken together by batch. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from streamer.bus.protocol import Incoming
from streamer.bus.topics import content_type
from streamer.errors import UndecodableRecord
from streamer.messages import JOB_OVER, JobStatus, decode
from streamer.wishes.records import CANCEL_SUFFIX


@dataclass(frozen=True, slots=True)
class KnownJob:
    """The newest status of a job, the partition it lies in, and whether it is wished that it end."""

    status: JobStatus
    partition: int
    cancelling: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch. Times are seconds: `media_s` of `total_s` are done (guessed by the mean where lengths are not known
    yet; None where none is), `speed` times as fast as real time, and `left_s` remain. `jobs` are sorted by stream."""

    batch: str
    counts: dict[str, int]
    media_s: float
    total_s: float | None
    speed: float | None
    left_s: float | None
    jobs: tuple[KnownJob, ...]

    @property
    def over(self) -> bool:
        """Whether nothing of it is still to be done."""
        return all(job.status.state in JOB_OVER for job in self.jobs)

    @property
    def fraction(self) -> float | None:
        """How much is done, 0 to 1, by media time."""
        if self.over:
            return 1.0
        return min(1.0, self.media_s / self.total_s) if self.total_s else None


@dataclass(slots=True)
class JobBoard:
    """What the jobs' status topic says, record by record. `unreadable` counts what is no record of ours there."""

    unreadable: int = 0
    _jobs: dict[str, tuple[JobStatus, int]] = field(default_factory=dict)
    _cancels: set[str] = field(default_factory=set)

    def take(self, record: Incoming) -> None:
        """A record of the topic."""
        key = record.key.decode("utf-8", "surrogateescape")
        if record.key.endswith(CANCEL_SUFFIX):
            job = key.removesuffix(CANCEL_SUFFIX.decode())
            self._cancels.discard(job) if record.value is None else self._cancels.add(job)
        elif record.value is None:
            self._jobs.pop(key, None)
        else:
            try:
                status = decode(record.value, JobStatus, content_type(record.headers))
            except UndecodableRecord:
                self.unreadable += 1
                return
            self._jobs[status.job] = (status, record.partition)

    def jobs(self) -> dict[str, KnownJob]:
        """Every known job by its id."""
        return {
            job: KnownJob(status, partition, job in self._cancels and status.state not in JOB_OVER)
            for job, (status, partition) in self._jobs.items()
        }

    def named(self, names: Iterable[str]) -> tuple[dict[str, KnownJob], list[str]]:
        """The jobs that `names` (of batches or jobs) mean, and the names that mean none."""
        jobs = self.jobs()
        found: dict[str, KnownJob] = {}
        unknown: list[str] = []
        for name in names:
            meant = {job: known for job, known in jobs.items() if name in (job, known.status.batch)}
            found |= meant
            if not meant:
                unknown.append(name)
        return found, unknown


def batches(jobs: Iterable[KnownJob], now_s: float) -> list[Batch]:
    """The batches of `jobs`, the earliest submitted first."""
    by_batch: dict[str, list[KnownJob]] = {}
    for job in jobs:
        by_batch.setdefault(job.status.batch, []).append(job)
    found = [_batch(name, members, now_s) for name, members in by_batch.items()]
    return sorted(found, key=lambda batch: (min(job.status.submitted_s for job in batch.jobs), batch.batch))


def _batch(name: str, jobs: list[KnownJob], now_s: float) -> Batch:
    jobs = sorted(jobs, key=lambda job: (job.status.stream, job.status.job))
    statuses = [job.status for job in jobs]
    counts = Counter("cancelling" if job.cancelling else job.status.state for job in jobs)
    media_s = sum(status.media_time_s for status in statuses)
    lengths = [_length_s(status) for status in statuses]
    known = [length_s for length_s in lengths if length_s is not None]
    total_s = sum(known) + (len(lengths) - len(known)) * sum(known) / len(known) if known else None
    speed = _speed(statuses, media_s, now_s)
    left_s = None
    if all(status.state in JOB_OVER for status in statuses):
        left_s = 0.0
    elif speed and total_s is not None:
        left_s = max(0.0, total_s - media_s) / speed
    return Batch(name, dict(sorted(counts.items())), media_s, total_s, speed, left_s, tuple(jobs))


def _length_s(status: JobStatus) -> float | None:
    """How much media time a job has; what is over has no more than was done."""
    if status.state in JOB_OVER:
        return status.media_time_s
    return None if status.duration_s is None else max(status.duration_s, status.media_time_s)


def _speed(statuses: list[JobStatus], media_s: float, now_s: float) -> float | None:
    """Media time against wall time, from the first start to the last end, or to now where something still runs."""
    begun = [status.started_s for status in statuses if status.started_s is not None]
    if not begun or media_s <= 0:
        return None
    ends = [status.finished_s or status.updated_s for status in statuses if status.started_s is not None]
    until_s = now_s if any(status.state == "running" for status in statuses) else max(ends)
    wall_s = until_s - min(begun)
    return media_s / wall_s if wall_s > 0 else None
