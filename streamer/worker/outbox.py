"""Records made and not yet published, and when they leave: archives in transactions, the rest as it comes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from streamer.bus.protocol import Outgoing
from streamer.bus.topics import outgoing
from streamer.clock import Clock
from streamer.config import Config
from streamer.messages import Record, Status
from streamer.pipeline import StageTimes
from streamer.worker.checkpoints import Checkpoints
from streamer.worker.lane import Lane
from streamer.worker.publisher import Batch, Publisher

FIRST_COMMIT_S = 0.25  # somebody waits for the first sign of life; later commits take their time


@dataclass(slots=True)
class _Unpublished:
    """Records waiting since `since_s`, and the lanes whose state goes with them."""

    records: list[Outgoing] = field(default_factory=list)
    lanes: dict[Lane, None] = field(default_factory=dict)
    since_s: float | None = None

    def add(self, records: Sequence[Outgoing], now_s: float) -> None:
        if self.since_s is None:
            self.since_s = now_s
        self.records.extend(records)


class Outbox:
    """Owned by the child's loop. `first` is called, on the publisher thread, after the first archive commit."""

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
        self._checkpoints = checkpoints
        self._topics = config.topics
        self._settings = config.checkpoint
        self._times = times
        self._clock = clock
        self._first: Callable[[], None] | None = first
        self._archive = _Unpublished()
        self._live = _Unpublished()
        self._next_snapshot_s = 0.0

    def add(self, lane: Lane, records: Sequence[Record]) -> None:
        """Take a frame's records, which may be none: an archive's position has moved all the same."""
        encoded = [outgoing(record, self._topics, lane.mode) for record in records]
        if lane.mode == "archive":
            self._archive.add(encoded, self._clock.monotonic_s())
            self._archive.lanes[lane] = None
        elif encoded:
            self._live.add(encoded, self._clock.monotonic_s())

    def tell(self, status: Status) -> None:
        """Take a status record. It leaves with the live records, whatever mode its stream is in."""
        self._live.add([outgoing(status, self._topics)], self._clock.monotonic_s())

    @property
    def due_s(self) -> float:
        """When `on_time` has something to send, on the monotonic clock."""
        due_s = float("inf")
        if self._archive.since_s is not None:
            due_s = self._archive.since_s + self._commit_after_s
        if self._live.since_s is not None:
            due_s = min(due_s, self._live.since_s + self._settings.live_flush_s)
        return due_s

    def on_time(self, lanes: Iterable[Lane]) -> None:
        """Send what has waited long enough; now and then with the state of the live ones among `lanes`."""
        now_s = self._clock.monotonic_s()
        since_s, n_records = self._archive.since_s, len(self._archive.records)
        if since_s is not None and (
            now_s >= since_s + self._commit_after_s or n_records >= self._settings.archive_max_records
        ):
            self._commit()
        if self._live.since_s is not None and now_s >= self._live.since_s + self._settings.live_flush_s:
            if now_s >= self._next_snapshot_s:
                self._next_snapshot_s = now_s + self._settings.live_interval_s
                self._snapshot(lane for lane in lanes if lane.mode == "live" and lane.phase == "running")
            self._send(None)

    def last_of(self, lane: Lane, done: Callable[[], None]) -> None:
        """Send what there is of the lane, an archive's state with it; `done` once all of it is on the bus."""
        if lane.mode == "archive":
            self._commit()
        self._send(done)  # behind the commit: a status never says `ended` of what may still be lost

    def flush(self) -> None:
        """Send everything."""
        if self._archive.since_s is not None:
            self._commit()
        if self._live.since_s is not None:
            self._send(None)

    @property
    def _commit_after_s(self) -> float:
        interval_s = self._settings.archive_interval_s
        return interval_s if self._first is None else min(FIRST_COMMIT_S, interval_s)

    def _commit(self) -> None:
        """Records, state and position of every archive stream that moved, in one transaction, between two frames."""
        moved, self._archive = self._archive, _Unpublished()
        first, self._first = self._first, None
        with self._times.stage("snapshot"):
            for lane in moved.lanes:
                moved.records += self._checkpoints.take(lane)
        self._publisher.publish(Batch(moved.records, transactional=True, done=first))

    def _snapshot(self, lanes: Iterable[Lane]) -> None:
        with self._times.stage("snapshot"):
            for lane in lanes:
                self._live.records += self._checkpoints.take(lane)

    def _send(self, done: Callable[[], None] | None) -> None:
        moved, self._live = self._live, _Unpublished()
        self._publisher.publish(Batch(moved.records, transactional=False, done=done))
