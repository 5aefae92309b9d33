"""Which child takes which stream: pure policy.

Whole streams go to the child with the fewest of them. A stream under which two children died runs alone from then on,
so that one poisonous file takes no others down with it; before its last chance in any case. One that waits for no end
of the others, being live, gets a child beyond the usual number for that. After `max_restarts` restarts it is over.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import count


@dataclass(frozen=True, slots=True)
class Assignment:
    """`stream` goes to `child`; `restarts` children have died under it."""

    stream: str
    child: int
    restarts: int


@dataclass(slots=True)
class Placement:
    """The streams of one machine. Live streams are placed at once, archive streams when a child has a free slot."""

    n_children: int
    slots: int
    max_restarts: int
    _waiting: deque[tuple[str, bool]] = field(default_factory=deque)
    _placed: dict[str, int] = field(default_factory=dict)
    _deaths: dict[str, int] = field(default_factory=dict)
    _alone: set[int] = field(default_factory=set)

    def add(self, stream: str, *, live: bool) -> None:
        """A stream that wants a child; also one again whose child has died."""
        self._waiting.append((stream, live))

    def due(self) -> list[Assignment]:
        """Streams to hand out now. Each call assumes that the earlier ones were carried out."""
        assignments: list[Assignment] = []
        still_waiting: deque[tuple[str, bool]] = deque()
        while self._waiting:
            stream, live = self._waiting.popleft()
            suspect = self._deaths.get(stream, 0) >= min(2, max(1, self.max_restarts))
            child = self._child_for(live=live, suspect=suspect)
            if child is None:
                still_waiting.append((stream, live))
                continue
            self._placed[stream] = child
            if suspect:
                self._alone.add(child)
            assignments.append(Assignment(stream, child, self._deaths.get(stream, 0)))
        self._waiting = still_waiting
        return assignments

    def _child_for(self, *, live: bool, suspect: bool) -> int | None:
        loads = dict.fromkeys({*range(self.n_children), *self._placed.values()} - self._alone, 0)
        for at in self._placed.values():
            if at in loads:
                loads[at] += 1
        least = min(loads, key=lambda one: (loads[one], one), default=None)
        if least is None or (suspect and loads[least]):
            return self._extra_child() if live else None
        return least if live or loads[least] < self.slots else None

    def _extra_child(self) -> int:
        taken = {*self._placed.values(), *self._alone}
        return next(child for child in count(self.n_children) if child not in taken)

    def ended(self, stream: str) -> None:
        """The stream is over, or was let go of: nothing more is known of it."""
        self._deaths.pop(stream, None)
        self._waiting = deque(one for one in self._waiting if one[0] != stream)
        child = self._placed.pop(stream, None)
        if child is not None and child not in self._placed.values():
            self._alone.discard(child)

    def died(self, child: int) -> tuple[list[str], list[str]]:
        """A child died: which of its streams are to be added again, and which are given up."""
        resumed: list[str] = []
        given_up: list[str] = []
        for stream in [name for name, where in self._placed.items() if where == child]:
            del self._placed[stream]
            self._deaths[stream] = self._deaths.get(stream, 0) + 1
            if self._deaths[stream] > self.max_restarts:
                given_up.append(stream)
            else:
                resumed.append(stream)
        self._alone.discard(child)
        return resumed, given_up

    def forgive(self, stream: str) -> None:
        """The stream has run well for long: it is not what earlier children died of, and others may join it."""
        self._deaths.pop(stream, None)
        child = self._placed.get(stream)
        if child is not None:
            self._alone.discard(child)

    def child_of(self, stream: str) -> int | None:
        """Where a stream is placed."""
        return self._placed.get(stream)

    @property
    def children(self) -> frozenset[int]:
        """Those that have a stream."""
        return frozenset(self._placed.values())

    @property
    def unfinished(self) -> int:
        """Streams placed or waiting."""
        return len(self._placed) + len(self._waiting)
