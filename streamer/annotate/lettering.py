"""Writing on pictures, in the font that comes inside of OpenCV (Rubik; other scripts where it has them)."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from streamer.colours import rgb

_REGULAR, _BOLD = 420, 620
_CAPITAL = 0.7
"""The height of capital letters and digits, as a part of the size."""


class Part(NamedTuple):
    """Text on a ground of its own, both `#rrggbb`."""

    text: str
    ground: str
    ink: str
    bold: bool = False


@lru_cache(maxsize=2048)
def width_px(text: str, size_px: int, *, bold: bool = False) -> int:
    """How wide `text` is."""
    weight = _BOLD if bold else _REGULAR
    _, _, width, _ = cv2.getTextSize((0, 0), text, (0, 0), _font(), size_px, weight)
    return int(width)


def write(
    image: NDArray[np.uint8], text: str, x: int, middle_y: float, size_px: int, ink: str, *, bold: bool = False
) -> None:
    """Write `text` from `x` on, its capitals centred on `middle_y`, into an RGB image."""
    baseline = round(middle_y + _CAPITAL * size_px / 2)
    cv2.putText(image, text, (x, baseline), rgb(ink), _font(), size_px, _BOLD if bold else _REGULAR)


@lru_cache(maxsize=512)
def chip(parts: tuple[Part, ...], size_px: int) -> NDArray[np.uint8]:
    """An RGB image (h,w,3), both even, with the parts side by side. Not to be written to."""
    pad = max(3, round(0.42 * size_px))
    height = 2 * round(0.8 * size_px)
    widths = [width_px(part.text, size_px, bold=part.bold) + 2 * pad for part in parts]
    widths[-1] += sum(widths) % 2
    image = np.empty((height, sum(widths), 3), np.uint8)
    x = 0
    for part, width in zip(parts, widths, strict=True):
        image[:, x : x + width] = rgb(part.ground)
        write(image, part.text, x + pad, height / 2, size_px, part.ink, bold=part.bold)
        x += width
    image.flags.writeable = False
    return image


@cache
def _font() -> cv2.FontFace:
    return cv2.FontFace("sans")
