"""Records made and not yet published, and when they leave: archives in transactions, the rest as it comes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from streamer import log
from streamer.bus.checks import record_bytes
from streamer.bus.protocol import Outgoing
from streamer.bus.topics import outgoing, topics
from streamer.clock import Clock
from streamer.config import Config
from streamer.messages import JobState, Record, SourceResult, Status
from streamer.pipeline import StageTimes
from streamer.worker.checkpoints import Checkpoints
from streamer.worker.job_progress import progress, progress_record
from streamer.worker.lane import Lane
from streamer.worker.latency import Arrival
from streamer.worker.publisher import Batch, Publisher
from streamer.worker.snapshots import SnapshotSchedule

_LOOK_S = 0.05
_SAY_LATE_S = 60.0


@dataclass(slots=True)
class _Unpublished:
    """Records waiting since `since_s`, each with the work it is of, and the lanes whose state goes with them."""

    records: list[tuple[str, Outgoing]] = field(default_factory=list)
    lanes: dict[Lane, None] = field(default_factory=dict)
    follow: list[tuple[str, Batch]] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)
    traces: list[Any] = field(default_factory=list)
    since_s: float | None = None
    urgent: bool = False

    def add(self, work: str, records: Iterable[Outgoing], now_s: float) -> None:
        if self.since_s is None:
            self.since_s = now_s
        self.records.extend((work, record) for record in records)

    def discard(self, lane: Lane) -> None:
        self.records = [(work, record) for work, record in self.records if work != lane.work]
        self.follow = [(work, batch) for work, batch in self.follow if work != lane.work]
        self.arrivals = [arrival for arrival in self.arrivals if arrival.work != lane.work]
        self.lanes.pop(lane, None)
        if not (self.records or self.lanes or self.follow):
            self.since_s, self.urgent = None, False


class Outbox:
    """Owned by the child's loop. `first` is called, on a thread of the publisher, after the first archive commit."""

    def __init__(
        self,
        publisher: Publisher,
        checkpoints: Checkpoints,
        config: Config,
        times: StageTimes,
        clock: Clock,
        first: Callable[[], None],
    ) -> None:
        self._publisher = publisher
        publisher.never_spool(topics(config.topics).state.name)  # after an outage, newer and full snapshots are taken
        self._checkpoints = checkpoints
        self._topics = config.topics
        self._settings = config.checkpoint
        self._times = times
        self._clock = clock
        self._first: Callable[[], None] | None = first
        self._archive = _Unpublished()
        self._live = _Unpublished()
        self._positions: dict[int, int] = {}
        self._job_ends: dict[Lane, tuple[JobState, SourceResult | None]] = {}
        self._snapshots: SnapshotSchedule[Lane] = SnapshotSchedule(
            config.checkpoint.live_interval_s, config.checkpoint.live_bytes_per_s
        )
        self._next_look_s = self._next_say_s = 0.0

    # -- what is to be published ------------------------------------------------------------------------------

    def add(
        self, lane: Lane, records: Sequence[Record], arrival_s: float | None = None, trace: Any | None = None
    ) -> None:
        """Take a frame's records, which may be none: an archive's position has moved all the same.

        `arrival_s` is when the frame arrived, on the monotonic clock: how long a live one takes is counted from there.
        `trace` names the batch that it was in, where that is traced.
        """
        encoded = [outgoing(record, self._topics, lane.mode) for record in records]
        if lane.mode == "archive":
            self._archive.add(lane.work, encoded, self._clock.monotonic_s())
            self._archive.lanes[lane] = None
            self._trace(self._archive, trace)
        elif encoded:
            self._live.add(lane.work, encoded, self._clock.monotonic_s())
            if arrival_s is not None:
                self._live.arrivals.append(Arrival(lane.work, arrival_s))
            self._trace(self._live, trace)

    def _trace(self, waiting: _Unpublished, trace: Any | None) -> None:
        if trace is not None and trace not in waiting.traces[-1:]:
            waiting.traces.append(trace)

    def tell(self, status: Status) -> None:
        """Take a status record. It leaves with the live records, whatever mode its stream is in."""
        self._live.add(status.stream, [outgoing(status, self._topics)], self._clock.monotonic_s())

    def opened(self, lane: Lane) -> None:
        """The lane has its state: a live one's snapshot is due at once, since an earlier owner's may come late."""
        if lane.mode == "live":
            self._snapshots.opened(lane, lane.work, self._clock.monotonic_s())

    def positions(self, offsets: Mapping[int, int]) -> None:
        """How far the partitions of jobs are that moved: their lowest unfinished offsets, committed from here on."""
        self._positions |= offsets

    def job_ends(self, lane: Lane, state: JobState, result: SourceResult) -> None:
        """What the lane's last commit says of its job: an end, or, where it was only interrupted, that it waits."""
        waits = state == "running" and result.state == "interrupted"
        self._job_ends[lane] = ("waiting" if waits else state, result)

    def discard(self, lane: Lane) -> None:
        """Publish nothing more of the lane, which may be somebody else's already; nothing of it is `done`."""
        self._archive.discard(lane)
        self._live.discard(lane)
        self._job_ends.pop(lane, None)
        self._publisher.discard(lane.work)

    # -- when it leaves ---------------------------------------------------------------------------------------

    @property
    def due_s(self) -> float:
        """When `on_time` has something to send, on the monotonic clock."""
        due_s = self._archive_due_s
        if self.behind:
            due_s = max(due_s, self._clock.monotonic_s() + _LOOK_S)
        if self._live.since_s is not None:
            due_s = min(due_s, self._live.since_s + self._settings.live_flush_s)
        return due_s

    @property
    def behind(self) -> bool:
        """Whether archives wait for the bus: the less of them is analysed now, the less waits in memory."""
        return self._archive_due_s <= self._clock.monotonic_s() and not self._publisher.has_room(transactional=True)

    @property
    def snapshots_late_s(self) -> float:
        """By how much the bound on snapshots, or an absent bus, stretches their interval now."""
        return max(0.0, self._snapshots.late_s(self._clock.monotonic_s()))

    def on_time(self, lanes: Iterable[Lane]) -> None:
        """Send what has waited long enough; now and then with the state of the live ones among `lanes`."""
        now_s = self._clock.monotonic_s()
        most = 2 * self._settings.archive_max_records
        if now_s >= self._archive_due_s and (not self.behind or len(self._archive.records) >= most):
            self._commit()
        if now_s >= self._next_look_s:
            self._next_look_s = now_s + self._settings.live_flush_s
            self._take_snapshots([lane for lane in lanes if lane.mode == "live"], now_s)
        self.send_live_on_time()

    def send_live_on_time(self) -> None:
        """Send the live records that have waited long enough, without any state: also in the middle of a batch."""
        if (
            self._live.since_s is not None
            and self._clock.monotonic_s() >= self._live.since_s + self._settings.live_flush_s
        ):
            self._send(None)

    def last_of(self, lane: Lane, done: Callable[[], None]) -> None:
        """Send what there is of the lane, an archive's state with it; `done` once all of it is on the bus.

        Of a live stream that was closed no state stays: nobody is to go on from tracks that have left.
        """
        if lane.mode == "live":
            self._live.add(lane.work, self._checkpoints.last(lane), self._clock.monotonic_s())
            self._send(done)
            return
        # Behind the commit: a status never says `ended` of what may still be lost.
        status, own = topics(self._topics).status.name, lane.stream
        last = [(lane.work, one) for work, one in self._live.records if work == own and one.topic == status]
        self._live.records = [(work, one) for work, one in self._live.records if work != own or one.topic != status]
        self._live.since_s = self._live.since_s if self._live.records else None
        self._archive.add(lane.work, (), self._clock.monotonic_s())
        self._archive.lanes[lane] = None
        self._archive.follow.append((lane.work, Batch(last, transactional=False, done=done)))
        self._archive.urgent = True
        if not self.behind:
            self._commit()

    def hand_over(self, lane: Lane, done: Callable[[], None]) -> None:
        """Send what there is of the lane, its state last, for the next owner to go on from; then `done`."""
        if lane.mode == "live":
            self._snapshot(lane)
            self._send(done)
            return
        self._job_ends[lane] = ("waiting", None)
        self.last_of(lane, done)

    def flush(self) -> None:
        """Send everything."""
        if self._archive.since_s is not None:
            self._commit()
        if self._live.since_s is not None:
            self._send(None)

    @property
    def _archive_due_s(self) -> float:
        waiting = self._archive
        if waiting.since_s is None:
            return float("inf")
        if waiting.urgent or len(waiting.records) >= self._settings.archive_max_records:
            return waiting.since_s
        if self._first is not None and waiting.records:
            return waiting.since_s  # somebody waits for the first sign of life; later commits take their time
        return waiting.since_s + self._settings.archive_interval_s

    def _commit(self) -> None:
        """Records, state, progress and position of every archive that moved, in one transaction, between two frames."""
        moved, self._archive = self._archive, _Unpublished()
        first = None
        if moved.records:
            first, self._first = self._first, None
        jobs = topics(self._topics).jobs.name
        positions: dict[str, tuple[str, int, int]] = {}
        with self._times.stage("snapshot"):
            for lane in moved.lanes:
                moved.records += [(lane.work, record) for record in self._checkpoints.take(lane)]
                if (job := lane.job) is not None:
                    state, result = self._job_ends.pop(lane, ("running", None))
                    status = progress(lane, job, self._clock, state, result)
                    moved.records.append((lane.work, progress_record(status, job, self._topics)))
                    offset = max(job.position, self._positions.get(job.partition, 0))
                    positions[lane.work] = (jobs, job.partition, offset)
        self._publisher.publish(Batch(moved.records, True, first, positions, moved.follow, traces=moved.traces))

    def _take_snapshots(self, lanes: Sequence[Lane], now_s: float) -> None:
        """The state of the live streams whose turn it is; none while the bus is away: nobody could keep it."""
        self._snapshots.keep(lanes)
        if self._publisher.away:
            return
        if self._publisher.dropped_any():
            self._snapshots.all_full(now_s)
        # A resting one is as it was, but for tracks that were given up.
        moving = [lane for lane in lanes if lane.phase == "running" or (lane.phase == "resting" and _has_dead(lane))]
        while (lane := self._snapshots.next(moving, now_s)) is not None:
            self._snapshots.took(lane, self._snapshot(lane), now_s)
        late_s = self._snapshots.late_s(now_s)
        if late_s > self._settings.live_interval_s and now_s >= self._next_say_s:
            self._next_say_s = now_s + _SAY_LATE_S
            log.warning("checkpoint.late", late_s=round(late_s, 1), bytes_per_s=self._settings.live_bytes_per_s)

    def _snapshot(self, lane: Lane) -> int:
        with self._times.stage("snapshot"):
            records = self._checkpoints.take(lane, self._snapshots.wants_full(lane))
        if records:
            self._live.add(lane.work, records, self._clock.monotonic_s())
        return sum(map(record_bytes, records))

    def _send(self, done: Callable[[], None] | None) -> None:
        moved, self._live = self._live, _Unpublished()
        self._publisher.publish(
            Batch(moved.records, transactional=False, done=done, arrivals=moved.arrivals, traces=moved.traces)
        )


def _has_dead(lane: Lane) -> bool:
    return lane.state is not None and bool(lane.state.actor.tombstones)
