"""What a child tells of itself once a second: its streams, its stages, its batches, and how it stands with the bus."""

from __future__ import annotations

from collections.abc import Collection

from streamer.counting import FILL_BUCKETS, SIZE_BUCKETS, Counted, Counting, total
from streamer.pipeline import StageTimes
from streamer.worker import accounts
from streamer.worker.lane import Lane
from streamer.worker.link import Batches, Tick
from streamer.worker.publisher import Publisher


class Reports:
    """Owned by the child's loop."""

    def __init__(self, times: StageTimes, publisher: Publisher) -> None:
        self._times = times
        self._publisher = publisher
        self._frames, self._faces = Counting(SIZE_BUCKETS), Counting(SIZE_BUCKETS)
        self._fill = Counting(FILL_BUCKETS)
        self._decoding_cpu_s = 0.0
        self._decoded = Counted()

    def batch(self, n_frames: int, n_faces: int, most_frames: int) -> None:
        """A batch was analysed; a full one has `most_frames`."""
        self._frames.observe(n_frames)
        self._faces.observe(n_faces)
        self._fill.observe(min(1.0, n_frames / most_frames))

    def ended(self, lane: Lane) -> None:
        """The lane is no more: what its decoder took stays."""
        self._decoding_cpu_s += lane.cpu_s
        self._decoded = total((self._decoded, lane.decoding))

    def tick(self, lanes: Collection[Lane], now_s: float, n_hung: int, helpers: tuple[int, ...]) -> Tick:
        """All of it, at `now_s` of the monotonic clock."""
        delivery = self._publisher.delivery
        return Tick(
            streams=accounts.ticks(lanes, now_s, self._publisher.latencies),
            published=self._publisher.published,
            bus_away_s=delivery.away_s,
            spooled=delivery.spooled,
            replayed=delivery.replayed,
            discarded=delivery.discarded,
            waiting=delivery.waiting,
            unacknowledged=delivery.unacknowledged,
            lag_s=delivery.lag_s,
            hung=n_hung,
            stage_s=self._cpu_s(lanes),
            passes=self._passes(lanes),
            batches=Batches(frames=self._frames.counted, faces=self._faces.counted, fill=self._fill.counted),
            helpers=helpers,
        )

    def _cpu_s(self, lanes: Collection[Lane]) -> dict[str, float]:
        decoding_s = self._decoding_cpu_s + sum(lane.cpu_s for lane in lanes)
        return self._times.seconds | {"decode": decoding_s, "publish": self._publisher.cpu_s}

    def _passes(self, lanes: Collection[Lane]) -> dict[str, Counted]:
        passes = {name: counting.counted for name, counting in self._times.passes.items()}
        decoded = total((self._decoded, *(lane.decoding for lane in lanes)))
        return passes | {"decode": decoded, "publish": self._publisher.passes}
