"""Reading YuNet's maps (Wu et al. 2023, Machine Intelligence Research 20:656-665): grids at strides 8, 16 and 32."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from streamer.faces.candidates import Candidates, NotFinite, checked

FloatArray = NDArray[np.float32]

STRIDES_PX = (8, 16, 32)
MAX_LOG_SCALE = 8.0  # a face of e^8 cells: far beyond any input, and exp() cannot overflow


@dataclass(frozen=True, slots=True)
class YuNet:
    """Per stride s: `cls_s`, `obj_s` (B,n,1), `bbox_s` (B,n,4), `kps_s` (B,n,10), n cells in raster order."""

    colour: Literal["rgb", "bgr"] = "bgr"

    def candidates(
        self, maps: Mapping[str, FloatArray], row: int, size_wh: tuple[int, int], threshold: float
    ) -> Candidates:
        parts = [self._at_stride(maps, row, size_wh[0], stride, threshold) for stride in STRIDES_PX]
        boxes, points, scores = (np.concatenate(part) for part in zip(*parts, strict=True))
        return checked(boxes, points, scores)

    @staticmethod
    def _at_stride(
        maps: Mapping[str, FloatArray], row: int, width: int, stride: int, threshold: float
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        # The class and the object score are two guesses of the same thing: their geometric mean is the score.
        product = np.clip(maps[f"cls_{stride}"][row].reshape(-1), 0, 1)
        product = product * np.clip(maps[f"obj_{stride}"][row].reshape(-1), 0, 1)
        if not np.isfinite(product).all():
            raise NotFinite("the detector's scores are not finite")
        cells = np.flatnonzero(product > threshold * threshold)
        where = np.stack(np.divmod(cells, width // stride)[::-1], axis=1).astype(np.float32)  # (n,2): x, y
        box = maps[f"bbox_{stride}"][row].reshape(-1, 4)[cells]
        centre = (where + box[:, :2]) * stride
        half = np.exp(np.minimum(box[:, 2:], MAX_LOG_SCALE)) * (stride / 2)
        points = (maps[f"kps_{stride}"][row].reshape(-1, 5, 2)[cells] + where[:, None]) * stride
        boxes = np.concatenate([centre - half, centre + half], axis=1)
        return boxes.astype(np.float32), points.astype(np.float32), np.sqrt(product[cells])
