"""How the memory of workers goes over time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from streamer.bench.fleet.workers import WorkerProcess

_EVERY_S = 0.5


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
        """How much it grows a minute, by least squares over the samples since then."""
        return round(slope_per_min([one for one in self.samples if one[0] >= since_s]), 2)

    def grown_mb(self, since_s: float = 0.0) -> float:
        """The last sample against the first since then."""
        samples = [mb for at, mb in self.samples if at >= since_s]
        return round(samples[-1] - samples[0], 1) if samples else 0.0


def slope_per_min(points: Sequence[tuple[float, float]]) -> float:
    """How much the values grow a minute, by least squares over points of (seconds, value)."""
    if len(points) < 2 or points[0][0] == points[-1][0]:
        return 0.0
    return 60 * statistics.linear_regression([at_s for at_s, _ in points], [value for _, value in points]).slope
