"""Overlap of boxes and the removal of double detections."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatingArray = NDArray[np.floating]


def iou_matrix(a_xyxy: FloatingArray, b_xyxy: FloatingArray) -> FloatingArray:
    """Intersection over union of every box of `a` (N,4) with every box of `b` (M,4): (N,M); 0 where both are empty."""
    upper_left = np.maximum(a_xyxy[:, None, :2], b_xyxy[None, :, :2])
    lower_right = np.minimum(a_xyxy[:, None, 2:], b_xyxy[None, :, 2:])
    inner = np.maximum(lower_right - upper_left, 0)
    intersection = inner[..., 0] * inner[..., 1]
    union = areas(a_xyxy)[:, None] + areas(b_xyxy)[None, :] - intersection
    result: FloatingArray = intersection / np.maximum(union, np.finfo(union.dtype).tiny)
    return result


def areas(boxes_xyxy: FloatingArray) -> FloatingArray:
    """Areas (N,) of boxes (N,4); boxes turned inside out count 0."""
    sides = np.maximum(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], 0)
    result: FloatingArray = sides[:, 0] * sides[:, 1]
    return result


def suppress(boxes_xyxy: FloatingArray, scores: FloatingArray, iou_threshold: float, limit: int) -> NDArray[np.intp]:
    """Indices of the boxes that stay, best score first, at most `limit`.

    A box goes when it overlaps a better one by `iou_threshold` or more. Equal scores keep the order they came in,
    so the result never depends on how a sort breaks ties. Costs one pass over the rest per box kept.
    """
    rest = np.argsort(-scores, kind="stable")
    kept: list[np.intp] = []
    while rest.size and len(kept) < limit:
        best = rest[0]
        kept.append(best)
        rest = rest[1:]
        if rest.size:
            rest = rest[iou_matrix(boxes_xyxy[best : best + 1], boxes_xyxy[rest])[0] < iou_threshold]
    return np.asarray(kept, dtype=np.intp)
