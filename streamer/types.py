"""The values that travel between the stages.

Arrays are read-only by convention: whoever receives one may keep it, nobody writes into it.
Coordinates are pixels of the displayed picture (rotated upright, square pixels) unless a name says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from engines.spec import EXPRESSIONS as EXPRESSIONS
from streamer.messages import Mode as Mode
from streamer.messages import Quality as Quality
from streamer.messages import Reused as Reused
from streamer.messages import TimeOrigin as TimeOrigin
from streamer.pixels import Picture

FloatArray = NDArray[np.float32]
UInt8Array = NDArray[np.uint8]

DropCause = Literal[
    "queue_full", "sample_rate", "late", "budget", "closed", "decode_error", "engine_error", "not_finite"
]


@dataclass(frozen=True, slots=True)
class Frame:
    """One decoded picture with its times.

    `index` counts the decoded frames of this opening of the source from 0. `segment` rises by one at each pts
    reset, so that (segment, pts) never repeats. `media_time_s` starts at 0 and never goes back.
    `arrival_s` is the monotonic clock when the packet arrived, `decoded_s` when the picture was there (0 where nobody
    wants to know).
    """

    stream: str
    index: int
    segment: int
    pts: int
    time_base: Fraction
    media_time_s: float
    capture_time_s: float | None
    time_origin: TimeOrigin
    arrival_s: float
    picture: Picture
    decoded_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Detections:
    """Faces found in one frame, best score first.

    `boxes_xyxy` (N,4), `points_xy` (N,5,2): left eye, right eye, nose, left and right mouth corner as seen in the
    image; `scores` (N,); all float32. `face_px` (N,): the box's shorter side in pixels at the detector's input
    scale, which is what limits the quality of the points.
    """

    boxes_xyxy: FloatArray
    points_xy: FloatArray
    scores: FloatArray
    face_px: FloatArray

    def __len__(self) -> int:
        return int(self.scores.shape[0])

    @staticmethod
    def none() -> Detections:
        """No face."""
        return Detections(
            np.zeros((0, 4), np.float32),
            np.zeros((0, 5, 2), np.float32),
            np.zeros(0, np.float32),
            np.zeros(0, np.float32),
        )


@dataclass(frozen=True, slots=True)
class TrackedFace:
    """One detection with the number of the track it belongs to; `row` is its place among the frame's detections."""

    track: int
    box_xyxy: FloatArray
    points_xy: FloatArray
    score: float
    face_px: float
    row: int = 0


@dataclass(frozen=True, slots=True)
class TrackUpdate:
    """What one frame did to a stream's tracks: faces seen now, tracks that began, tracks that ended."""

    faces: tuple[TrackedFace, ...] = ()
    started: tuple[int, ...] = ()
    ended: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Embedding:
    """What the backbone says of one crop: `features` (D,), `probs` (7,) float32; valence/arousal when it has them."""

    features: FloatArray
    probs: FloatArray
    valence: float | None = None
    arousal: float | None = None


@dataclass(frozen=True, slots=True)
class Sight:
    """All that the networks say of one frame, before it is known which face is whose: an answer for each detection."""

    found: Detections | DropCause
    answers: tuple[Embedding | DropCause, ...] = ()


@dataclass(frozen=True, slots=True)
class FaceObservation:
    """A tracked face with its embedding and how far it can be trusted: what the stream's actor takes in.

    With `quality` low the probabilities stay but no label is given; `quality_causes` are short, stable words. `reused`
    names what stands from an earlier frame.
    """

    face: TrackedFace
    embedding: Embedding
    quality: Quality = "ok"
    quality_causes: tuple[str, ...] = ()
    roll_deg: float = 0.0
    yaw_deg: float = 0.0
    reused: tuple[Reused, ...] = ()


@dataclass(frozen=True, slots=True)
class FrameFaces:
    """All faces of one frame, ready for the actor. `picture_size_wh` is the displayed size in pixels."""

    segment: int
    pts: int
    index: int
    media_time_s: float
    capture_time_s: float | None
    time_origin: TimeOrigin
    picture_size_wh: tuple[int, int]
    faces: tuple[FaceObservation, ...] = ()
    ended: tuple[int, ...] = ()


@dataclass(slots=True)
class Counters:
    """What happened to a stream's frames so far; every drop has its cause."""

    decoded: int = 0
    analysed: int = 0
    faces: int = 0
    records: int = 0
    corrupt_packets: int = 0
    dropped: dict[str, int] = field(default_factory=dict)

    def drop(self, cause: DropCause, n: int = 1) -> None:
        """Count `n` things dropped for `cause`."""
        self.dropped[cause] = self.dropped.get(cause, 0) + n
