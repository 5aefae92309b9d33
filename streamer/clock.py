"""Clocks as values, so that everything that waits or ages can be tested without waiting."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    """Where the time comes from."""

    def monotonic_s(self) -> float:
        """Seconds that never go back; for ages, deadlines and latencies."""

    def wall_s(self) -> float:
        """Seconds since 1970 UTC; for what people and other machines read."""

    def sleep(self, duration_s: float) -> None:
        """Return after `duration_s` seconds of this clock."""


class SystemClock:
    """The machine's clocks."""

    def monotonic_s(self) -> float:
        return time.monotonic()

    def wall_s(self) -> float:
        return time.time()

    def sleep(self, duration_s: float) -> None:
        if duration_s > 0:
            time.sleep(duration_s)


@dataclass
class FakeClock:
    """A clock that moves only when told to (public: for the tests of programs built on this one)."""

    now_s: float = 0.0
    wall_offset_s: float = 1_700_000_000.0

    def monotonic_s(self) -> float:
        return self.now_s

    def wall_s(self) -> float:
        return self.now_s + self.wall_offset_s

    def sleep(self, duration_s: float) -> None:
        self.now_s += max(0.0, duration_s)

    def advance(self, duration_s: float) -> None:
        """Move both clocks forward."""
        self.now_s += duration_s
