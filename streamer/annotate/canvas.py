"""One picture being drawn: luma and chroma of 8 bits, chroma at half the size, painted in place.

The video's own samples are never turned into RGB: only what is drawn is converted, and that is small.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from streamer.colours import rgb
from streamer.pixels import Picture
from streamer.pixels.colour import ColourSpace, from_rgb_matrix
from streamer.pixels.geometry import Orientation

Samples = NDArray[np.uint8]


class Canvas:
    """Paints into three planes: `luma` (h,w), `blue` and `red` (h/2,w/2). Positions and sizes are rounded to even."""

    def __init__(self, luma: Samples, blue: Samples, red: Samples, space: ColourSpace) -> None:
        self._planes = (luma, blue, red)
        self._space = space

    def fill(self, x0: int, y0: int, x1: int, y1: int, colour: str) -> None:
        """Paint the pixels from (x0, y0) up to (x1, y1), those that there are, with `#rrggbb`."""
        height, width = self._planes[0].shape
        left, right = (min(max(x // 2, 0), width // 2) for x in (x0, x1))
        top, bottom = (min(max(y // 2, 0), height // 2) for y in (y0, y1))
        y, u, v = _code_values(self._space, colour)
        self._planes[0][2 * top : 2 * bottom, 2 * left : 2 * right] = y
        self._planes[1][top:bottom, left:right] = u
        self._planes[2][top:bottom, left:right] = v

    def put(self, patch: Samples, x: int, y: int) -> None:
        """Lay the RGB `patch` (h,w,3), both even, with its upper left at (x, y); what sticks out is cut off."""
        height, width = self._planes[0].shape
        x, y = x // 2 * 2, y // 2 * 2
        left, top = max(0, -x), max(0, -y)
        patch = patch[top : max(top, height - y), left : max(left, width - x)]
        if not patch.size:
            return
        x, y = max(0, x), max(0, y)
        rows, columns = patch.shape[:2]
        codes = cv2.transform(patch, from_rgb_matrix(self._space))
        self._planes[0][y : y + rows, x : x + columns] = codes[..., 0]
        chroma = cv2.resize(codes, (columns // 2, rows // 2), interpolation=cv2.INTER_AREA)
        x, y, rows, columns = x // 2, y // 2, rows // 2, columns // 2
        self._planes[1][y : y + rows, x : x + columns] = chroma[..., 1]
        self._planes[2][y : y + rows, x : x + columns] = chroma[..., 2]

    def show(self, picture: Picture, width: int, height: int) -> None:
        """Lay the picture, upright and scaled to `width` x `height` (even), into the upper left."""
        sides = ((width, height), (width // 2, height // 2), (width // 2, height // 2))
        if picture.space.model != "yuv":
            scale = np.array([[width / picture.width, 0.0, 0.0], [0.0, height / picture.height, 0.0]])
            self.put(picture.warp(scale, width, height, "rgb", "area", border="replicate"), 0, 0)
            return
        for plane in picture.planes:
            for channel, component in plane.takes:
                samples = plane.pixels if plane.pixels.ndim == 2 else plane.pixels[..., channel]
                samples = _eight_bits(samples, picture.space)
                wide, high = sides[component]
                _fit(samples, picture.orientation, self._planes[component][:high, :wide])


def output_space(picture: Picture) -> ColourSpace:
    """How the drawn picture's samples are to be understood: as the source's, where those are luma and chroma."""
    space = picture.space
    if space.model != "yuv":
        return ColourSpace("yuv", "bt709", full_range=False)
    return ColourSpace("yuv", space.matrix, space.full_range)


def _eight_bits(samples: NDArray[np.unsignedinteger], space: ColourSpace) -> Samples:
    if samples.dtype == np.uint8:
        return samples.astype(np.uint8, copy=False)
    return cv2.convertScaleAbs(samples, alpha=1.0 / (1 << (space.bits - 8 + space.shift))).astype(np.uint8, copy=False)


def _fit(samples: Samples, orientation: Orientation, out: Samples) -> None:
    """Turn and scale one plane into `out`."""
    if orientation.transpose:
        samples = np.ascontiguousarray(samples.T)
    if orientation.flip_x or orientation.flip_y:
        samples = samples[:: -1 if orientation.flip_y else 1, :: -1 if orientation.flip_x else 1]
    if samples.shape == out.shape:
        out[:] = samples
        return
    (rows, columns), (high, wide) = samples.shape, out.shape
    larger = wide >= columns and high >= rows
    method = cv2.INTER_CUBIC if larger else cv2.INTER_AREA
    out[:] = cv2.resize(np.ascontiguousarray(samples), (wide, high), interpolation=method)


@lru_cache(maxsize=256)
def _code_values(space: ColourSpace, colour: str) -> tuple[int, int, int]:
    pixel = np.array([[rgb(colour)]], np.uint8)
    y, u, v = cv2.transform(pixel, from_rgb_matrix(space))[0, 0].tolist()
    return y, u, v
