"""Taking a small picture out of one plane: shrinking without aliasing, and affine sampling.

Halving (2x2 averages) is what OpenCV does fastest, so a large reduction is halvings followed by one bilinear step
of less than 2: as clean as area averaging, several times faster (docs/decisions).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, cast

import cv2
import numpy as np

from streamer.pixels.geometry import Affine, compose, indexed
from streamer.pixels.layouts import Pixels

Interpolation = Literal["linear", "area", "cubic"]
Border = Literal["constant", "replicate"]

_FLAGS = {"linear": cv2.INTER_LINEAR, "area": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC}
_BORDERS = {"constant": cv2.BORDER_CONSTANT, "replicate": cv2.BORDER_REPLICATE}


@dataclass(frozen=True, slots=True)
class Plane:
    """A view on decoded samples, (rows,cols) or (rows,cols,n), never copied.

    Cell (x, y) of the plane lies at (x * x_step + x_shift, y * y_step) of the coded picture, all continuous.
    `takes`: (channel, component) pairs, see `PlaneLayout`.
    """

    pixels: Pixels
    takes: tuple[tuple[int, int], ...]
    x_step: float = 1.0
    y_step: float = 1.0
    x_shift: float = 0.0

    def to_coded(self) -> Affine:
        """(2,3) from this plane to the coded picture."""
        return np.array([[self.x_step, 0.0, self.x_shift], [0.0, self.y_step, 0.0]])


def halved(pixels: Pixels, x_factor: float, y_factor: float) -> tuple[Pixels, int, int]:
    """`pixels` averaged down by powers of two until less than a factor 2 of each factor is left; and what was done.

    An odd last row or column is left out: less than one pixel of the result.
    """
    x_done = y_done = 1
    while True:
        rows, cols = pixels.shape[:2]
        x_half = 2 if x_factor >= 2 * x_done and cols >= 2 else 1
        y_half = 2 if y_factor >= 2 * y_done and rows >= 2 else 1
        if x_half == y_half == 1:
            return pixels, x_done, y_done
        even = pixels[: rows - rows % y_half, : cols - cols % x_half]
        size = (even.shape[1] // x_half, even.shape[0] // y_half)
        pixels = cast(Pixels, cv2.resize(even, size, interpolation=cv2.INTER_AREA))
        x_done, y_done = x_done * x_half, y_done * y_half


def shrink(pixels: Pixels, width: int, height: int, x_scale: float, y_scale: float) -> Pixels:
    """(height,width[,n]): `pixels` scaled from its upper left by exactly the factors.

    Where rounding (an odd plane, a chroma plane) leaves a last row or column empty, its neighbour is repeated.
    """
    pixels, x_done, y_done = halved(pixels, 1.0 / x_scale, 1.0 / y_scale)
    x_rest, y_rest = x_scale * x_done, y_scale * y_done
    if x_rest != 1.0 or y_rest != 1.0:
        rows, cols = pixels.shape[:2]
        # Without a size OpenCV keeps to the factors; a plane thinner than half a pixel of the result needs one.
        size = (1, max(1, height)) if round(cols * x_rest) < 1 else (width, 1) if round(rows * y_rest) < 1 else None
        resized = cv2.resize(pixels, size, fx=x_rest, fy=y_rest, interpolation=cv2.INTER_LINEAR)
        pixels = cast(Pixels, resized)
    rows, cols = pixels.shape[:2]
    if (cols, rows) != (width, height):
        pixels = pixels[:height, :width]
        rows, cols = pixels.shape[:2]
        padded = cv2.copyMakeBorder(pixels, 0, height - rows, 0, width - cols, cv2.BORDER_REPLICATE)
        pixels = cast(Pixels, padded)
    return pixels


def sample(
    pixels: Pixels,
    to_crop: Affine,
    width: int,
    height: int,
    interpolation: Interpolation,
    border: Border,
    fill: tuple[float, ...],
) -> Pixels:
    """(height,width[,n]) seen through the (2,3) map from this plane to the crop.

    `area` averages first where the crop is much smaller than what it shows; the work is in proportion to the part
    of the plane that the crop covers, never to the plane.
    """
    if interpolation == "area":
        pixels, to_crop = _averaged(pixels, to_crop, width, height)
    crop = cv2.warpAffine(
        pixels,
        indexed(to_crop),
        (width, height),
        flags=_FLAGS[interpolation],
        borderMode=_BORDERS[border],
        borderValue=fill,
    )
    return cast(Pixels, crop)


def _averaged(pixels: Pixels, to_crop: Affine, width: int, height: int) -> tuple[Pixels, Affine]:
    """The part of `pixels` that the crop shows, averaged down; and the map from there to the crop."""
    (a, b, c), (d, e, f) = to_crop.tolist()
    x_factor, y_factor = 1.0 / max(math.hypot(a, d), 1e-6), 1.0 / max(math.hypot(b, e), 1e-6)
    determinant = a * e - b * d
    if max(x_factor, y_factor) < 2.0 or abs(determinant) < 1e-12:
        return pixels, to_crop
    corners = [(x - c, y - f) for x in (0.0, width) for y in (0.0, height)]
    columns = [(e * x - b * y) / determinant for x, y in corners]
    lines = [(a * y - d * x) / determinant for x, y in corners]
    limits = []
    for seen, factor, size in ((columns, x_factor, pixels.shape[1]), (lines, y_factor, pixels.shape[0])):
        block = 1 << int(math.log2(max(factor, 1.0)))
        low = int(min(max(math.floor(min(seen)) - 2 * block, 0), size - 1)) // block * block
        high = int(min(max(math.ceil(max(seen)) + 3 * block, 1), size))
        limits.append((low, max(high, min(low + block, size))))
    (x0, x1), (y0, y1) = limits
    part, x_done, y_done = halved(pixels[y0:y1, x0:x1], x_factor, y_factor)
    to_plane = np.array([[x_done, 0.0, x0], [0.0, y_done, y0]], dtype=np.float64)
    return part, compose(to_crop, to_plane)
