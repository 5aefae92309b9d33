"""Several sets as one, and parts of one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engines.data.frames import AnnotatedFrames
from engines.data.pictures import ChosenPictures, JoinedPictures
from engines.errors import WrongUse


def concatenate(sets: Sequence[AnnotatedFrames], name: str | None = None) -> AnnotatedFrames:
    """One set of all their pictures, in the given order (the paper fine-tunes on AffectNet and RAF-DB).

    Videos are named `SET/VIDEO`, so that two sets never share one.
    """
    if not sets:
        raise WrongUse("joining needs at least one data set")
    if len(sets) == 1:
        return sets[0]
    offsets = np.cumsum([0] + [len(one.videos) for one in sets[:-1]])
    return AnnotatedFrames(
        name=name or " + ".join(one.name for one in sets),
        pictures=JoinedPictures(tuple(one.pictures for one in sets)),
        videos=tuple(f"{one.name}/{video}" for one in sets for video in one.videos),
        video=np.concatenate([one.video + np.int32(offset) for one, offset in zip(sets, offsets, strict=True)]),
        frame=np.concatenate([one.frame for one in sets]),
        expression=np.concatenate([one.expression for one in sets]),
        valence=np.concatenate([one.valence for one in sets]),
        arousal=np.concatenate([one.arousal for one in sets]),
    )


def take(frames: AnnotatedFrames, rows: NDArray[np.int64]) -> AnnotatedFrames:
    """The set with these rows only, in rising order, so that videos stay together. Videos keep their numbers."""
    chosen = np.asarray(rows, dtype=np.int64)
    if len(chosen) and (np.diff(chosen) <= 0).any():
        raise WrongUse("the rows of a part stand in rising order, each once")
    return AnnotatedFrames(
        name=frames.name,
        pictures=ChosenPictures(frames.pictures, chosen),
        videos=frames.videos,
        video=frames.video[chosen],
        frame=frames.frame[chosen],
        expression=frames.expression[chosen],
        valence=frames.valence[chosen],
        arousal=frames.arousal[chosen],
    )
