"""When the snapshots of live streams are due: spread over the interval, and no faster than a bound on their bytes."""

from __future__ import annotations

import math
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import Generic, TypeVar

Name = TypeVar("Name")
_CREDIT_S = 1.0  # what was not used of the last second may be made up for: nobody asks at the very moment


@dataclass(slots=True)
class _Entry:
    phase: float
    due_s: float
    full: bool = False


class SnapshotSchedule(Generic[Name]):
    """Pure policy over names of streams; times are of one monotonic clock.

    Each stream has its own phase in the interval, so that not all are due at one instant. After each snapshot nothing
    is due until its bytes are worked off at `bytes_per_s`: under too much state the interval stretches, see `late_s`.
    """

    def __init__(self, interval_s: float, bytes_per_s: float) -> None:
        self._interval_s = interval_s
        self._bytes_per_s = bytes_per_s
        self._entries: dict[Name, _Entry] = {}
        self._free_s = -math.inf

    def opened(self, name: Name, key: str, now_s: float) -> None:
        """A stream begins, or begins anew: it is due at once. `key` gives it its phase."""
        phase = zlib.crc32(key.encode("utf-8", "surrogateescape")) / 2**32
        full = name in self._entries and self._entries[name].full
        self._entries[name] = _Entry(phase, now_s, full)

    def all_full(self, now_s: float) -> None:
        """What was taken since the last full snapshots may be lost: each stream is due with all it has."""
        for entry in self._entries.values():
            entry.due_s = min(entry.due_s, now_s)
            entry.full = True

    def keep(self, names: Collection[Name]) -> None:
        """Forget all others."""
        for name in [name for name in self._entries if name not in names]:
            del self._entries[name]

    def wants_full(self, name: Name) -> bool:
        """Whether the stream's next snapshot must hold all it has."""
        return name in self._entries and self._entries[name].full

    def next(self, ready: Collection[Name], now_s: float) -> Name | None:
        """Of the streams in `ready`, the one whose snapshot is to be taken now: it has waited longest."""
        due = [name for name in ready if name in self._entries and self._entries[name].due_s <= now_s]
        if not due or now_s < self._free_s:
            return None
        return min(due, key=lambda name: self._entries[name].due_s)

    def took(self, name: Name, n_bytes: int, now_s: float) -> None:
        """The snapshot of `name` was taken and weighs that much."""
        self._free_s = max(self._free_s, now_s - _CREDIT_S) + n_bytes / self._bytes_per_s
        entry = self._entries[name]
        entry.full = False
        # The first time on the stream's own grid that is at least half an interval away.
        turns = math.ceil(now_s / self._interval_s + 0.5 - entry.phase)
        entry.due_s = (turns + entry.phase) * self._interval_s

    def late_s(self, now_s: float) -> float:
        """How long the most overdue snapshot has waited."""
        return max((now_s - entry.due_s for entry in self._entries.values()), default=0.0)
