"""Which boxes of one frame and of another look at it are the same face."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from streamer.faces.boxes import iou_matrix


def same_faces(a_xywh: NDArray[np.float64], b_xywh: NDArray[np.float64], min_iou: float) -> list[tuple[int, int]]:
    """Pairs (i, j) of boxes (N,4) and (M,4) that overlap by `min_iou` or more, the most overlap first."""
    if not len(a_xywh) or not len(b_xywh):
        return []
    overlap = iou_matrix(_corners(a_xywh), _corners(b_xywh))
    pairs: list[tuple[int, int]] = []
    while overlap.max() >= min_iou:
        i, j = (int(one) for one in np.unravel_index(int(overlap.argmax()), overlap.shape))
        pairs.append((i, j))
        overlap[i, :] = overlap[:, j] = 0.0
    return pairs


def _corners(boxes_xywh: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([boxes_xywh[:, :2], boxes_xywh[:, :2] + boxes_xywh[:, 2:]], axis=1)
