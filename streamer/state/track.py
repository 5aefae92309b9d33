"""What one track is remembered by."""

from __future__ import annotations

import numpy as np

from streamer.messages import StateOrigin, Track
from streamer.state.head_batch import HeadNeeds
from streamer.state.stat import Ring
from streamer.state.tally import Tally
from streamer.types import FloatArray


class TrackState:
    """One face's memory: its block, (h, c), the open window and its whole life so far. A new one starts from zero.

    `n` counts its observations; `window` is the open tumbling block of them and `life` all the closed ones. The epoch
    in `id` is the one the track began in and stays with it through take-overs. `warm_at` is the number of
    observations from which the block holds nothing but what was seen since the start (or the take-over).
    `stored_keys` are those of its newest snapshot; `changed` says that it is older than the track.
    """

    __slots__ = (
        "began_s",
        "c",
        "changed",
        "h",
        "id",
        "life",
        "n",
        "n_block",
        "restored",
        "ring",
        "stored_keys",
        "warm_at",
        "window",
    )

    def __init__(self, id: Track, began_s: float, needs: HeadNeeds, window: int) -> None:
        self.n_block = needs.window or window
        self.id = id
        self.began_s = began_s
        self.warm_at = self.n_block
        self.restored = False
        self.ring = Ring(self.n_block, needs.stat, needs.n_features) if needs.keeps_rows else None
        self.h: FloatArray | None = np.zeros(needs.hidden, np.float32) if needs.hidden else None
        self.c: FloatArray | None = np.zeros(needs.hidden, np.float32) if needs.hidden else None
        self.n = 0
        self.window = Tally()
        self.life = Tally()
        self.changed = True
        self.stored_keys: tuple[bytes, ...] = ()

    @property
    def last_s(self) -> float | None:
        """Media time of the newest observation; None before the first."""
        if self.n == 0:
            return None
        return self.window.to_s if self.window.n else self.life.to_s

    @property
    def origin(self) -> StateOrigin:
        """What the answer for the newest observation rests on."""
        if self.n >= self.warm_at:
            return "warm"
        return "restored" if self.restored else "cold"

    def took_over(self) -> None:
        """Mark what was restored from another owner's snapshot."""
        self.restored = True
        self.warm_at = self.n + self.n_block

    def close_window(self) -> Tally:
        """The open block, which from now on is part of the life."""
        closed, self.window = self.window, Tally()
        self.life.merge(closed)
        return closed
