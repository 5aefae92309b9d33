"""Numbers by size, counted where they are made: plain counts that travel over a pipe and become histograms."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence

import msgspec

INF = float("inf")
LATENCY_BUCKETS_S = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0, INF)
"""Upper bounds. What takes longer than the last but one is in the last."""
STAGE_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, INF)
SIZE_BUCKETS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, INF)
FILL_BUCKETS = (0.1, 0.25, 0.5, 0.75, 0.9, 1.0, INF)


class Counted(msgspec.Struct, frozen=True):
    """How many observations fell into each bucket (not cumulative), and their sum."""

    counts: tuple[int, ...] = ()
    sum: float = 0.0

    @property
    def n(self) -> int:
        """How many there were."""
        return sum(self.counts)

    def since(self, before: Counted) -> Counted:
        """What came after `before`. Where fewer are counted now, whoever counts has begun anew."""
        if not before.counts or self.n < before.n:
            return self
        more = tuple(max(0, now - then) for now, then in zip(self.counts, before.counts, strict=True))
        return Counted(more, max(0.0, self.sum - before.sum))


class Counting:
    """Counts observations by upper `bounds`, the last of which is infinite. Filled by one thread, read by any."""

    __slots__ = ("_counts", "_sum", "bounds")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self._counts = [0] * len(bounds)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """One more, of this size."""
        self._counts[bisect_left(self.bounds, value)] += 1
        self._sum += value

    @property
    def counted(self) -> Counted:
        """What was counted so far."""
        return Counted(tuple(self._counts), self._sum)


def total(parts: Iterable[Counted]) -> Counted:
    """All of them together; they have the same bounds."""
    counted = [part for part in parts if part.counts]
    if not counted:
        return Counted()
    columns = zip(*(part.counts for part in counted), strict=True)
    return Counted(tuple(map(sum, columns)), sum(part.sum for part in counted))
