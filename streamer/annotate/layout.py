"""How large everything is: from the size of the picture alone, so that writing can be read at any resolution."""

from __future__ import annotations

import math
from dataclasses import dataclass

LEAST_WIDTH_PX = 600
"""Narrower pictures are enlarged by a whole factor: writing would not fit."""
MOST_SIDE_PX = 4096
"""Larger pictures are made smaller: few players show more."""
_LEAST_TEXT_PX = 15
_SIDE_BY_SIDE = 36  # so many letters wide, two panels stand beside each other


@dataclass(frozen=True, slots=True)
class Layout:
    """Sizes in pixels of what is written: the picture above, the traces below. All even, as 4:2:0 wants them."""

    picture_wh: tuple[int, int]
    strip_h: int
    text_px: int
    line_px: int

    @property
    def size_wh(self) -> tuple[int, int]:
        """Picture and traces together."""
        return self.picture_wh[0], self.picture_wh[1] + self.strip_h

    @property
    def stacked(self) -> bool:
        """Whether the two panels of the traces stand one above the other."""
        return self.picture_wh[0] < _SIDE_BY_SIDE * self.text_px


def layout_for(width: int, height: int) -> Layout:
    """The layout for a displayed picture of `width` x `height`."""
    scale: float = math.ceil(LEAST_WIDTH_PX / width) if width < LEAST_WIDTH_PX else 1.0
    scale = min(scale, MOST_SIDE_PX / max(width, height))
    wide, high = even(width * scale), even(height * scale)
    text_px = max(_LEAST_TEXT_PX, round(math.sqrt(wide * high) / 50))
    panels = 2 if wide < _SIDE_BY_SIDE * text_px else 1
    return Layout((wide, high), even(8 * text_px * panels), text_px, 2 * max(1, round(text_px / 12)))


def even(length: float) -> int:
    """The nearest even number of pixels, at least 2."""
    return max(2, 2 * round(length / 2))
