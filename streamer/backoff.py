"""Pauses between two tries of something that may come back: growing, bounded, jittered."""

from __future__ import annotations

import random


class Backoff:
    """Pauses double from `first_s` to `longest_s`; each is shortened by up to half, so that many who wait for the
    same thing do not ask for it at the same moment."""

    def __init__(self, first_s: float, longest_s: float) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._pause_s = first_s

    def next_s(self) -> float:
        """How long to wait now."""
        pause_s = self._pause_s
        self._pause_s = min(self._longest_s, 2 * pause_s)
        return pause_s * random.uniform(0.5, 1.0)  # noqa: S311  # jitter

    def reset(self) -> None:
        """It worked: the next pause is the first again."""
        self._pause_s = self._first_s
