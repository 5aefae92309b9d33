"""Crops of the faces in pictures, one picture at a time: enough for calibration and training data, no tracking.

The streaming path in `streamer/faces` is another program with other needs; the two are held together by tests of the
same geometry, not by shared code (`engines` never imports `streamer`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from engines.errors import EnginesError
from engines.runtime.protocol import FloatArray, Runner
from engines.spec import CropGeometry

UInt8Array = NDArray[np.uint8]
SEARCH_SIZE_WH = (320, 192)
STRIDE_PX = 4
_INTERPOLATION = {"linear": cv2.INTER_LINEAR, "area": cv2.INTER_AREA, "cubic": cv2.INTER_CUBIC}
_BORDER = {"constant": cv2.BORDER_CONSTANT, "replicate": cv2.BORDER_REPLICATE}


@dataclass(frozen=True)
class Face:
    """`box_xyxy` (4,) and `points_xy` (5,2) in pixels of the picture, `face_px` its shorter side as searched."""

    box_xyxy: FloatArray
    points_xy: FloatArray
    score: float
    face_px: float


def pictures_of(path: Path) -> Iterator[UInt8Array]:
    """Every frame of a clip as (H,W,3) RGB. Raises `EnginesError` when it cannot be decoded."""
    try:
        with av.open(str(path)) as container:
            for frame in container.decode(video=0):
                yield np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
    except (av.FFmpegError, IndexError, OSError) as error:
        raise EnginesError(f"{path} cannot be read as a video: {error}") from error


def find_faces(
    detector: Runner, picture_rgb: UInt8Array, *, threshold: float = 0.5, overlap: float = 0.3
) -> list[Face]:
    """Faces found by CenterFace (open at `SEARCH_SIZE_WH`) in one RGB picture, best first."""
    width, height = SEARCH_SIZE_WH
    rows, columns = picture_rgb.shape[:2]
    scale = min(width / columns, height / rows)
    canvas = np.zeros((1, height, width, 3), np.uint8)
    small = cv2.resize(picture_rgb, (round(columns * scale), round(rows * scale)), interpolation=cv2.INTER_LINEAR)
    canvas[0, : small.shape[0], : small.shape[1]] = small
    maps = {name: values[0] for name, values in detector.infer({"image": canvas}).items()}
    found = sorted(_cells(maps, threshold), key=lambda face: -face.score)
    kept: list[Face] = []
    for face in found:
        if all(_overlap(face.box_xyxy, other.box_xyxy) < overlap for other in kept):
            kept.append(face)
    return [
        Face(
            (face.box_xyxy / scale).astype(np.float32),
            (face.points_xy / scale).astype(np.float32),
            face.score,
            face.face_px,
        )
        for face in kept
    ]


def _cells(maps: dict[str, FloatArray], threshold: float) -> Iterator[Face]:
    for row, column in zip(*np.nonzero(maps["heat"][0] > threshold), strict=True):
        down, right = maps["offset"][:, row, column]
        height, width = np.exp(maps["scale"][:, row, column]) * STRIDE_PX
        left = (column + right + 0.5) * STRIDE_PX - width / 2
        top = (row + down + 0.5) * STRIDE_PX - height / 2
        relative_yx = maps["points"][:, row, column].reshape(5, 2)
        points = np.stack([left + relative_yx[:, 1] * width, top + relative_yx[:, 0] * height], 1)
        box = np.array([left, top, left + width, top + height], np.float32)
        score = float(maps["heat"][0, row, column])
        yield Face(box, points.astype(np.float32), score, float(min(width, height)))


def _overlap(a: FloatArray, b: FloatArray) -> float:
    shared = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod()
    return float(shared / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - shared))


def crop(picture: UInt8Array, face: Face, geometry: CropGeometry) -> UInt8Array:
    """(height,width,3) cut as the model's spec says."""
    matrix = picture_to_crop(face, geometry)
    cut: Any = cv2.warpAffine(
        picture,
        matrix,
        (geometry.width, geometry.height),
        flags=_INTERPOLATION[geometry.interpolation],
        borderMode=_BORDER[geometry.border],
    )
    pixels: UInt8Array = cut
    return pixels


def picture_to_crop(face: Face, geometry: CropGeometry) -> NDArray[np.float64]:
    """The (2,3) affine map from picture to crop pixels: a similarity of the points, or the widened square box."""
    if geometry.kind == "five_point":
        return similarity(face.points_xy, geometry.template)
    left, top, right, bottom = (float(value) for value in face.box_xyxy)
    side = max(right - left, bottom - top) * (1 + 2 * geometry.margin)
    scale_x, scale_y = geometry.width / side, geometry.height / side
    x0, y0 = (left + right - side) / 2, (top + bottom - side) / 2
    return np.array([[scale_x, 0.0, -x0 * scale_x], [0.0, scale_y, -y0 * scale_y]])


def similarity(points_xy: FloatArray, template_xy: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """The least-squares rotation, uniform scale and shift taking (N,2) points onto the template, as (2,3)."""
    source = points_xy.astype(np.float64)
    target = np.asarray(template_xy, np.float64)
    source_mean, target_mean = source.mean(0), target.mean(0)
    s, t = source - source_mean, target - target_mean
    norm = float((s * s).sum())
    a = float((s * t).sum()) / norm
    b = float((s[:, 0] * t[:, 1] - s[:, 1] * t[:, 0]).sum()) / norm
    turn = np.array([[a, -b], [b, a]])
    return np.column_stack([turn, target_mean - turn @ source_mean])
