"""An exponential moving average of answers: what a temporal model has to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.data.frames import AnnotatedFrames
from engines.training.answers import AnswersOfVideos, figures_of

SHARES = (1.0, 0.8, 0.65, 0.5, 0.4, 0.3, 0.25, 0.2, 0.15, 0.1, 0.07, 0.05)
"""What the newest answer counts for, as tried: 1 is no smoothing."""


@dataclass(frozen=True)
class Smoothing:
    """The newest answer's share in the average, of the probabilities and of valence and arousal."""

    probs: float
    affect: float = 1.0

    def apply(self, answers: AnswersOfVideos, video: NDArray[np.int32]) -> AnswersOfVideos:
        """The answers averaged over each video's past; `video` (N,) tells which one each row is of."""
        both = None
        if answers.valence is not None and answers.arousal is not None:
            both = averaged(np.stack([answers.valence, answers.arousal], 1), video, self.affect)
        return AnswersOfVideos(
            averaged(answers.probs, video, self.probs),
            None if both is None else both[:, 0],
            None if both is None else both[:, 1],
        )


def averaged(rows: NDArray[np.float32], video: NDArray[Any], share: float) -> NDArray[np.float32]:
    """(N,K) each row blended into the average of the rows before it in its video; the first row stands alone."""
    out = rows.copy()
    for i in range(1, len(rows)):
        if video[i] == video[i - 1]:
            out[i] = out[i - 1] + share * (rows[i] - out[i - 1])
    return out


def fit_smoothing(answers: AnswersOfVideos, frames: AnnotatedFrames) -> Smoothing:
    """The shares of SHARES that are best on a set: by the challenge's expression score, and by the mean CCC.

    Each has its own, which is the stronger baseline. Of equal ones the one that smooths less.
    """
    probs, affect = (0.0, SHARES[0]), (0.0, SHARES[0])
    for share in SHARES:
        figures = figures_of(Smoothing(share, share).apply(answers, frames.video), frames)
        if figures.challenge is not None and figures.challenge > probs[0]:
            probs = (figures.challenge, share)
        if figures.va is not None and figures.va > affect[0]:
            affect = (figures.va, share)
    return Smoothing(probs[1], affect[1])
