"""Which of two ways of computing the same is quicker here: timed in pairs, so that a busy machine slows both."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_WARM_UP = 3


@dataclass(frozen=True)
class Speed:
    """`ratio` is the median over pairs of the other's time by ours: above 1 ours is quicker. Times are medians."""

    ours: str
    against: str
    ratio: float
    ours_pictures_per_s: float
    against_pictures_per_s: float
    n_repeats: int
    device: str

    def as_text(self) -> str:
        """In words."""
        ours, theirs = self.ours_pictures_per_s, self.against_pictures_per_s
        return (
            f"{self.ours} runs at {self.ratio:.2f} times the speed of {self.against} "
            f"({ours:.0f} and {theirs:.0f} pictures/s, one thread, {self.device})"
        )

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return dataclasses.asdict(self)


def time_in_pairs(
    ours: Callable[[], object],
    against: Callable[[], object],
    *,
    n_pictures: int,
    n_repeats: int,
    names: tuple[str, str],
    device: str = "",
    clock: Callable[[], float] = time.perf_counter,
) -> Speed:
    """Both calls `n_repeats` times, one right after the other and taking turns at going first."""
    for _ in range(_WARM_UP):
        ours()
        against()
    pairs = []
    for i in range(n_repeats):
        if i % 2:
            theirs_s = _seconds(against, clock)
            pairs.append((_seconds(ours, clock), theirs_s))
        else:
            ours_s = _seconds(ours, clock)
            pairs.append((ours_s, _seconds(against, clock)))
    return Speed(
        names[0],
        names[1],
        statistics.median(theirs_s / ours_s for ours_s, theirs_s in pairs),
        n_pictures / statistics.median(ours_s for ours_s, _ in pairs),
        n_pictures / statistics.median(theirs_s for _, theirs_s in pairs),
        n_repeats,
        device,
    )


def _seconds(call: Callable[[], object], clock: Callable[[], float]) -> float:
    start = clock()
    call()
    return clock() - start
