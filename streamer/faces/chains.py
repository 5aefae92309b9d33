"""When whole pictures are searched for faces, and when only the surroundings of those that are known.

Media time is cut into cells of `detect.interval_s`. The first frame of a cell is searched whole; each later one looks
for the faces of the frame before it again. So a cell depends on nothing before it, the same frames give the same faces
however they were batched, and the cells of one file or of many streams are worked on side by side.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from streamer.faces.refine import Refined
from streamer.types import Detections, DropCause, Frame

Found = Detections | DropCause
Place = tuple[int, int, int, int]


@dataclass(slots=True)
class Chain:
    """What a stream carries from frame to frame: the cell it is in, and its newest frame's faces.

    `place` is None before the first frame, `faces` also where the engine failed: then the next frame is searched whole.
    """

    place: Place | None = None
    faces: Detections | None = None


def place_of(frame: Frame, interval_s: float) -> Place | None:
    """The cell of a frame, None where each is one of its own (`interval_s` 0).

    Whatever else changes what is seen where, a new segment or another size, begins a cell too.
    """
    if interval_s <= 0:
        return None
    picture = frame.picture
    # A hundredth of a frame: media times are sums of fractions, and 0.6 / 0.2 is less than 3.
    return frame.segment, picture.width, picture.height, math.floor(frame.media_time_s / interval_s + 1e-3)


def find(
    batch: Sequence[tuple[Chain, Frame]],
    interval_s: float,
    search: Callable[[Sequence[int]], Sequence[Found]],
    refine: Callable[[Sequence[tuple[int, Detections]]], Sequence[Refined | DropCause]],
    most_faces: Callable[[int], int],
) -> list[Found]:
    """The faces of each frame of the batch, in which a stream may have several frames in their order.

    `search` is asked for positions of the batch, `refine` for positions with the faces that were there before; both
    for as many at a time as can be. A frame is searched whole as well where a face that counts was not found again,
    and where more than `most_faces` (of its position) are known.
    """
    answers: dict[int, Found] = {}

    def search_all(positions: Sequence[int]) -> None:
        if positions:
            answers.update(zip(positions, search(positions), strict=True))

    due: list[int] = []
    following: list[tuple[int, int | None]] = []  # position, and that of the frame before in this batch
    newest: dict[int, int] = {}
    for i, (chain, frame) in enumerate(batch):
        place = place_of(frame, interval_s)
        if place is None or place != chain.place:
            due.append(i)
            chain.place = place
        else:
            following.append((i, newest.get(id(chain))))
        newest[id(chain)] = i
    search_all(due)
    while following:
        ready = [(i, before) for i, before in following if before is None or before in answers]
        following = [(i, before) for i, before in following if before is not None and before not in answers]
        whole: list[int] = []
        again: list[tuple[int, Detections]] = []
        for i, before in ready:
            known = batch[i][0].faces if before is None else answers[before]
            if known is None or isinstance(known, str) or len(known) > most_faces(i):
                whole.append(i)
            elif len(known):
                again.append((i, known))
            else:
                answers[i] = known
        for (i, _), refined in zip(again, refine(again) if again else (), strict=True):
            if isinstance(refined, str):
                answers[i] = refined
            elif refined.lost:
                whole.append(i)
            else:
                answers[i] = refined.faces
        search_all(sorted(whole))
    for i in newest.values():
        answer = answers[i]
        batch[i][0].faces = None if isinstance(answer, str) else answer
    return [answers[i] for i in range(len(batch))]
