"""Which detection belongs to which track: a cost for every plausible pair, then the least total cost."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import lap
import numpy as np

from streamer.faces.motion import Measured, Motion, box_of, size_of

GATE = 16.0
"""A centre more than 4 standard deviations from the prediction is another face."""
MAX_DISTANCE = 1.0
"""... and so is one more than this many face sizes away, however long the track was out of sight."""
MAX_LOG_RATIO = 0.5
"""... and one whose width or height is off by a factor of more than 1.65."""
TOUCHING = (1 + math.exp(MAX_LOG_RATIO)) / 2
"""Boxes within that factor touch only when their centres are no further apart than this many of a box's sides."""
FORBIDDEN = 1e6

Costs = Mapping[tuple[int, int], float]
"""Cost by (index of the track, index of the face); a pair that is not in it is out of the question."""


def plausible_pairs(
    tracks: Sequence[Motion], faces: Sequence[Measured], min_iou: float
) -> dict[tuple[int, int], float]:
    """Minus twice the log likelihood of place and size for each pair within the gates.

    A track's own uncertainty counts both ways: one long unseen may be matched further away, but one seen just now is
    preferred where both could be. Overlap of `min_iou` opens the gate of distance, nothing more: as a part of the
    cost it changed no decision on made-up scenes.
    """
    boxes = [box_of(face.position) for face in faces]
    costs: dict[tuple[int, int], float] = {}
    for i, track in enumerate(tracks):
        x, y, log_width, log_height = track.position
        size = size_of(track.position)
        box = box_of(track.position)
        # Beyond this neither gate can open, given the limit on the sides: most pairs of a crowd end here.
        reach = max(MAX_DISTANCE * size, (box[2] - box[0]) * TOUCHING, (box[3] - box[1]) * TOUCHING)
        for j, face in enumerate(faces):
            face_x, face_y, face_log_width, face_log_height = face.position
            dx, dy = face_x - x, face_y - y
            if not (-reach <= dx <= reach and -reach <= dy <= reach):
                continue
            dw, dh = face_log_width - log_width, face_log_height - log_height
            if not (abs(dw) <= MAX_LOG_RATIO and abs(dh) <= MAX_LOG_RATIO):
                continue
            var_x, var_y, var_width, var_height = track.variances(face)
            off = dx * dx / var_x + dy * dy / var_y
            near = off <= GATE and math.hypot(dx, dy) <= MAX_DISTANCE * size
            if near or _iou(box, boxes[j]) >= min_iou:
                spread = math.log(var_x / size**2 * (var_y / size**2) * var_width * var_height)
                costs[i, j] = off + dw * dw / var_width + dh * dh / var_height + spread
    return costs


def assign(costs: Costs, tracks: Collection[int], faces: Collection[int]) -> list[tuple[int, int]]:
    """Pairs of one track and one face each: as many as can be, at the least total cost (Jonker and Volgenant 1987).

    Only the given tracks and faces take part. The result is sorted, and is the same for the same costs.
    """
    pairs = sorted((i, j) for i, j in costs if i in tracks and j in faces)
    rows, columns = sorted({i for i, _ in pairs}), sorted({j for _, j in pairs})
    if len(rows) == len(pairs) == len(columns):  # nobody competes: nearly every frame
        return pairs
    matrix = np.full((len(rows), len(columns)), FORBIDDEN)
    row_of, column_of = {i: row for row, i in enumerate(rows)}, {j: column for column, j in enumerate(columns)}
    for pair in pairs:
        matrix[row_of[pair[0]], column_of[pair[1]]] = costs[pair]
    _, chosen, _ = lap.lapjv(matrix, extend_cost=True)
    return [
        (rows[row], columns[column])
        for row, column in enumerate(chosen.tolist())
        if column >= 0 and matrix[row, column] < FORBIDDEN
    ]


def _iou(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    inner = width * height
    return inner / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inner)
