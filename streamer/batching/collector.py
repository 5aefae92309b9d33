"""The batching policy: bounded queues by stream, fair batches across streams, drops counted with their cause.

Pure: no thread, no lock, the time is passed in. `exchange.py` puts a lock around it.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from streamer.messages import Mode

Name = TypeVar("Name", bound=Hashable)
Item = TypeVar("Item")


@dataclass(slots=True)
class _Lane(Generic[Item]):
    mode: Mode
    capacity: int
    queue: deque[tuple[float, Item]] = field(default_factory=deque)
    ended: bool = False


class Collector(Generic[Name, Item]):
    """Frames waiting, by stream, which whoever opens a lane names as it likes.

    Live lanes: the newest frame wins, the oldest waiting one is given back as dropped. Archive lanes: a full lane
    refuses, and whoever offers waits. A batch is due when it is full, when its oldest frame has waited
    `max_wait_s`, or when no lane could deliver more (all full or ended). While archives are held back (what was made of
    them before waits for the bus), batches are of live lanes alone.
    """

    def __init__(self, max_frames: int, max_wait_s: float) -> None:
        self._max_frames = max_frames
        self._max_wait_s = max_wait_s
        self._lanes: OrderedDict[Name, _Lane[Item]] = OrderedDict()
        self.archives_held = False

    def open(self, stream: Name, mode: Mode, capacity: int) -> None:
        """Begin a lane; a lane of that name must not exist."""
        if stream in self._lanes:
            raise ValueError(f"lane {stream!r} is already open")
        self._lanes[stream] = _Lane(mode, max(1, capacity))

    def has_room(self, stream: Name) -> bool:
        """Whether `offer` would take a frame without dropping one. A closed lane takes (and forgets) anything."""
        lane = self._lanes.get(stream)
        return lane is None or len(lane.queue) < lane.capacity

    def offer(self, stream: Name, item: Item, now_s: float) -> Item | None:
        """Queue a frame; returns the older frame a live lane dropped for it.

        Raises `ValueError` on a full archive lane: ask `has_room` first.
        """
        lane = self._lanes.get(stream)
        if lane is None or lane.ended:
            return item
        dropped: Item | None = None
        if len(lane.queue) >= lane.capacity:
            if lane.mode == "archive":
                raise ValueError(f"lane {stream!r} is full")
            dropped = lane.queue.popleft()[1]
        lane.queue.append((now_s, item))
        return dropped

    def end(self, stream: Name) -> None:
        """No further frame will be offered; what waits is still delivered."""
        if stream in self._lanes:
            self._lanes[stream].ended = True

    def close(self, stream: Name) -> list[Item]:
        """Forget a lane; returns what was still waiting."""
        lane = self._lanes.pop(stream, None)
        return [item for _, item in lane.queue] if lane else []

    def finished(self) -> list[Name]:
        """Ended lanes with nothing left to deliver."""
        return [name for name, lane in self._lanes.items() if lane.ended and not lane.queue]

    def due_in_s(self, now_s: float) -> float | None:
        """0 when a batch should be taken now, else seconds until one must be; None when nothing waits."""
        able = [lane for lane in self._lanes.values() if self._may_give(lane)]
        waiting = [lane for lane in able if lane.queue]
        if not waiting:
            return None
        n_waiting = sum(len(lane.queue) for lane in waiting)
        can_grow = any(not lane.ended and len(lane.queue) < lane.capacity for lane in able)
        if n_waiting >= self._max_frames or not can_grow:
            return 0.0
        oldest_s = min(lane.queue[0][0] for lane in waiting)
        return max(0.0, oldest_s + self._max_wait_s - now_s)

    def take(self) -> Sequence[tuple[Name, Item]]:
        """The next batch: one frame of each stream in turn until it is full; a stream's frames keep their order."""
        batch: list[tuple[Name, Item]] = []
        while len(batch) < self._max_frames:
            took = False
            for name in list(self._lanes):
                if len(batch) >= self._max_frames:
                    break
                lane = self._lanes[name]
                if lane.queue and self._may_give(lane):
                    batch.append((name, lane.queue.popleft()[1]))
                    self._lanes.move_to_end(name)  # whoever was served waits longest next time
                    took = True
            if not took:
                break
        return batch

    def _may_give(self, lane: _Lane[Item]) -> bool:
        return not (self.archives_held and lane.mode == "archive")
