"""Reading CenterFace's maps (Xu et al. 2019, arXiv 1911.03599): one cell per 4 x 4 pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from streamer.faces.candidates import Candidates, NotFinite, checked

FloatArray = NDArray[np.float32]

STRIDE_PX = 4
MAX_LOG_SCALE = 8.0  # a face of e^8 cells: far beyond any input, and exp() cannot overflow


@dataclass(frozen=True, slots=True)
class CenterFace:
    """`heat` (B,1,h,w), logarithmic `scale` (B,2,h,w), `offset` (B,2,h,w), `points` (B,10,h,w); always y before x."""

    colour: Literal["rgb", "bgr"] = "rgb"

    def candidates(
        self, maps: Mapping[str, FloatArray], row: int, size_wh: tuple[int, int], threshold: float
    ) -> Candidates:
        heat_map = maps["heat"]
        columns = heat_map.shape[-1]
        heat = heat_map[row].reshape(-1)
        if not np.isfinite(heat).all():
            raise NotFinite("the detector's heat map is not finite")
        cells = np.flatnonzero(heat > threshold)
        n = cells.size
        sides = np.exp(np.minimum(maps["scale"][row].reshape(2, -1)[:, cells], MAX_LOG_SCALE)) * STRIDE_PX  # (2,n)
        offsets = maps["offset"][row].reshape(2, -1)[:, cells]
        where = np.stack(np.divmod(cells, columns)).astype(np.float32)  # (2,n): y, x
        corner = (where + offsets + np.float32(0.5)) * STRIDE_PX - sides / 2  # upper left, (2,n): y, x
        boxes = np.empty((n, 4), np.float32)
        boxes[:, 0], boxes[:, 1] = corner[1], corner[0]
        boxes[:, 2], boxes[:, 3] = corner[1] + sides[1], corner[0] + sides[0]
        relative = maps["points"][row].reshape(5, 2, -1)[:, :, cells]  # fractions of the box, y then x
        points = relative * sides + corner  # (5,2,n)
        return checked(boxes, np.ascontiguousarray(points[:, ::-1].transpose(2, 0, 1), np.float32), heat[cells])
