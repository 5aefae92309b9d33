"""One answer for every frame of a video: the face that counts, and what stands in where there is none.

The rules are those of the ABAW challenge's submissions (see `abaw`): a frame without a face takes the label of the
last one that had one; valence and arousal go straight from the last to the next. Before the first face the first one's
answer holds, after the last the last one's. A video without any face is Neutral, with valence and arousal 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from streamer.errors import StreamerError
from streamer.messages import Observation, r6
from streamer.types import EXPRESSIONS


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said of one frame, counted from 0. `observation` is None where the answer was filled in."""

    frame: int
    label: str
    valence: float
    arousal: float
    observation: Observation | None = None


def answers(observations: Iterable[Observation], n_frames: int) -> Iterator[Answer]:
    """`n_frames` answers, one a frame. `observations` of one video come in the order of its frames.

    A face of low quality has no label and so counts as none. Raises `StreamerError` for observations that do not tell
    their frame, or tell one that the video does not have.
    """
    last: Answer | None = None
    for seen in _labelled(observations):
        at = 0 if last is None else last.frame + 1
        if not at <= seen.frame < n_frames:
            raise StreamerError(
                f"a record tells of frame {seen.frame} where one from {at} to {n_frames - 1} is due: the records are"
                " not of one whole run; run the file again"
            )
        yield from _between(last, seen, at)
        yield seen
        last = seen
    at = 0 if last is None else last.frame + 1
    last = last or Answer(-1, EXPRESSIONS[0], 0.0, 0.0)
    for frame in range(at, n_frames):
        yield Answer(frame, last.label, last.valence, last.arousal)


def largest_faces(observations: Iterable[Observation]) -> Iterator[Observation]:
    """The largest face of each frame; of equal ones the one that has been followed for longer."""
    for _, faces in groupby(observations, key=_frame):
        yield max(faces, key=lambda o: (_area(o), -o.track.number))


def _labelled(observations: Iterable[Observation]) -> Iterator[Answer]:
    for o in largest_faces(observations):
        if o.label is not None:
            yield Answer(_frame(o), o.label, o.valence, o.arousal, o)


def _between(last: Answer | None, following: Answer, at: int) -> Iterator[Answer]:
    start = last or following
    span = following.frame - start.frame
    for frame in range(at, following.frame):
        part = 0.0 if last is None else (frame - start.frame) / span
        valence = start.valence + part * (following.valence - start.valence)
        arousal = start.arousal + part * (following.arousal - start.arousal)
        yield Answer(frame, start.label, r6(valence), r6(arousal))


def _frame(o: Observation) -> int:
    if o.frame is None:
        raise StreamerError(
            f"run {o.run} of {o.stream} does not tell which frame a face is in, since an older version made it: run the"
            " file again under another --run"
        )
    return o.frame


def _area(o: Observation) -> float:
    return o.box_xywh[2] * o.box_xywh[3] if len(o.box_xywh) == 4 else 0.0
