"""What the arrival of a live source's frames says about the time that passed between them."""

from __future__ import annotations

from statistics import median_low
from typing import NamedTuple

_HEADS_KEPT = 16
_HEADS_NEEDED = 4
_LOW_RISES = 0.02
"""Seconds a second: so slowly is forgotten how far ahead of their time frames once came."""


class Elapsed(NamedTuple):
    """How much media time should have passed since the last frame, judged by arrivals alone.

    `spread_s`: by how much frames that were waited for have come earlier or later of late. `depth_s`: how far ahead of
    that others came (the last frame of an HLS segment comes with its first).
    """

    expected_s: float
    spread_s: float
    depth_s: float


class Arrivals(NamedTuple):
    """The arrival of the first and the last frame, and by how much arrival lags behind media time. Immutable.

    Lags are taken from frames that were waited for: those that came at least half as long after the one before as
    their media time lies after its. In a smooth stream that is nearly every frame, in one that comes in bursts the
    first of each burst, and after a gap the next frame is such a one. All times are of the monotonic clock.
    """

    first_s: float
    last_s: float
    media_s: float
    heads_s: tuple[float, ...] = ()
    low_s: float = 0.0

    @classmethod
    def begin(cls, arrival_s: float) -> Arrivals:
        """The first frame came, at media time 0."""
        return cls(arrival_s, arrival_s, 0.0, (), arrival_s)

    def then(self, arrival_s: float, media_s: float) -> Arrivals:
        """The next frame came. Frames shown later than they came (B-frames) count from the newest arrival."""
        now_s = max(arrival_s, self.last_s)
        waited_s, lag_s = now_s - self.last_s, now_s - media_s
        heads_s = self.heads_s
        if waited_s >= 0.5 * (media_s - self.media_s):
            heads_s = (*heads_s[1 - _HEADS_KEPT :], lag_s)
        return Arrivals(self.first_s, now_s, media_s, heads_s, min(lag_s, self.low_s + _LOW_RISES * waited_s))

    def since_last(self, arrival_s: float) -> Elapsed | None:
        """What a frame that comes now tells; None while too little is known."""
        if len(self.heads_s) < _HEADS_NEEDED:
            return None
        usual_s = median_low(self.heads_s)
        now_s = max(arrival_s, self.last_s)
        return Elapsed(
            now_s - self.media_s - usual_s,
            max(self.heads_s) - min(self.heads_s),
            max(0.0, usual_s - self.low_s),
        )
