"""What a child and its hands say to each other, over the same kind of pipe as children and the supervisor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from engines.spec import N_PROBS
from streamer.config import Config
from streamer.log import Format, Level
from streamer.pixels.packing import PackedPicture
from streamer.types import Detections, DropCause, Embedding, FloatArray, Sight
from streamer.worker.link import Message

N_POINTS = 5


class Begin(Message, frozen=True, kw_only=True, tag="begin"):
    """To a hand, first. `memory` is the descriptor of the file whose bytes both see."""

    child: int
    config: Config
    memory: int
    cache: str | None
    log_level: Level
    log_format: Format


class Prepare(Message, frozen=True, kw_only=True, tag="prepare"):
    """To a hand: pictures of this size will come. It says that it is ready once their networks are compiled."""

    width: int
    height: int


class SentFrame(msgspec.Struct, frozen=True, kw_only=True):
    """What the networks need to know of a frame."""

    picture: PackedPicture
    segment: int
    media_time_s: float


class Look(Message, frozen=True, kw_only=True, tag="look"):
    """To a hand: frames of one stream, the first of which begins a cell, in `n_bytes` of memory."""

    n_bytes: int
    frames: tuple[SentFrame, ...]


class SentAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An embedding, or the `cause` for which there is none."""

    cause: DropCause | None = None
    features: bytes = b""
    probs: bytes = b""
    valence: float | None = None
    arousal: float | None = None


class SentSight(msgspec.Struct, frozen=True, kw_only=True):
    """A `Sight`; arrays as the bytes of float32."""

    cause: DropCause | None = None
    boxes_xyxy: bytes = b""
    points_xy: bytes = b""
    scores: bytes = b""
    face_px: bytes = b""
    answers: tuple[SentAnswer, ...] = ()


class Seen(Message, frozen=True, kw_only=True, tag="seen"):
    """From a hand: what it saw in each frame, how long that took, and the CPU seconds of each stage."""

    sights: tuple[SentSight, ...]
    wall_s: float
    stage_s: dict[str, float]


class HandReady(Message, frozen=True, kw_only=True, tag="hand_ready"):
    """From a hand: its models are open, and the networks compiled for all that was announced before."""


ToHand = Begin | Prepare | Look
FromHand = Seen | HandReady


def sent(sight: Sight) -> SentSight:
    """A sight as it travels."""
    if isinstance(sight.found, str):
        return SentSight(cause=sight.found)
    found = sight.found
    return SentSight(
        boxes_xyxy=_bytes(found.boxes_xyxy),
        points_xy=_bytes(found.points_xy),
        scores=_bytes(found.scores),
        face_px=_bytes(found.face_px),
        answers=tuple(_sent_answer(one) for one in sight.answers),
    )


def received(one: SentSight) -> Sight:
    """The sight that was sent. Raises `ValueError` for what cannot be one."""
    if one.cause is not None:
        return Sight(one.cause)
    scores = _floats(one.scores, -1)
    n = len(scores)
    found = Detections(
        _floats(one.boxes_xyxy, n, 4), _floats(one.points_xy, n, N_POINTS, 2), scores, _floats(one.face_px, n)
    )
    if len(one.answers) != n:
        raise ValueError(f"{len(one.answers)} answers about {n} faces")
    return Sight(found, tuple(_answer(answer) for answer in one.answers))


def _sent_answer(answer: Embedding | DropCause) -> SentAnswer:
    if isinstance(answer, str):
        return SentAnswer(cause=answer)
    return SentAnswer(
        features=_bytes(answer.features),
        probs=_bytes(answer.probs),
        valence=answer.valence,
        arousal=answer.arousal,
    )


def _answer(one: SentAnswer) -> Embedding | DropCause:
    if one.cause is not None:
        return one.cause
    return Embedding(_floats(one.features, -1), _floats(one.probs, N_PROBS), one.valence, one.arousal)


def _bytes(array: FloatArray) -> bytes:
    return np.ascontiguousarray(array, np.float32).tobytes()


def _floats(data: bytes, *shape: int) -> Any:
    # A copy: what is read from bytes cannot be written, and boxes are clipped in place elsewhere.
    return np.frombuffer(data, np.float32).reshape(shape).copy()


def sights_of(seen: Seen, n: int) -> Sequence[Sight]:
    """The sights of an answer to a question about `n` frames. Raises `ValueError` where it is none."""
    if len(seen.sights) != n:
        raise ValueError(f"{len(seen.sights)} sights of {n} frames")
    return [received(one) for one in seen.sights]
