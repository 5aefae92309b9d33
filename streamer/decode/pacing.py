"""When a frame's turn is, for sources that are faster than their media time. Pure: the time is passed in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

LATE_S = 1.0
"""Frames that come later than this start a new count: what was missed is not made up for."""
GAP_S = 1.0
"""So much media time between two frames is a part that is missing: it is not waited for."""
CATCH_UP = 0.8
"""Late frames follow each other after this part of their distance, so that they come faster, but never at once."""


class Pace(Protocol):
    """Frames are asked for in the order they are shown."""

    def due_s(self, media_time_s: float, now_s: float) -> float:
        """When the next frame is to be given out, on the clock that `now_s` is of; not later than `now_s`: at once."""


@dataclass(slots=True)
class FilePace:
    """A file watched as if it were live: what is late comes at once, so that the pace is that of the first frame."""

    started_s: float | None = None

    def due_s(self, media_time_s: float, now_s: float) -> float:
        if self.started_s is None:
            self.started_s = now_s - media_time_s
        return self.started_s + media_time_s


@dataclass(slots=True)
class BurstPace:
    """A live stream that comes a segment at a time: no two frames at once, whatever came late. After a stall, and
    where a part of it is missing, it goes on from there."""

    started_s: float | None = None
    last_media_s: float = 0.0
    last_s: float = 0.0

    def due_s(self, media_time_s: float, now_s: float) -> float:
        if self.started_s is None:
            self.started_s = self.last_s = now_s - media_time_s
            self.last_media_s = media_time_s
        due_s = self.started_s + media_time_s
        if now_s - due_s > LATE_S or media_time_s - self.last_media_s > GAP_S:
            self.started_s = now_s - media_time_s
            due_s = now_s
        else:
            due_s = max(due_s, self.last_s + CATCH_UP * (media_time_s - self.last_media_s))
        self.last_media_s, self.last_s = media_time_s, max(due_s, now_s)
        return due_s
