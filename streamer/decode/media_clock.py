"""Media time: seconds that only go forward, whatever a source does to its time stamps."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

WRAP_BITS = (33, 32)
"""Where counters of MPEG streams (33 bits) and of RTP, MP4 and the like (32 bits) start again from 0."""

MAX_GAP_S = 3600
"""A step forward of up to this long is time that passed; a longer one is a new count, like a step back."""


class Moment(NamedTuple):
    """When a frame is: the (segment, pts) pair never repeats, `media_time_s` never goes back."""

    segment: int
    pts: int
    media_time_s: float


@dataclass(slots=True)
class MediaClock:
    """Places the frames of one source, given in the order they are shown.

    `step_ticks` is the usual distance between frames in ticks of `time_base`: used where a frame has no pts and
    where one count ends and the next begins. The fields are all the state there is, so a copy resumes exactly.
    """

    time_base: Fraction
    step_ticks: int
    segment: int = 0
    last_pts: int | None = None
    last_step_ticks: int = 0
    media_ticks: int = 0

    def place(self, pts: int | None, duration_ticks: int | None = None) -> Moment:
        """The moment of the next frame; `pts` None continues the count by the last frame's duration.

        - A step forward of at most `MAX_GAP_S` is time.
        - A counter that ran over at 32 or 33 bits goes on: time is the distance across the wrap, the segment rises.
        - Anything else (a step back, a repeated pts, a longer gap) starts a new segment one frame later.
        """
        due = self.last_step_ticks or self.step_ticks
        if self.last_pts is None:
            self.last_pts = 0 if pts is None else pts
        else:
            self._advance(self.last_pts + due if pts is None else pts, due)
        self.last_step_ticks = duration_ticks if duration_ticks and duration_ticks > 0 else self.step_ticks
        return Moment(
            self.segment, self.last_pts, self.media_ticks * self.time_base.numerator / self.time_base.denominator
        )

    def _advance(self, pts: int, due: int) -> None:
        last = self.last_pts
        assert last is not None
        limit = max(due, MAX_GAP_S * self.time_base.denominator // self.time_base.numerator)
        step = pts - last
        if not 0 < step <= limit:
            self.segment += 1
            across = (step + (1 << bits) for bits in WRAP_BITS if pts >= 0 and last < 1 << bits)
            step = next((ticks for ticks in across if 0 < ticks <= limit), due)
        self.last_pts = pts
        self.media_ticks += step
