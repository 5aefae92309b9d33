"""The plain loop a reader would write in an afternoon, to hold the pipeline against.

Independent on purpose: it shares only the weight files with the product. Every frame is converted to RGB whole,
letterboxed, searched, aligned and classified one by one, with its own decoding of the networks' answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
import openvino as ov
from numpy.typing import NDArray

TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]], np.float64
)
MEAN_RGB = np.array([122.782, 117.001, 104.298], np.float32)
# The network's own order is neutral, happy, sad, angry, fearful, disgusted, surprised.
TO_PAPER_ORDER = [0, 3, 5, 4, 1, 2, 6]


@dataclass(frozen=True)
class Seen:
    """One face of one frame: its box in a picture of `size_wh`, class probabilities in the paper's order."""

    pts: int | None
    size_wh: tuple[int, int]
    box_xyxy: NDArray[np.float64]
    probs: NDArray[np.float64]

    @property
    def margin(self) -> float:
        """Best minus second-best probability."""
        second, best = np.sort(self.probs)[-2:]
        return float(best - second)


class StraightLoop:
    """CenterFace on a fixed 320x192 canvas, then the face-api network."""

    def __init__(self, centerface: Path, face_api: Path) -> None:
        core = ov.Core()
        settings = {"INFERENCE_NUM_THREADS": 1, "ENABLE_CPU_PINNING": False, "INFERENCE_PRECISION_HINT": "f32"}
        detector = core.read_model(str(centerface))
        detector.reshape([1, 3, 192, 320])
        self._detector = core.compile_model(detector, "CPU", settings)
        classifier = core.read_model(str(face_api))
        classifier.reshape({classifier.input(0): [1, *list(classifier.input(0).partial_shape)[1:]]})
        self._classifier = core.compile_model(classifier, "CPU", settings)

    def run(self, path: Path) -> list[Seen]:
        """Every face of every frame."""
        with av.open(str(path)) as container:
            return [
                seen
                for frame in container.decode(video=0)
                for seen in self._look(frame.pts, np.asarray(frame.to_ndarray(format="rgb24"), np.uint8))
            ]

    def _look(self, pts: int | None, rgb: NDArray[np.uint8]) -> list[Seen]:
        height, width = rgb.shape[:2]
        scale = min(320 / width, 192 / height)
        small = cv2.resize(rgb, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
        canvas = np.zeros((192, 320, 3), np.uint8)
        canvas[: small.shape[0], : small.shape[1]] = small
        answer = self._detector(canvas.transpose(2, 0, 1)[None].astype(np.float32))
        heat, size, offset, marks = (answer[i][0] for i in range(4))
        found: list[tuple[float, NDArray[np.float64], NDArray[np.float64]]] = []
        for row, column in zip(*np.nonzero(heat[0] > 0.5), strict=True):
            h, w = np.exp(size[:, row, column]) * 4
            y = (row + offset[0, row, column] + 0.5) * 4 - h / 2
            x = (column + offset[1, row, column] + 0.5) * 4 - w / 2
            points = np.array(
                [[marks[2 * k + 1, row, column] * w + x, marks[2 * k, row, column] * h + y] for k in range(5)]
            )
            found.append((float(heat[0, row, column]), np.array([x, y, x + w, y + h]) / scale, points / scale))
        found.sort(key=lambda one: -one[0])
        kept: list[Seen] = []
        for _, box, points in found:
            if all(overlap(box, other.box_xyxy) < 0.3 for other in kept):
                kept.append(Seen(pts, (width, height), box, self._classify(rgb, points)))
        return kept

    def _classify(self, rgb: NDArray[np.uint8], points: NDArray[np.float64]) -> NDArray[np.float64]:
        a = np.zeros((10, 4))
        a[0::2] = np.c_[points, np.ones(5), np.zeros(5)]
        a[1::2] = np.c_[points[:, 1], -points[:, 0], np.zeros(5), np.ones(5)]
        p, q, tx, ty = np.linalg.lstsq(a, TEMPLATE.reshape(-1), rcond=None)[0]
        crop = cv2.warpAffine(rgb, np.array([[p, q, tx], [-q, p, ty]]), (112, 112), flags=cv2.INTER_LINEAR)
        inputs = (crop.astype(np.float32) - MEAN_RGB) / 255
        shape = self._classifier.input(0).partial_shape
        batch = inputs[None] if shape[3].get_length() == 3 else inputs.transpose(2, 0, 1)[None]
        answer = self._classifier(batch)
        logits = next(np.asarray(v)[0] for v in answer.values() if v.shape[-1] == 7).astype(np.float64)
        odds = np.exp(logits - logits.max())
        probs: NDArray[np.float64] = (odds / odds.sum())[TO_PAPER_ORDER]
        return probs


def overlap(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Intersection over union of two boxes (x1, y1, x2, y2)."""
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return float(w * h / (areas - w * h))
