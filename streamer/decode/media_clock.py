"""Media time: seconds that only go forward, whatever a source does to its time stamps."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil
from typing import NamedTuple

from streamer.decode.arrivals import Arrivals, Elapsed

WRAP_BITS = (33, 32)
"""Where counters of MPEG streams (33 bits) and of RTP, MP4 and the like (32 bits) start again from 0."""

MAX_GAP_S = 3600
"""Where time stamps are an index (mp4, mkv), a step forward of up to this long is time that passed."""

MAX_JUMP_S = 10
"""The same where a count may begin anew in the middle (MPEG-TS, HLS): a longer step is a new count."""

EARLY_S = 2
"""A live frame cannot be from so much later than its arrival allows: its source counts anew."""

_DEFAULT_RATE = Fraction(25)
_MAX_RATE = 1000
_MAX_STEP_S = 10
"""A longer duration of a single frame is not believed."""
_LEAST_WRAP_S = 4 * MAX_GAP_S
_UNITS_PER_STEP = 64
_COUNTS_KEPT = 4
_NEAR = 2
"""Frames that lie at most so many frames after the last need no explanation."""
_JUST = 16


class Moment(NamedTuple):
    """When a frame is: the (segment, pts) pair never repeats, `media_time_s` never goes back."""

    segment: int
    pts: int
    media_time_s: float


class Count(NamedTuple):
    """A count that the source left: media units at its pts 0, the last pts it gave, and the media units then."""

    zero: int
    last_pts: int
    left_at: int


@dataclass(slots=True)
class MediaClock:
    """Places the frames of one source, given in the order they are shown. The rules are those of `place`.

    `step_ticks` is the usual distance between frames in ticks of `time_base`; it may be less than one. `max_gap_s` is
    the longest step forward that is taken for time. Media time is counted in units of a tick or a whole part of it, so
    that nothing is rounded. The fields are all the state there is and hold immutable values: a copy resumes exactly.
    """

    time_base: Fraction
    step_ticks: Fraction | int
    max_gap_s: int = MAX_GAP_S
    segment: int = field(default=0, init=False)
    last_pts: int | None = field(default=None, init=False)
    media_units: int = field(default=0, init=False)
    units_per_tick: int = field(init=False)
    _step: int = field(init=False)
    _zero: int | None = field(default=None, init=False)  # media units at pts 0 of the present count
    _stamp: int = field(default=0, init=False)  # the last pts that the source gave itself
    _duration: int = field(default=0, init=False)
    _learned: int = field(default=0, init=False)
    _slack: int = field(default=0, init=False)  # how far ahead of its count media time may honestly be
    _steady: bool = field(default=False, init=False)
    _left: tuple[Count, ...] = field(default=(), init=False)
    _arrivals: Arrivals | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.units_per_tick = max(1, ceil(_UNITS_PER_STEP / Fraction(self.step_ticks)))
        self._step = max(1, round(self.step_ticks * self.units_per_tick))

    @classmethod
    def of(cls, time_base: Fraction | None, rate: Fraction | None, *, restarts: bool = False) -> MediaClock:
        """A clock for what a container says, sane or not: `rate` in frames a second, None where it does not say.

        A rate that is none (not above 0, above 1000 a second, below one an hour) becomes 25; a time base that is none
        (not above 0, ticks longer than an hour) counts frames. `restarts`: the count may begin anew in the middle
        (`MAX_JUMP_S`).
        """
        if rate is None or not Fraction(1, MAX_GAP_S) <= rate <= _MAX_RATE:
            rate = _DEFAULT_RATE
        if time_base is None or not 0 < time_base <= MAX_GAP_S:
            time_base = 1 / rate
        return cls(time_base, 1 / rate / time_base, MAX_JUMP_S if restarts else MAX_GAP_S)

    def place(self, pts: int | None, duration_ticks: int | None = None, arrival_s: float | None = None) -> Moment:
        """The moment of the next frame; `arrival_s` (monotonic) is for live sources that nobody paces but themselves.

        `due` is one frame after the last: its duration, else the last regular step, else the usual one.

        - A step forward is time, up to `max_gap_s`; with arrivals: unless it leads `EARLY_S` beyond them.
        - A counter that ran over at 32 or 33 bits goes on: time is the distance across the wrap.
        - A pts that lies where an earlier count would be now, or stopped, goes on with that count; what may as well be
          a gap does so only within some frames after that count was left.
        - A pts that repeats or goes back by at most one frame amid a regular count is jitter: half a frame, and the
          count goes on. Frames that share a tick longer than a frame share its time.
        - Anything else is a new count, and due; with arrivals: later, where they clearly say so.
        - Without a pts a frame is due, and stamps that follow correct it without going back. A source that stamps none
          goes by its arrivals.

        The segment rises with each new count and whenever pts does not. What nothing can tell (a step forward within
        `max_gap_s` in a file; a count that begins anew up to `EARLY_S` ahead) is taken for time.
        """
        due = self._duration or self._learned or self._step
        if self.last_pts is None:
            self.last_pts = 0 if pts is None else pts
            if pts is not None:
                self._stamp, self._zero = pts, -pts * self.units_per_tick
        elif pts is None:
            step = self._unstamped(due, arrival_s)
            self.last_pts += max(1, step // self.units_per_tick)
            self.media_units += step
        else:
            step = self._stamped(pts, due, arrival_s)
            self.segment += pts <= self.last_pts
            self.last_pts = self._stamp = pts
            self.media_units += step
        self._duration = self._believed(duration_ticks)
        units_per_s = self.time_base.denominator * self.units_per_tick
        media_time_s = self.media_units * self.time_base.numerator / units_per_s
        if arrival_s is not None:
            known = self._arrivals
            self._arrivals = known.then(arrival_s, media_time_s) if known else Arrivals.begin(arrival_s)
        return Moment(self.segment, self.last_pts, media_time_s)

    def _unstamped(self, due: int, arrival_s: float | None) -> int:
        if self._zero is None and self._arrivals and arrival_s is not None:
            return max(1, self._units(arrival_s - self._arrivals.first_s) - self.media_units)
        self._slack += due
        return self._after_pause(due, self._elapsed(arrival_s))

    def _stamped(self, pts: int, due: int, arrival_s: float | None) -> int:
        """Units from the last frame to this one, by the first rule that fits; the count is brought up to date."""
        if self._zero is None:
            return self._begin_count(pts, due)
        moved, tick = pts - self._stamp, self.units_per_tick
        ahead = self._zero + pts * tick - self.media_units
        if 0 < ahead <= _NEAR * due:
            return self._regular(ahead, moved)
        if moved == 0 and self._step < tick and self._slack <= 2 * tick:
            self._slack += due
            return max(1, min(due, (ahead + tick) // 2))
        if moved > 0 and -due - self._slack <= ahead <= 0:
            self._slack = max(0, -ahead)
            return max(1, min(due // 4, moved * tick // 2))
        if self._steady and moved <= 0 and -due <= ahead:
            self._steady = False
            return max(1, due // 2)
        elapsed = self._elapsed(arrival_s)
        limit = self._limit(due, elapsed)
        if (back := self._back_on(pts, due, 0 < ahead <= limit)) is not None:
            return back
        for wrap in (0, *self._wraps()):
            if 0 < ahead + wrap <= limit:
                self._zero += wrap
                return self._regular(ahead + wrap, moved)
        self._leave()
        self.segment += pts > (self.last_pts or 0)
        return self._begin_count(pts, self._after_pause(due, elapsed))

    def _regular(self, step: int, moved: int) -> int:
        """A step of the present count."""
        if step == moved * self.units_per_tick <= self._units(1) and self._step >= self.units_per_tick:
            self._learned = step
        self._slack, self._steady = 0, True
        return step

    def _back_on(self, pts: int, due: int, may_be_gap: bool) -> int | None:
        """The step to where an earlier count would be now, or due where it stopped; None where no count fits.

        What may also be a gap of the present count is one, unless that count has only just begun.
        """
        tick = self.units_per_tick
        for count in self._left:
            step = count.zero + pts * tick - self.media_units
            goes_on = 0 < step <= _NEAR * due
            resumes = 0 < (pts - count.last_pts) * tick <= _NEAR * due
            recent = self.media_units - count.left_at <= _JUST * due
            if (goes_on and recent) if may_be_gap else (goes_on or resumes):
                self._left = tuple(other for other in self._left if other != count)
                self._leave()
                return self._begin_count(pts, step if goes_on else due)
        return None

    def _leave(self) -> None:
        assert self._zero is not None
        self._left = (Count(self._zero, self._stamp, self.media_units), *self._left[: _COUNTS_KEPT - 1])

    def _begin_count(self, pts: int, step: int) -> int:
        self._zero = self.media_units + step - pts * self.units_per_tick
        self._slack, self._steady = 0, False
        return step

    def _wraps(self) -> list[int]:
        """Units after which a counter runs over; where that is a matter of hours at most, no source does so."""
        wraps = (self.units_per_tick << bits for bits in WRAP_BITS)
        return [wrap for wrap in wraps if wrap > self._units(_LEAST_WRAP_S)]

    def _limit(self, due: int, elapsed: Elapsed | None) -> int:
        """The longest step forward that is taken for time."""
        if elapsed is None:
            return max(due, self._units(self.max_gap_s))
        lead_s = elapsed.expected_s + elapsed.spread_s + elapsed.depth_s + EARLY_S
        return max(due, self._units(min(lead_s, MAX_GAP_S)))

    def _after_pause(self, due: int, elapsed: Elapsed | None) -> int:
        """Due, or what arrivals say, where that is more than their usual to and fro."""
        if elapsed is None:
            return due
        expected = self._units(min(elapsed.expected_s, MAX_GAP_S))
        return expected if expected - due > self._units(elapsed.spread_s) else due

    def _elapsed(self, arrival_s: float | None) -> Elapsed | None:
        return self._arrivals.since_last(arrival_s) if self._arrivals and arrival_s is not None else None

    def _units(self, duration_s: float) -> int:
        return round(duration_s * self.time_base.denominator * self.units_per_tick / self.time_base.numerator)

    def _believed(self, duration_ticks: int | None) -> int:
        """A frame's duration in units; 0 where it is none, or ticks are too long to tell."""
        if not duration_ticks or duration_ticks < 0 or self._step < self.units_per_tick:
            return 0
        duration = duration_ticks * self.units_per_tick
        return duration if duration <= self._units(_MAX_STEP_S) else 0
