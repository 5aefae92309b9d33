"""Where a model wants a face: the affine map from display pixels to its crop, and the crop itself."""

from __future__ import annotations

import cmath
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from engines.spec import CropGeometry
from streamer.pixels import Picture
from streamer.types import FloatArray, TrackedFace, UInt8Array

Template = tuple[tuple[float, float], ...]

USUAL_TEMPLATE: Template = ((0.0, 0.0), (35.2, 0.0), (17.7, 20.0), (3.2, 40.6), (32.4, 40.6))
"""Five points of a face seen from the front, for judging points where no model's template is at hand."""
SPREAD_LIMITS = (0.05, 0.85)
"""RMS distance of a face's points from their centre, as a share of the box's longer side: 0.17 to 0.25 is usual."""
MIN_LIKENESS = 0.25
"""Squared correlation of points with the template, turned and scaled at will. A profile has 0.6, a face whose left
and right are exchanged 0.05."""


def similarity(box_xyxy: FloatArray, points_xy: FloatArray, template: Template) -> tuple[complex, complex] | None:
    """`(m, c)` so that z -> m z + c takes the points (5,2) as near to the template as turning and scaling can.

    Least squares (Umeyama, PAMI 13:376-380, 1991) in its closed form for the plane: with points p and template t as
    complex numbers around their means, m = sum(conj(p) t) / sum |p|^2. It never mirrors, takes no iteration and no
    random choice. None when the points cannot carry a map: collapsed, scattered, mirrored or not finite.
    """
    target, target_mean, target_energy = _centred(template)
    points = [complex(x, y) for x, y in points_xy.tolist()]
    mean = sum(points) / len(points)
    if not cmath.isfinite(mean):
        return None
    centred = [point - mean for point in points]
    energy = sum(p.real * p.real + p.imag * p.imag for p in centred)
    x0, y0, x1, y1 = box_xyxy.tolist()
    spread = (energy / len(points)) ** 0.5
    side = max(x1 - x0, y1 - y0)
    if not SPREAD_LIMITS[0] * side <= spread <= SPREAD_LIMITS[1] * side or energy == 0:
        return None
    product = sum(p.conjugate() * t for p, t in zip(centred, target, strict=True))
    if not abs(product) ** 2 >= MIN_LIKENESS * energy * target_energy:
        return None
    factor = product / energy
    return factor, target_mean - factor * mean


def points_usable(box_xyxy: FloatArray, points_xy: FloatArray) -> bool:
    """Whether the points (5,2) can align the face at all; `crop_transform` takes the box when they cannot."""
    return similarity(box_xyxy, points_xy, USUAL_TEMPLATE) is not None


def crop_transform(box_xyxy: FloatArray, points_xy: FloatArray, geometry: CropGeometry) -> NDArray[np.float64]:
    """The map (2,3) from display pixels to crop pixels for one face: box (4,), points (5,2) in display pixels.

    `five_point` falls back to the box where `similarity` finds no map. Both put pixel edges, not centres, at whole
    numbers.
    """
    if geometry.kind == "five_point":
        found = similarity(box_xyxy, points_xy, geometry.template)
        if found is not None:
            m, c = found
            return np.array([[m.real, -m.imag, c.real], [m.imag, m.real, c.imag]], np.float64)
    return _box_transform(box_xyxy, geometry)


def align(
    picture: Picture, face: TrackedFace, geometry: CropGeometry, colour: Literal["rgb", "bgr"] = "rgb"
) -> UInt8Array:
    """The face's crop (height, width, 3) as the model wants it, straight from the picture's planes."""
    display_to_crop = crop_transform(face.box_xyxy, face.points_xy, geometry)
    return picture.warp(
        display_to_crop, geometry.width, geometry.height, colour, geometry.interpolation, geometry.border
    )


def _box_transform(box_xyxy: FloatArray, geometry: CropGeometry) -> NDArray[np.float64]:
    """Shows the box, widened by the margin on every side and made square, in the whole crop.

    The square becomes the crop's shorter side, so that nothing is stretched whatever the crop's shape.
    """
    x0, y0, x1, y1 = box_xyxy.tolist()
    side = max(x1 - x0, y1 - y0, 1e-3) * (1 + 2 * geometry.margin)
    scale = min(geometry.width, geometry.height) / side
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    return np.array(
        [[scale, 0.0, geometry.width / 2 - scale * x], [0.0, scale, geometry.height / 2 - scale * y]], np.float64
    )


@lru_cache(maxsize=16)
def _centred(template: Template) -> tuple[tuple[complex, ...], complex, float]:
    """The template around its mean, the mean, and the sum of squared distances from it."""
    points = [complex(x, y) for x, y in template]
    mean = sum(points) / len(points)
    centred = tuple(point - mean for point in points)
    return centred, mean, sum(abs(point) ** 2 for point in centred)
