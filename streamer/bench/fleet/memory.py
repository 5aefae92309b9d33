"""How the memory of workers goes over time."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from streamer.bench.fleet.workers import WorkerProcess

_EVERY_S = 0.5
_MOST_POINTS = 400


@dataclass(slots=True)
class MemoryWatch:
    """Looks at the workers' resident memory every half second, whenever `look` is called."""

    workers: list[WorkerProcess]
    samples: list[tuple[float, float]] = field(default_factory=list)
    """(seconds, MB) of all workers together."""
    _next_s: float = 0.0

    def look(self) -> None:
        """Take a sample if it is time for one."""
        now_s = time.monotonic()
        if now_s >= self._next_s:
            self._next_s = now_s + _EVERY_S
            self.samples.append((now_s, sum(worker.footprint().rss_bytes for worker in self.workers) / 1e6))

    def slope_mb_per_min(self, since_s: float = 0.0) -> float:
        """How much it grows a minute, by a robust slope over the samples since then."""
        return round(slope_per_min([one for one in self.samples if one[0] >= since_s]), 2)

    def grown_mb(self, since_s: float = 0.0) -> float:
        """The last sample against the first since then."""
        samples = [mb for at, mb in self.samples if at >= since_s]
        return round(samples[-1] - samples[0], 1) if samples else 0.0


def slope_per_min(points: Sequence[tuple[float, float]]) -> float:
    """How much the values grow a minute; points are (seconds, value), as in `robust_slope`."""
    return 60 * robust_slope(points)


def robust_slope(points: Sequence[tuple[float, float]]) -> float:
    """How much y grows with each unit of x: the median of the slopes between points (x, y), after Theil and Sen.

    A buffer that is there for a moment, or freed late, does not tilt it as it tilts least squares. Of many points
    so many are taken, evenly, that the pairs stay countable; 0 where there is no pair.
    """
    step = max(1, len(points) // _MOST_POINTS)
    pairs = itertools.combinations(points[::step], 2)
    slopes = [(y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in pairs if x1 != x2]
    return statistics.median(slopes) if slopes else 0.0
