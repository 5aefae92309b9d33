"""Frames as troubled sources stamp them, with the time that truly passed: pure, and the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

Trouble = Literal["gap", "reset", "forth", "there_and_back", "glitch", "repeat", "slip", "missing", "pause"]

FILE_TROUBLES: tuple[Trouble, ...] = ("gap", "reset", "forth", "there_and_back", "glitch", "repeat", "slip", "missing")
LIVE_TROUBLES: tuple[Trouble, ...] = (*FILE_TROUBLES, "pause")
"""`pause`: nothing comes for a while, then the count begins anew. Only arrivals tell how long that was."""


@dataclass(frozen=True, slots=True)
class Stamped:
    """One frame: what the clock is given, and the truth. `frame_s` is how long the longest frame so far is shown."""

    pts: int | None
    duration_ticks: int | None
    arrival_s: float
    true_s: float
    frame_s: float


@dataclass
class SourceModel:
    """A source of `n` frames on the ticks of `time_base`, troubled `troubles` in that order at random places.

    `step_ticks` may be a fraction: stamps are rounded, as in Matroska and FLV. `vary`: frames last from a third to
    three times as long, and say so. `far_s`: what counts as a new count when it goes forward. `bits`: the counter runs
    over. Arrivals come `latency_s` later, up to `jitter` of a frame more; with `burst_s`, all of that long at its end.
    """

    seed: int
    time_base: Fraction
    step_ticks: Fraction
    troubles: Iterable[Trouble] = ()
    n: int = 120
    vary: bool = False
    far_s: float = 3600
    first_pts: int | None = None
    bits: int | None = None
    latency_s: float = 0.3
    jitter: float = 0.0
    burst_s: float = 0.0
    rng: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)

    def _ticks(self, duration_s: float) -> int:
        return int(duration_s / self.time_base)

    def _plan(self) -> dict[int, Trouble]:
        """Troubles far enough from each other that a count is regular again in between."""
        troubles = list(self.troubles)
        if not troubles:
            return {}
        room = (self.n - 20) // len(troubles)
        return {20 + room * k + self.rng.randrange(max(1, room - 12)): t for k, t in enumerate(troubles)}

    def __iter__(self) -> Iterator[Stamped]:
        rng, step, plan = self.rng, self.step_ticks, self._plan()
        one_s = float(step * self.time_base)
        longest_s = one_s * (3 if self.vary else 1)
        start = self.first_pts if self.first_pts is not None else rng.randrange(0, self._ticks(10_000))
        if self.bits is not None:
            start = (1 << self.bits) - int(step * rng.randrange(1, self.n))
        true, zero, last = Fraction(0), Fraction(start), start
        home: Fraction | None = None  # the count to come back to, at frame `home_at`
        home_at, missing = -1, 0
        for index in range(self.n):
            trouble = plan.get(index)
            length = step * Fraction(rng.randint(33, 300), 100) if self.vary else step
            shown: int | None = None
            if trouble == "gap":
                true += self._ticks(rng.uniform(0.2, 0.9 * min(self.far_s, 300)))
            elif trouble == "pause":
                paused = self._ticks(rng.uniform(0.5, 60))
                true += paused
                zero = self._elsewhere(last + paused, true, True) if rng.random() < 0.5 else self._elsewhere(last, true)
            elif trouble in ("reset", "forth", "there_and_back"):
                home, home_at = (zero, index + rng.randint(1, 9)) if trouble == "there_and_back" else (home, home_at)
                zero = self._elsewhere(
                    last, true, far=trouble == "forth" or (trouble != "reset" and rng.random() < 0.5)
                )
            elif trouble == "glitch":
                shown = round(true + self._elsewhere(last, true, far=rng.random() < 0.5))
            elif trouble == "repeat":
                shown = last
            elif trouble == "slip":
                shown = last - max(1, int(step * Fraction(rng.randint(1, 90), 100)))
            elif trouble == "missing":
                missing = rng.randint(1, 9)
            if home is not None and index == home_at:
                on = rng.random() < 0.5  # whether that count went on meanwhile
                zero = home if on else self._elsewhere(last, true)
                home = None
            count = round(true + zero)
            last = count if shown is None else shown
            pts = last % (1 << self.bits) if self.bits is not None else last
            last = count
            duration = round(length) if self.vary or rng.random() < 0.5 else None
            true_s = float(true * self.time_base)
            yield Stamped(None if missing else pts, duration, self._arrival(true_s, one_s), true_s, longest_s)
            missing = max(0, missing - 1)
            true += length

    def _elsewhere(self, last: int, true: Fraction, far: bool = False) -> Fraction:
        """What to add to true ticks for another count: it goes on some frames before `last`, or `far_s` after."""
        if far:
            pts = last + self._ticks(self.far_s + self.rng.uniform(1, 1000))
        else:
            pts = last - int(3 * self.step_ticks) - self.rng.randrange(max(1, min(last, self._ticks(10_000))))
        return pts - true

    def _arrival(self, true_s: float, one_s: float) -> float:
        late_s = self.latency_s + self.rng.uniform(0, self.jitter * one_s)
        if self.burst_s:
            true_s = (true_s // self.burst_s + 1) * self.burst_s
        return 1000 + true_s + late_s
