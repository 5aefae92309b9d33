"""Whether a process keeps growing: its memory, threads and file handles, looked at again and again."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

import psutil

from streamer.bench.fleet.memory import slope_per_min


@dataclass(frozen=True, slots=True)
class Look:
    """One look. `at_s` is on any clock that goes forward."""

    at_s: float
    rss_mb: float
    threads: int
    handles: int


@dataclass(slots=True)
class Growth:
    """Of one process, a worker's child; another process in its place is seen as a gap in `pids`."""

    looks: list[Look] = field(default_factory=list)
    pids: set[int] = field(default_factory=set)

    def look(self, children: Sequence[psutil.Process], at_s: float) -> None:
        """Look at the one child there is; none, or one that just died, is no look."""
        for child in children[:1]:
            try:
                with child.oneshot():
                    found = Look(at_s, child.memory_info().rss / 1e6, child.num_threads(), child.num_fds())
            except psutil.Error:
                return
            self.pids.add(child.pid)
            self.looks.append(found)

    def figures(self) -> dict[str, float | int]:
        """Medians of the second and of the last quarter of the looks, and the slope from the first quarter on.

        A young process grows for a while by what it loads once: the first quarter is not judged.
        """
        if len(self.looks) < 8:
            return {}
        quarter = len(self.looks) // 4
        early, late = self.looks[quarter : 2 * quarter], self.looks[-quarter:]
        return {
            "rss_mb_early": round(statistics.median(one.rss_mb for one in early), 1),
            "rss_mb_late": round(statistics.median(one.rss_mb for one in late), 1),
            "rss_mb_max": round(max(one.rss_mb for one in self.looks), 1),
            "rss_slope_mb_per_min": round(slope_per_min([(one.at_s, one.rss_mb) for one in self.looks[quarter:]]), 3),
            "threads_early": round(statistics.median(one.threads for one in early)),
            "threads_late": round(statistics.median(one.threads for one in late)),
            "threads_max": max(one.threads for one in self.looks),
            "handles_early": round(statistics.median(one.handles for one in early)),
            "handles_late": round(statistics.median(one.handles for one in late)),
            "processes": len(self.pids),
        }

    def flat(self, rss_allowed: float, threads_allowed: int = 1, handles_allowed: int = 4) -> bool:
        """Whether it was one process, and took no more in the end than early on but for what is allowed."""
        found = self.figures()
        return (
            bool(found)
            and found["processes"] == 1
            and found["rss_mb_late"] <= found["rss_mb_early"] * (1 + rss_allowed)
            and found["threads_late"] <= found["threads_early"] + threads_allowed
            and found["handles_late"] <= found["handles_early"] + handles_allowed
        )
