"""Frames that are annotated but have no crop: the challenge asks for an answer to each of them too.

The rule of the challenge's submissions: a frame without a face gets the answer of the frame before it. Before a video's
first face there is none, and as nothing may look ahead the answer is Neutral with valence and arousal 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines.data.affwild2 import joined_annotations, part_folder
from engines.data.annotation_files import read_expressions, read_valence_arousal
from engines.data.config import DataConfig
from engines.data.frames import AnnotatedFrames
from engines.spec import N_PROBS
from engines.training.answers import AnswersOfVideos


@dataclass(frozen=True)
class MissingFrames:
    """M annotated frames without a crop. `previous` (M,) is the row of the set whose answer each takes over, -1 where
    its video has none before it; the other columns are as in `AnnotatedFrames`."""

    previous: NDArray[np.int64]
    expression: NDArray[np.int64]
    valence: NDArray[np.float32]
    arousal: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.previous)


@dataclass(frozen=True)
class Truth:
    """What answers are held against, (N + M,): the annotations of a set's rows, then of its missing frames."""

    expression: NDArray[np.int64]
    valence: NDArray[np.float32]
    arousal: NDArray[np.float32]


NONE = MissingFrames(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros(0, np.float32))


def missing_frames(config: DataConfig, frames: AnnotatedFrames) -> MissingFrames:
    """The missing frames of a set; only Aff-Wild2 annotates frames that it has no crop of.

    A set that was cut short by `limit` is judged by the crops it has.
    """
    if config.kind != "aff-wild2" or config.limit is not None or config.split == "test":
        return NONE
    root = Path(config.path or "")
    tracks = {track: part_folder(root, track, config.split) for track in ("EXPR_Set", "VA_Set")}
    parts = [_of_video(config, tracks, frames, number) for number in range(len(frames.videos))]
    found = [part for part in parts if len(part)]
    if not found:
        return NONE
    return MissingFrames(
        *(np.concatenate([getattr(part, name) for part in found]) for name in MissingFrames.__dataclass_fields__)
    )


def _of_video(
    config: DataConfig, tracks: dict[str, Path | None], frames: AnnotatedFrames, number: int
) -> MissingFrames:
    name, rows = frames.videos[number], np.flatnonzero(frames.video == number)
    labels = ratings = None
    if (folder := tracks["EXPR_Set"]) is not None and (folder / f"{name}.txt").is_file():
        labels, _ = read_expressions(folder / f"{name}.txt")
    if (folder := tracks["VA_Set"]) is not None and (folder / f"{name}.txt").is_file():
        ratings, _ = read_valence_arousal(folder / f"{name}.txt")
    expression, rating = joined_annotations(labels, ratings, config.annotations)
    at = np.flatnonzero((expression >= 0) | ~np.isnan(rating).any(1))
    at = at[~np.isin(at + 1, frames.frame[rows])]  # line 0 is frame 1
    before = np.searchsorted(frames.frame[rows], at + 1) - 1
    previous = np.where(before >= 0, rows[np.maximum(before, 0)], -1) if len(rows) else np.full(len(at), -1)
    valence, arousal = rating[at].astype(np.float32).T
    return MissingFrames(previous.astype(np.int64), expression[at], valence, arousal)


def joined_missing(parts: Sequence[tuple[AnnotatedFrames, MissingFrames]]) -> MissingFrames:
    """The missing frames of sets that are judged as one, in their order."""
    offsets = np.cumsum([0] + [len(frames) for frames, _ in parts[:-1]])
    return MissingFrames(
        np.concatenate(
            [
                np.where(one.previous >= 0, one.previous + offset, -1)
                for (_, one), offset in zip(parts, offsets, strict=True)
            ]
        ),
        np.concatenate([one.expression for _, one in parts]),
        np.concatenate([one.valence for _, one in parts]),
        np.concatenate([one.arousal for _, one in parts]),
    )


def with_missing(answers: AnswersOfVideos, missing: MissingFrames) -> AnswersOfVideos:
    """(N + M,) answers: those of the set's rows, then of its missing frames by the rule above."""
    if not len(missing):
        return answers
    known = missing.previous >= 0
    neutral = np.zeros(N_PROBS, np.float32)
    neutral[0] = 1.0

    def column(values: NDArray[np.float32] | None) -> NDArray[np.float32] | None:
        if values is None:
            return None
        return np.concatenate([values, np.where(known, values[missing.previous], np.float32(0))])

    taken = np.where(known[:, None], answers.probs[missing.previous], neutral)
    return AnswersOfVideos(np.concatenate([answers.probs, taken]), column(answers.valence), column(answers.arousal))


def truth_of(frames: AnnotatedFrames, missing: MissingFrames) -> Truth:
    """The annotations that `with_missing` answers are held against."""
    return Truth(
        np.concatenate([frames.expression, missing.expression]),
        np.concatenate([frames.valence, missing.valence]).astype(np.float32),
        np.concatenate([frames.arousal, missing.arousal]).astype(np.float32),
    )
