"""Code values to RGB: one affine matrix per colour description, applied at the small size."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from streamer.pixels.layouts import Model, Pixels

Colour = Literal["rgb", "bgr"]
Matrix = Literal["bt601", "bt709", "bt2020", "smpte240m", "fcc", "ycgco"]

# Luma weights of red and blue (ITU-T H.273, table 4, matrix coefficients).
_WEIGHTS: dict[str, tuple[float, float]] = {
    "bt601": (0.299, 0.114),
    "bt709": (0.2126, 0.0722),
    "bt2020": (0.2627, 0.0593),
    "smpte240m": (0.212, 0.087),
    "fcc": (0.30, 0.11),
}


@dataclass(frozen=True, slots=True)
class ColourSpace:
    """What the samples mean. `bits` of a sample, shifted up by `shift` inside its word."""

    model: Model
    matrix: Matrix = "bt601"
    full_range: bool = True
    bits: int = 8
    shift: int = 0

    def black(self) -> tuple[int, int, int]:
        """The code values of black, in component order."""
        low = 0 if self.full_range else 16 << (self.bits - 8)
        chroma = 1 << (self.bits - 1) if self.model == "yuv" else low
        return low << self.shift, chroma << self.shift, chroma << self.shift


@lru_cache(maxsize=64)
def to_rgb_matrix(space: ColourSpace, colour: Colour) -> NDArray[np.float32]:
    """(3,4) affine from code values to `colour`, to 0..255 for 8-bit words and to 0..65535 for 16-bit words."""
    unit = np.eye(3)
    if space.model == "yuv" and space.matrix == "ycgco":
        unit = np.array([[1.0, -1.0, 1.0], [1.0, 1.0, 0.0], [1.0, -1.0, -1.0]])
    elif space.model == "yuv":
        kr, kb = _WEIGHTS[space.matrix]
        kg = 1.0 - kr - kb
        red, blue = 2.0 * (1.0 - kr), 2.0 * (1.0 - kb)
        unit = np.array([[1.0, 0.0, red], [1.0, -kb * blue / kg, -kr * red / kg], [1.0, blue, 0.0]])
    elif space.model == "grey":
        unit = np.array([[1.0, 0.0, 0.0]] * 3)
    step = float(1 << (space.bits - 8))
    top = float((1 << space.bits) - 1)
    low, luma_span, chroma_span = (0.0, top, top) if space.full_range else (16 * step, 219 * step, 224 * step)
    middle = 128 * step
    if space.model == "yuv":
        spans, offsets = np.array([luma_span, chroma_span, chroma_span]), np.array([low, middle, middle])
    else:
        spans, offsets = np.full(3, luma_span), np.full(3, low)
    linear = unit / spans / float(1 << space.shift)
    constant = -unit @ (offsets / spans)
    affine = np.hstack([linear, constant[:, None]]) * (255.0 if space.bits == 8 else 65535.0)
    return np.ascontiguousarray(affine if colour == "rgb" else affine[::-1], dtype=np.float32)


@lru_cache(maxsize=64)
def from_rgb_matrix(space: ColourSpace) -> NDArray[np.float32]:
    """(3,4) affine from 8-bit RGB to the code values of an 8-bit `space`."""
    affine = to_rgb_matrix(space, "rgb").astype(np.float64)
    linear = np.linalg.inv(affine[:, :3])
    return np.ascontiguousarray(np.hstack([linear, -linear @ affine[:, 3:]]), dtype=np.float32)


def convert(components: list[Pixels], space: ColourSpace, colour: Colour, out: NDArray[np.uint8]) -> None:
    """Write the picture given by its (h,w) components into `out` (h,w,3).

    8-bit RGB and full-range grey need no arithmetic. Everything else is one matrix product, rounded and clipped by
    OpenCV; deeper samples stay 16 bits until the end, so that they are rounded once.
    """
    if space.bits == 8 and space.full_range and space.model != "yuv":
        red, green, blue = components * 3 if space.model == "grey" else components
        cv2.merge([red, green, blue] if colour == "rgb" else [blue, green, red], dst=out)
        return
    matrix = to_rgb_matrix(space, colour)
    if space.model == "grey":
        merged, matrix = components[0], np.ascontiguousarray(matrix[:, (0, 3)])
    else:
        merged = cast(Pixels, cv2.merge(components))
    if space.bits == 8:
        cv2.transform(merged, matrix, dst=out)
    else:
        cv2.convertScaleAbs(cv2.transform(merged, matrix), dst=out, alpha=1.0 / 257.0)
