"""Affine maps between planes, the coded picture and the displayed picture.

Coordinates are continuous: the first pixel covers [0, 1), so its centre is at 0.5 and the picture's edges are at 0
and at its width. Scaling is then a plain factor, whatever the sampling. Only `indexed` speaks OpenCV's language,
where the centre of the first pixel is at 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Affine = NDArray[np.float64]


def compose(outer: Affine, inner: Affine) -> Affine:
    """The (2,3) map that applies `inner`, then `outer`. Written out, since NumPy's calls cost more than the numbers."""
    (a, b, c), (d, e, f) = outer.tolist()
    (g, h, i), (j, k, m) = inner.tolist()
    return np.array(
        ((a * g + b * j, a * h + b * k, a * i + b * m + c), (d * g + e * j, d * h + e * k, d * i + e * m + f))
    )


def indexed(affine: Affine) -> Affine:
    """The same map between pixel indices, as `cv2.warpAffine` wants it."""
    (a, b, c), (d, e, f) = affine.tolist()
    return np.array(((a, b, c + (a + b) * 0.5 - 0.5), (d, e, f + (d + e) * 0.5 - 0.5)))


@dataclass(frozen=True, slots=True)
class Orientation:
    """One of the eight ways to turn a picture: transpose first, then mirror each axis of the result."""

    transpose: bool = False
    flip_x: bool = False
    flip_y: bool = False

    @staticmethod
    def of_display_matrix(matrix: Sequence[int]) -> Orientation:
        """From FFmpeg's AV_FRAME_DATA_DISPLAYMATRIX (9 numbers, 16.16 fixed point: x' = a x + c y, y' = b x + d y).

        A matrix that is not within a few degrees of a quarter turn, or that is degenerate, is taken as upright.
        """
        a, b, _, c, d = (float(value) for value in matrix[:5])
        size = max(abs(a), abs(b), abs(c), abs(d))
        straight = size > 0 and max(abs(b), abs(c)) < 0.1 * size and min(abs(a), abs(d)) > 0.5 * size
        turned = size > 0 and max(abs(a), abs(d)) < 0.1 * size and min(abs(b), abs(c)) > 0.5 * size
        if straight:
            return Orientation(False, a < 0, d < 0)
        if turned:
            return Orientation(True, c < 0, b < 0)
        return Orientation()

    def after_vertical_flip(self) -> Orientation:
        """This orientation for rows that lie bottom-up in memory."""
        if self.transpose:
            return Orientation(True, not self.flip_x, self.flip_y)
        return Orientation(False, self.flip_x, not self.flip_y)

    def turned_wh(self, width: int, height: int) -> tuple[int, int]:
        """The size after turning."""
        return (height, width) if self.transpose else (width, height)

    def affine(self, width: int, height: int, x_scale: float, y_scale: float) -> Affine:
        """(2,3) from coded pixels to the turned picture of `width` x `height`, scaled before turning."""
        rows = [[0.0, y_scale], [x_scale, 0.0]] if self.transpose else [[x_scale, 0.0], [0.0, y_scale]]
        linear = np.array(rows)
        shift = np.zeros(2)
        for axis, flip, size in ((0, self.flip_x, width), (1, self.flip_y, height)):
            if flip:
                linear[axis] *= -1.0
                shift[axis] = float(size)
        return np.column_stack([linear, shift])


UPRIGHT = Orientation()
