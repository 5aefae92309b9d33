"""Runners that answer what a test wrote down, and pictures made of arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from engines.errors import EngineError
from engines.runtime.protocol import FloatArray, InputArray
from streamer.pixels import Picture
from streamer.pixels.frames import picture_of
from streamer.types import Detections, TrackedFace

Answer = Callable[[NDArray[np.uint8]], dict[str, FloatArray]]
Face = tuple[float, float, float, float, float]
"""Box x0, y0, x1, y1 in pixels of the detector's input, and score."""

POINT_SHARES = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]], np.float32)


class ScriptedRunner:
    """Answers `answer(images)`. Its outputs are overwritten by the next call, as the protocol allows."""

    precision = "fp32"
    device = "script"

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.batches: list[int] = []
        self.closed = False
        self._last: dict[str, FloatArray] = {}

    def infer(self, inputs: Mapping[str, InputArray]) -> dict[str, FloatArray]:
        for old in self._last.values():
            old.fill(np.nan)
        images = np.asarray(inputs["image"], np.uint8)
        assert images.ndim == 4
        assert images.shape[3] == 3
        self.batches.append(len(images))
        self._last = self.answer(images)
        return self._last

    def close(self) -> None:
        self.closed = True


def refuse_marked(answer: Answer, mark: int = 255) -> Answer:
    """Like `answer`, but the engine fails on any batch with an image whose first value is `mark`."""

    def refusing(images: NDArray[np.uint8]) -> dict[str, FloatArray]:
        if (images[:, 0, 0, 0] == mark).any():
            raise EngineError("the engine failed")
        return answer(images)

    return refusing


def picture(width: int, height: int, value: int = 100, corner: int | None = None) -> Picture:
    """A plain picture; `corner` colours its upper left quarter."""
    rgb = np.full((height, width, 3), value, np.uint8)
    if corner is not None:
        rgb[: height // 2, : width // 2] = corner
    return picture_from(rgb)


def picture_from(rgb: NDArray[np.uint8]) -> Picture:
    """A picture of the array (H,W,3)."""
    return picture_of(VideoFrame.from_ndarray(rgb, "rgb24"))


def centerface_maps(shape: tuple[int, int], batch: Sequence[Sequence[Face]]) -> dict[str, FloatArray]:
    """Maps that say exactly these faces, one cell each, points at `POINT_SHARES` of the box."""
    width, height = shape[0] // 4, shape[1] // 4
    maps = {
        name: np.zeros((len(batch), channels, height, width), np.float32)
        for name, channels in (("heat", 1), ("scale", 2), ("offset", 2), ("points", 10))
    }
    for row, faces in enumerate(batch):
        for x0, y0, x1, y1, score in faces:
            centre_x, centre_y = (x0 + x1) / 2 / 4, (y0 + y1) / 2 / 4
            at = (row, slice(None), int(centre_y), int(centre_x))
            maps["heat"][at] = score
            maps["scale"][at] = np.log([(y1 - y0) / 4, (x1 - x0) / 4])
            maps["offset"][at] = centre_y - int(centre_y) - 0.5, centre_x - int(centre_x) - 0.5
            maps["points"][at] = POINT_SHARES[:, ::-1].reshape(-1)
    return maps


def yunet_maps(shape: tuple[int, int], batch: Sequence[Sequence[Face]], stride: int) -> dict[str, FloatArray]:
    """Maps that say exactly these faces at one stride, points at `POINT_SHARES` of the box."""
    maps: dict[str, FloatArray] = {}
    for s in (8, 16, 32):
        cells = (shape[0] // s) * (shape[1] // s)
        for name, channels in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
            maps[f"{name}_{s}"] = np.zeros((len(batch), cells, channels), np.float32)
    for row, faces in enumerate(batch):
        for x0, y0, x1, y1, score in faces:
            centre = np.array([x0 + x1, y0 + y1], np.float32) / 2 / stride
            column, line = int(centre[0]), int(centre[1])
            cell = line * (shape[0] // stride) + column
            maps[f"cls_{stride}"][row, cell] = maps[f"obj_{stride}"][row, cell] = score
            sides = np.log(np.array([x1 - x0, y1 - y0]) / stride)
            maps[f"bbox_{stride}"][row, cell] = [*(centre - [column, line]), *sides]
            points = np.array([x0, y0]) + POINT_SHARES * [x1 - x0, y1 - y0]
            maps[f"kps_{stride}"][row, cell] = (points / stride - [column, line]).reshape(-1)
    return maps


def detections(*faces: Face, face_px: float = 50.0) -> Detections:
    """Detections in display pixels, best first as given."""
    boxes = np.array([face[:4] for face in faces], np.float32).reshape(-1, 4)
    points = boxes[:, None, :2] + POINT_SHARES * (boxes[:, None, 2:] - boxes[:, None, :2])
    scores = np.array([face[4] for face in faces], np.float32)
    return Detections(boxes, points, scores, np.full(len(faces), face_px, np.float32))


def tracked(points_xy: Any, score: float = 0.9, face_px: float = 50.0) -> TrackedFace:
    """A tracked face with these points, its box around them."""
    points = np.asarray(points_xy, np.float32)
    low, high = points.min(axis=0), points.max(axis=0)
    pad = (high - low).max() * 0.5
    return TrackedFace(1, np.concatenate([low - pad, high + pad]).astype(np.float32), points, score, face_px)
