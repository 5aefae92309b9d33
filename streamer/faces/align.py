"""Where a model wants a face: the affine map from display pixels to its crop, and the crop itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from engines.spec import CropGeometry
from streamer.pixels import Picture
from streamer.types import FloatArray, TrackedFace, UInt8Array

AlignCause = Literal["degenerate_points"]

USUAL_SPREAD = 0.21
"""RMS distance of a face's points from their centre, as a share of the box's longer side (0.17 to 0.25 is usual)."""

MIN_SPREAD = 0.05
"""Points whose RMS distance from their centre is below this share of the box's longer side fix no direction."""

SCALE_LIMITS = (0.25, 4.0)
"""A five-point scale this far from the box's own contradicts the box: the points are wrong."""


@dataclass(frozen=True, slots=True)
class CropTransforms:
    """`display_to_crop` (N,2,3) float64 and, per face, why the box was used instead of the points."""

    display_to_crop: NDArray[np.float64]
    causes: tuple[AlignCause | None, ...]


def crop_transforms(boxes_xyxy: FloatArray, points_xy: FloatArray, geometry: CropGeometry) -> CropTransforms:
    """The maps for boxes (N,4) and points (N,5,2) in display pixels.

    `five_point`: the least-squares similarity (Umeyama, PAMI 13:376-380, 1991), in its closed form for the plane:
    with points as complex numbers around their means, the factor m that minimises sum |m p - t|^2 is
    sum(conj(p) t) / sum |p|^2. It turns and scales, never mirrors, and takes no iteration or random choice.
    Points that cannot carry a map (collapsed, not finite, mirrored) fall back to the face's box, with a cause.
    """
    from_box = box_transforms(boxes_xyxy, geometry)
    if geometry.kind == "box":
        return CropTransforms(from_box, (None,) * len(from_box))
    points = points_xy.astype(np.float64)
    template = np.asarray(geometry.template, np.float64)
    source = points[..., 0] + 1j * points[..., 1]  # (N,5)
    target = template[:, 0] + 1j * template[:, 1]  # (5,)
    source_mean, target_mean = source.mean(axis=1), target.mean()
    centred = source - source_mean[:, None]
    energy = (np.abs(centred) ** 2).sum(axis=1)
    side = (boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]).max(axis=1).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        factor = (centred.conj() * (target - target_mean)).sum(axis=1) / energy
        relative = np.abs(factor) / _template_scale(target, side)
        good = np.isfinite(factor) & (energy > 5 * (MIN_SPREAD * side) ** 2)
        good &= (relative > SCALE_LIMITS[0]) & (relative < SCALE_LIMITS[1])
        shift = target_mean - factor * source_mean
    similar = np.empty((len(points), 2, 3), np.float64)
    similar[:, 0, 0], similar[:, 0, 1], similar[:, 0, 2] = factor.real, -factor.imag, shift.real
    similar[:, 1, 0], similar[:, 1, 1], similar[:, 1, 2] = factor.imag, factor.real, shift.imag
    chosen = np.where(good[:, None, None], similar, from_box)
    return CropTransforms(chosen, tuple(None if ok else "degenerate_points" for ok in good.tolist()))


def box_transforms(boxes_xyxy: FloatArray, geometry: CropGeometry) -> NDArray[np.float64]:
    """The maps (N,2,3) that show each box, widened by the margin on every side and made square, in the whole crop.

    The square becomes the crop's shorter side, so that nothing is stretched whatever the crop's shape.
    """
    boxes = boxes_xyxy.astype(np.float64)
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    side = np.maximum((boxes[:, 2:] - boxes[:, :2]).max(axis=1), 1e-3) * (1 + 2 * geometry.margin)
    scale = min(geometry.width, geometry.height) / side
    maps = np.zeros((len(boxes), 2, 3), np.float64)
    maps[:, 0, 0] = maps[:, 1, 1] = scale
    maps[:, :, 2] = np.array([geometry.width, geometry.height]) / 2 - scale[:, None] * centre
    return maps


def crop_transform(box_xyxy: FloatArray, points_xy: FloatArray, geometry: CropGeometry) -> NDArray[np.float64]:
    """The map (2,3) of one face: box (4,), points (5,2)."""
    result: NDArray[np.float64] = crop_transforms(box_xyxy[None], points_xy[None], geometry).display_to_crop[0]
    return result


def align(
    picture: Picture, face: TrackedFace, geometry: CropGeometry, colour: Literal["rgb", "bgr"] = "rgb"
) -> UInt8Array:
    """The face's crop (height, width, 3) as the model wants it, straight from the picture's planes."""
    display_to_crop = crop_transform(face.box_xyxy, face.points_xy, geometry)
    return picture.warp(
        display_to_crop, geometry.width, geometry.height, colour, geometry.interpolation, geometry.border
    )


def _template_scale(target: NDArray[np.complex128], side: NDArray[np.float64]) -> NDArray[np.float64]:
    """The scale that a face with a box of this longer side would have if its points were spread as usual."""
    spread = float(np.sqrt((np.abs(target - target.mean()) ** 2).mean()))
    result: NDArray[np.float64] = spread / (USUAL_SPREAD * np.maximum(side, 1e-3))
    return result
