"""What one contestant saw, against what is there and against what another one said."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamer.bench.pairing import same_faces
from streamer.bench.peers.protocol import FaceRow

MIN_IOU = 0.3
"""Detectors draw their boxes differently, a cascade's squares above all: the same face overlaps at least so much."""


def against_counts(seen: Iterable[FaceRow], faces: Sequence[int]) -> dict[str, Any]:
    """Recall and false boxes over the frames of a clip that shows `faces[i]` faces in frame i.

    By numbers alone: in a frame with n faces, n boxes are right and every further one is false.
    """
    found = Counter(row[0] for row in seen)
    n = sum(faces)
    right = sum(min(found[frame], there) for frame, there in enumerate(faces))
    beyond = sum(boxes for frame, boxes in found.items() if frame >= len(faces))
    false = sum(max(0, found[frame] - there) for frame, there in enumerate(faces)) + beyond
    return {"faces": n, "found": right, "recall": right / n if n else None, "false_boxes": false}


def agreement(ours: Iterable[FaceRow], theirs: Iterable[FaceRow]) -> dict[str, Any]:
    """How often labels are equal where both saw the same face and named it."""
    by_frame: dict[int, list[FaceRow]] = defaultdict(list)
    for row in theirs:
        by_frame[row[0]].append(row)
    mine: dict[int, list[FaceRow]] = defaultdict(list)
    for row in ours:
        mine[row[0]].append(row)
    shared = named = equal = 0
    for frame, rows in mine.items():
        for one, other in _paired(rows, by_frame.get(frame, [])):
            shared += 1
            if one[5] is not None and other[5] is not None:
                named += 1
                equal += one[5] == other[5]
    return {"faces_shared": shared, "labels_compared": named, "labels_equal": equal / named if named else None}


def _paired(a: Sequence[FaceRow], b: Sequence[FaceRow]) -> list[tuple[FaceRow, FaceRow]]:
    """Faces of one frame whose boxes overlap, best first."""
    return [(a[i], b[j]) for i, j in same_faces(_boxes(a), _boxes(b), MIN_IOU)]


def _boxes(rows: Sequence[FaceRow]) -> NDArray[np.float64]:
    return np.array([row[1:5] for row in rows], np.float64).reshape(-1, 4)
