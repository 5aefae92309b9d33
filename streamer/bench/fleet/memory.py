"""How the memory of workers goes over time."""

from __future__ import annotations

import time
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
        samples = [one for one in self.samples if one[0] >= since_s]
        if len(samples) < 2:
            return 0.0
        mean_s = sum(at for at, _ in samples) / len(samples)
        mean_mb = sum(mb for _, mb in samples) / len(samples)
        rises = sum((at - mean_s) * (mb - mean_mb) for at, mb in samples)
        runs = sum((at - mean_s) ** 2 for at, _ in samples)
        return round(60 * rises / runs, 2)

    def grown_mb(self, since_s: float = 0.0) -> float:
        """The last sample against the first since then."""
        samples = [mb for at, mb in self.samples if at >= since_s]
        return round(samples[-1] - samples[0], 1) if samples else 0.0
