"""The lock around the policy: decoder threads offer, the inference loop takes."""

from __future__ import annotations

import math
import threading
from collections.abc import Collection, Sequence
from typing import Generic

from streamer.batching.collector import Collector, Item, Name
from streamer.clock import Clock
from streamer.messages import Mode


class Exchange(Generic[Name, Item]):
    """Hands frames from many decoder threads to one inference loop.

    A thread is woken for what concerns it alone: the loop when a batch is due earlier than it thought, a decoder when
    its lane has room. Waking all of them for each frame took a twentieth of the CPU.
    """

    def __init__(self, collector: Collector[Name, Item], clock: Clock) -> None:
        self._collector = collector
        self._clock = clock
        self._changed = threading.Lock()
        self._due = threading.Condition(self._changed)
        self._loop_waits_until_s = -math.inf
        self._room: dict[Name, threading.Condition] = {}
        self._interrupted = False

    def open(self, stream: Name, mode: Mode, capacity: int, priority: int = 0) -> None:
        """Begin a lane. Of frames that compete, those of a higher `priority` go first."""
        with self._changed:
            self._collector.open(stream, mode, capacity, priority)
            self._room[stream] = threading.Condition(self._changed)

    def prioritise(self, stream: Name, priority: int) -> None:
        """Change a lane's priority, from the next batch on."""
        with self._changed:
            self._collector.prioritise(stream, priority)

    def expect(self, stream: Name, n_faces: int) -> None:
        """How many faces the lane's last frame showed: the next ones will cost about as much."""
        with self._changed:
            self._collector.expect(stream, n_faces)

    def put(self, stream: Name, item: Item, mode: Mode, born_s: float | None = None) -> Item | None:
        """Offer a frame from a decoder thread: archive waits for room, live drops the oldest and returns it.

        `born_s` is when its packet arrived, on the monotonic clock: what makes a live frame late is its age since then.
        Returns `item` itself when the lane is not open (any more).
        """
        with self._changed:
            # A closed lane has room for anything and forgets it, so nobody waits for a lane that is gone.
            while mode == "archive" and not self._collector.has_room(stream):
                self._room[stream].wait()
            now_s = self._clock.monotonic_s()
            dropped = self._collector.offer(stream, item, now_s, born_s)
            if self._loop_waits_until_s > now_s:
                due_s = self._collector.due_in_s(now_s)
                if due_s is not None and now_s + due_s < self._loop_waits_until_s:
                    self._due.notify()
            return dropped

    def end(self, stream: Name) -> None:
        """The decoder has delivered its last frame."""
        with self._changed:
            self._collector.end(stream)
            self._due.notify()

    def close(self, stream: Name) -> list[Item]:
        """Forget the lane at once and free a decoder that waits on it."""
        with self._changed:
            waiting = self._collector.close(stream)
            if (room := self._room.pop(stream, None)) is not None:
                room.notify_all()
            self._due.notify()
            return waiting

    def wake(self) -> None:
        """Make a waiting `take` return early, empty if nothing is due."""
        with self._changed:
            self._interrupted = True
            self._due.notify()

    def take(self, timeout_s: float, *, hold_archives: bool = False) -> tuple[Sequence[tuple[Name, Item]], list[Name]]:
        """The next due batch (empty after `timeout_s` or `wake`) and the streams that have nothing more to give.

        With `hold_archives` the batch is of live streams alone.
        """
        deadline_s = self._clock.monotonic_s() + timeout_s
        with self._changed:
            self._collector.archives_held = hold_archives
            while True:
                now_s = self._clock.monotonic_s()
                due_s = self._collector.due_in_s(now_s)
                finished = self._collector.finished()
                if due_s == 0.0:
                    batch = self._collector.take(now_s)
                    for name in self._collector.hungry():
                        self._room[name].notify_all()
                    return batch, self._collector.finished()
                if finished or self._interrupted or now_s >= deadline_s:
                    self._interrupted = False
                    return (), finished
                wait_s = deadline_s - now_s if due_s is None else min(due_s, deadline_s - now_s)
                self._loop_waits_until_s = now_s + wait_s
                self._due.wait(wait_s)
                self._loop_waits_until_s = -math.inf

    def take_passing(self, besides: Collection[Name]) -> Sequence[tuple[Name, Item]]:
        """What waits of other live streams than those whose batch is being worked on, without waiting for more."""
        with self._changed:
            return self._collector.take_passing(besides, self._clock.monotonic_s())

    @property
    def most_frames(self) -> int:
        """How many frames a full batch has now."""
        with self._changed:
            return self._collector.most_frames

    def late(self) -> Sequence[tuple[Name, Item]]:
        """The frames dropped for being late since this was asked last, to be counted."""
        with self._changed:
            return self._collector.late()
