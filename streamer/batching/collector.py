"""The batching policy: bounded queues by stream, fair batches across streams, drops counted with their cause.

Pure: no thread, no lock, the time is passed in. `exchange.py` puts a lock around it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from streamer.messages import Mode

Name = TypeVar("Name", bound=Hashable)
Item = TypeVar("Item")

LIVE_QUEUE_FRAMES = 2
"""So many frames of a live stream wait at most: the one that is next, and the newest."""
SEARCH_COST = 5
"""What a frame costs beside its faces, in faces: a search takes about as long as aligning and embedding five."""
CROWD_FACES = 8
"""A frame that is likely to show more faces than that goes through the models alone where live frames may wait."""
MOST_PASSED = 3
"""Whoever waited while so many batches went by is put into the next, whatever the priorities."""


@dataclass(slots=True)
class _Waiting(Generic[Item]):
    """A frame: when it was offered, and since when it counts as old."""

    item: Item
    offered_s: float
    born_s: float


@dataclass(slots=True)
class _Lane(Generic[Item]):
    """`used` is the work its stream has had, on the clock of its priority; `passed` how many batches it waited."""

    mode: Mode
    capacity: int
    priority: int
    number: int
    queue: deque[_Waiting[Item]] = field(default_factory=deque)
    ended: bool = False
    faces: int = 0
    used: int = 0
    passed: int = 0

    @property
    def crowded(self) -> bool:
        return self.faces > CROWD_FACES

    @property
    def overdue(self) -> bool:
        return self.passed >= MOST_PASSED


class Collector(Generic[Name, Item]):
    """Frames waiting, by stream, which whoever opens a lane names as it likes.

    Live lanes: the newest frame wins, the oldest waiting one is given back as dropped; one older than `late_s` (0:
    never) when its turn comes is dropped too, see `late`. Archive lanes: a full lane refuses, and whoever offers
    waits. A batch is due when it is full, when its oldest frame has waited `max_wait_s`, or when no lane could deliver
    more (all full or ended). While archives are held back (what was made of them before waits for the bus), batches
    are of live lanes alone. Where all lanes are archives nobody waits for a record: a batch then has up to
    `archive_frames` frames (0: as many as else), as long as it is not likely to show more faces than that.

    Who comes into a batch where not all can: higher priorities first; within one, every stream has the same share of
    the work, so that frames with many faces come less often than others when there is too much to do. A stream that
    was passed over by `MOST_PASSED` batches gets a frame into the next one, the longest waiting first; such streams
    take half of a batch at most.
    While there are live lanes, frames that are likely to show a crowd come after the others of their priority, each in
    a batch of its own, and `take_passing` lets the others by in the middle of it.
    """

    def __init__(self, max_frames: int, max_wait_s: float, late_s: float = 0.0, archive_frames: int = 0) -> None:
        self._max_frames = max_frames
        self._archive_frames = max(max_frames, archive_frames)
        self._n_live = 0
        self._max_wait_s = max_wait_s
        self._late_s = late_s
        self._lanes: dict[Name, _Lane[Item]] = {}
        self._used: dict[int, int] = {}  # by priority, where the stream served last stood: where newcomers begin
        self._late: list[tuple[Name, Item]] = []
        self._n_opened = 0
        self.archives_held = False

    def open(self, stream: Name, mode: Mode, capacity: int, priority: int = 0) -> None:
        """Begin a lane; a lane of that name must not exist."""
        if stream in self._lanes:
            raise ValueError(f"lane {stream!r} is already open")
        self._n_opened += 1
        self._n_live += mode == "live"
        self._lanes[stream] = _Lane(mode, max(1, capacity), priority, self._n_opened)

    def prioritise(self, stream: Name, priority: int) -> None:
        """Serve the lane with another priority from the next batch on; a closed one is nobody's concern."""
        lane = self._lanes.get(stream)
        if lane is not None and lane.priority != priority:
            lane.priority, lane.used = priority, self._used.get(priority, 0)

    def expect(self, stream: Name, n_faces: int) -> None:
        """The next frames of the lane are likely to show so many faces: as many as its last one did."""
        lane = self._lanes.get(stream)
        if lane is not None:
            lane.faces = n_faces

    def has_room(self, stream: Name) -> bool:
        """Whether `offer` would take a frame without dropping one. A closed lane takes (and forgets) anything."""
        lane = self._lanes.get(stream)
        return lane is None or len(lane.queue) < lane.capacity

    def hungry(self) -> list[Name]:
        """Lanes whose decoders, where they wait for room, should go on now.

        Half a queue at a time: a thread that is woken for one frame costs as much as the frame. All with any room where
        what waits is less than a batch.
        """
        n_waiting = sum(len(lane.queue) for lane in self._lanes.values())
        return [
            name
            for name, lane in self._lanes.items()
            if len(lane.queue) <= lane.capacity // 2
            or (n_waiting < self.most_frames and len(lane.queue) < lane.capacity)
        ]

    def offer(self, stream: Name, item: Item, now_s: float, born_s: float | None = None) -> Item | None:
        """Queue a frame; returns the older frame a live lane dropped for it.

        `born_s` is when its packet arrived, on the same clock, where that is known. Raises `ValueError` on a full
        archive lane: ask `has_room` first.
        """
        lane = self._lanes.get(stream)
        if lane is None or lane.ended:
            return item
        dropped: Item | None = None
        if len(lane.queue) >= lane.capacity:
            if lane.mode == "archive":
                raise ValueError(f"lane {stream!r} is full")
            dropped = lane.queue.popleft().item
        if not lane.queue:
            lane.used = max(lane.used, self._used.get(lane.priority, 0))  # nobody saves up while others work
        lane.queue.append(_Waiting(item, now_s, now_s if born_s is None else born_s))
        return dropped

    def end(self, stream: Name) -> None:
        """No further frame will be offered; what waits is still delivered."""
        if stream in self._lanes:
            self._lanes[stream].ended = True

    def close(self, stream: Name) -> list[Item]:
        """Forget a lane; returns what was still waiting."""
        lane = self._lanes.pop(stream, None)
        if lane is None:
            return []
        self._n_live -= lane.mode == "live"
        return [waiting.item for waiting in lane.queue]

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
        if n_waiting >= self.most_frames or not can_grow:
            return 0.0
        oldest_s = min(lane.queue[0].offered_s for lane in waiting)
        return max(0.0, oldest_s + self._max_wait_s - now_s)

    def take(self, now_s: float | None = None) -> Sequence[tuple[Name, Item]]:
        """The next batch; a stream's frames keep their order. Without a time no frame is late."""
        self._drop_late(now_s)
        waiting = dict(self._waiting())
        apart = self._n_live > 0
        batch: list[tuple[Name, Item]] = []
        for name in self._in_turn(waiting, apart):
            if apart and waiting[name].crowded:
                if batch:
                    continue
                batch.append((name, self._pop(waiting[name])))
                break
            batch.append((name, self._pop(waiting[name])))
        for name, lane in waiting.items():
            lane.passed = 0 if any(served == name for served, _ in batch) else lane.passed + 1
        return batch

    def take_passing(self, besides: Collection[Name], now_s: float | None = None) -> Sequence[tuple[Name, Item]]:
        """Frames that need not wait until the present batch, of the lanes `besides`, is done: live ones, no crowds."""
        self._drop_late(now_s)
        waiting = {
            name: lane
            for name, lane in self._waiting()
            if lane.mode == "live" and not lane.crowded and name not in besides
        }
        batch: list[tuple[Name, Item]] = []
        for name in self._in_turn(waiting, apart=False):
            batch.append((name, self._pop(waiting[name])))
            waiting[name].passed = 0
        return batch

    def late(self) -> Sequence[tuple[Name, Item]]:
        """The frames that were dropped for being late since this was asked last."""
        dropped, self._late = self._late, []
        return dropped

    def _in_turn(self, lanes: dict[Name, _Lane[Item]], apart: bool) -> Iterator[Name]:
        """Whose frame comes next, until a batch is full. The caller takes it before asking on."""
        n_faces = 0
        for n in range(self.most_frames):
            if n >= self._max_frames and n_faces >= self._archive_frames:
                return
            able = [name for name, lane in lanes.items() if lane.queue and not (n and apart and lane.crowded)]
            if not able:
                return
            pressing = n < max(1, self._max_frames // 2)

            def rank(name: Name, pressing: bool = pressing) -> tuple[int, int, bool, int, int]:
                lane = lanes[name]
                return (
                    -lane.passed if pressing and lane.overdue else 0,
                    -lane.priority,
                    apart and lane.crowded,
                    lane.used,
                    lane.number,
                )

            chosen = min(able, key=rank)
            n_faces += lanes[chosen].faces
            yield chosen

    @property
    def most_frames(self) -> int:
        """How many frames a full batch has now."""
        return self._max_frames if self._n_live else self._archive_frames

    def _pop(self, lane: _Lane[Item]) -> Item:
        self._used[lane.priority] = max(self._used.get(lane.priority, 0), lane.used)
        lane.used += SEARCH_COST + lane.faces
        lane.passed = 0
        return lane.queue.popleft().item

    def _drop_late(self, now_s: float | None) -> None:
        if now_s is None or self._late_s <= 0:
            return
        for name, lane in self._lanes.items():
            while lane.mode == "live" and lane.queue and now_s - lane.queue[0].born_s > self._late_s:
                self._late.append((name, lane.queue.popleft().item))

    def _waiting(self) -> Iterator[tuple[Name, _Lane[Item]]]:
        return ((name, lane) for name, lane in self._lanes.items() if lane.queue and self._may_give(lane))

    def _may_give(self, lane: _Lane[Item]) -> bool:
        return not (self.archives_held and lane.mode == "archive")
