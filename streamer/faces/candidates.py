"""What a detector's maps say before double detections are removed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Candidates:
    """Boxes (N,4), points (N,5,2) and scores (N,), float32, in pixels of the detector's input, in raster order."""

    boxes_xyxy: FloatArray
    points_xy: FloatArray
    scores: FloatArray


class NotFinite(ValueError):
    """A map holds NaN or infinity where it matters."""


class Decoder(Protocol):
    """How one detector's maps are read. `colour` is the channel order its network was trained with."""

    @property
    def colour(self) -> Literal["rgb", "bgr"]:
        """Channel order of the input."""

    def candidates(
        self, maps: Mapping[str, FloatArray], row: int, size_wh: tuple[int, int], threshold: float
    ) -> Candidates:
        """Everything of picture `row` of the batch whose score is above `threshold`; raises `NotFinite`.

        `size_wh` is the detector's input size. Nothing of `maps` is kept.
        """


def checked(boxes_xyxy: FloatArray, points_xy: FloatArray, scores: FloatArray) -> Candidates:
    """Candidates of finite numbers only; raises `NotFinite`."""
    if not (np.isfinite(boxes_xyxy).all() and np.isfinite(points_xy).all()):
        raise NotFinite("a box or point of the detector is not a finite number")
    return Candidates(boxes_xyxy, points_xy, scores)
