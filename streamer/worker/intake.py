"""Which of the frames that a decoder gives are analysed, and at which media time: pure, but for what it counts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from streamer.types import Frame

Fate = Literal["known", "sample_rate"]


@dataclass(slots=True)
class Intake:
    """The frames of one opening of a source. Used by its decoder thread alone; anybody may set `sample_fps`.

    `counts_on`: media time begins at 0 with each opening, and goes on in the stream's life at `join_at_s`; otherwise
    the source's own media time is the stream's, and what was analysed before is known: frames before `join_at_s`, and
    the first `skip_until_index`.
    """

    counts_on: bool = False
    join_at_s: float = 0.0
    skip_until_index: int = 0
    sample_fps: float | None = None
    _sampled: int = -1

    def take(self, frame: Frame) -> Frame | Fate:
        """The frame with its media time in the stream's whole life; or why it is not analysed.

        Sampling intervals lie on the media time from 0 on, so which frames are taken does not depend on when somebody
        began to look: the first of each interval is.
        """
        if frame.index < self.skip_until_index:
            return "known"
        if self.counts_on:
            if self.join_at_s:
                frame = replace(frame, media_time_s=frame.media_time_s + self.join_at_s)
        elif frame.media_time_s < self.join_at_s:
            return "known"
        rate = self.sample_fps
        if rate is not None:
            interval = int(frame.media_time_s * rate + 1e-9)
            if interval == self._sampled:
                return "sample_rate"
            self._sampled = interval
        return frame
