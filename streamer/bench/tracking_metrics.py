"""How well tracks follow true faces: IDF1, identity switches, fragmentations, recall, precision.

IDF1 after Ristani et al. 2016 (arXiv 1609.01775): tracks and faces are paired once for the whole scene so that
frames in agreement are most. Switches and fragmentations after CLEAR MOT (Bernardin and Stiefelhagen 2008,
doi 10.1155/2008/246309): frame by frame, a pair that still overlaps stays a pair.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

import lap
import numpy as np
from numpy.typing import NDArray

from streamer.faces.boxes import iou_matrix

Seen = tuple[NDArray[np.int64], NDArray[np.float64]]
"""Numbers (n,) and boxes (n,4) of one frame."""

MIN_IOU = 0.5
FORBIDDEN = 1e6


@dataclass(slots=True)
class Tally:
    """Counts over frames and scenes, which add up; the measures are ratios of them.

    `switches`: a face was covered by another track than the last time, be it a new one. `swaps`: a track covered
    another face than the last time, the worse mistake: one face's past is taken for another's.
    """

    truth: int = 0
    reported: int = 0
    matched: int = 0
    agreed: int = 0
    switches: int = 0
    swaps: int = 0
    fragmentations: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    @property
    def idf1(self) -> float:
        """2 agreed / (truth + reported); 1 when there was nothing and nothing was said."""
        total = self.truth + self.reported
        return 2 * self.agreed / total if total else 1.0

    @property
    def recall(self) -> float:
        """Share of the true faces that some track covered."""
        return self.matched / self.truth if self.truth else 1.0

    @property
    def precision(self) -> float:
        """Share of the reported faces that are true ones."""
        return self.matched / self.reported if self.reported else 1.0

    def figures(self) -> dict[str, float]:
        """The measures, rounded for people and JSON."""
        return {
            "idf1": round(self.idf1, 4),
            "recall": round(self.recall, 4),
            "precision": round(self.precision, 4),
            "switches": self.switches,
            "swaps": self.swaps,
            "fragmentations": self.fragmentations,
        }


def tally(truth: Iterable[Seen], reported: Iterable[Seen]) -> Tally:
    """Compares what was true with what was reported, frame by frame."""
    result = Tally()
    together: dict[tuple[int, int], int] = {}  # frames in which a face and a track overlapped
    partner: dict[int, int] = {}  # the track that last covered each face
    owner: dict[int, int] = {}  # the face that each track last covered
    covered_before: dict[int, bool] = {}  # whether it was covered when last asked for
    for (faces, face_boxes), (tracks, track_boxes) in zip(truth, reported, strict=True):
        result.truth += len(faces)
        result.reported += len(tracks)
        overlap = iou_matrix(face_boxes, track_boxes)
        for i, j in np.argwhere(overlap >= MIN_IOU).tolist():
            pair = (int(faces[i]), int(tracks[j]))
            together[pair] = together.get(pair, 0) + 1
        pairs = _pairs(faces, tracks, overlap, partner)
        result.matched += len(pairs)
        for face in faces.tolist():
            track = pairs.get(face)
            if track is not None:
                result.switches += face in partner and partner[face] != track
                result.fragmentations += face in partner and not covered_before[face]
                result.swaps += track in owner and owner[track] != face
                partner[face], owner[track] = track, face
            covered_before[face] = track is not None
    result.agreed = _best_agreement(together)
    return result


def _pairs(
    faces: NDArray[np.int64], tracks: NDArray[np.int64], overlap: NDArray[np.floating], partner: dict[int, int]
) -> dict[int, int]:
    """Face to track in one frame: old partners that still overlap, then the most overlap for the rest."""
    pairs: dict[int, int] = {}
    columns = {int(track): j for j, track in enumerate(tracks)}
    free_rows, free_columns = set(range(len(faces))), set(range(len(tracks)))
    for i, face in enumerate(faces.tolist()):
        j = columns.get(partner.get(face, -1))
        if j is not None and j in free_columns and overlap[i, j] >= MIN_IOU:
            pairs[face] = int(tracks[j])
            free_rows.discard(i)
            free_columns.discard(j)
    rows, cols = sorted(free_rows), sorted(free_columns)
    if rows and cols:
        part = overlap[np.ix_(rows, cols)].astype(np.float64)
        cost = np.where(part >= MIN_IOU, 1 - part, FORBIDDEN)
        _, chosen, _ = lap.lapjv(cost, extend_cost=True)
        for row, column in enumerate(chosen):
            if column >= 0 and cost[row, column] < FORBIDDEN:
                pairs[int(faces[rows[row]])] = int(tracks[cols[column]])
    return pairs


def _best_agreement(together: dict[tuple[int, int], int]) -> int:
    """Most frames that one fixed pairing of faces and tracks can agree on."""
    if not together:
        return 0
    faces = sorted({face for face, _ in together})
    tracks = sorted({track for _, track in together})
    gain = np.zeros((len(faces), len(tracks)))
    for (face, track), frames in together.items():
        gain[faces.index(face), tracks.index(track)] = frames
    _, chosen, _ = lap.lapjv(gain.max() - gain, extend_cost=True)
    return int(sum(gain[row, column] for row, column in enumerate(chosen) if column >= 0))
