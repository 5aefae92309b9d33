"""What a model answers for whole videos, and how good that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engines.data.sampling import video_bounds
from engines.metrics import (
    accuracy,
    authors_score,
    calibration_error,
    ccc,
    challenge_score,
    macro_f1,
    va_score,
    weighted_f1,
)
from engines.models import AffectHead, HeadOutput
from engines.spec import N_PROBS
from engines.training.features import Features, FloatArray

_CHUNK = 512


@dataclass(frozen=True)
class AnswersOfVideos:
    """`probs` (N,7) and, where the model has them, `valence`, `arousal` (N,), float32, in the order of the set."""

    probs: FloatArray
    valence: FloatArray | None = None
    arousal: FloatArray | None = None

    @property
    def labels(self) -> NDArray[np.int64]:
        """(N,) the likeliest expression."""
        labels: NDArray[np.int64] = self.probs.argmax(1)
        return labels


def fused(answers: Sequence[AnswersOfVideos]) -> AnswersOfVideos:
    """Fusion (section III.D): the mean of probabilities, and of valence and arousal over the models that have them."""
    valence = [one.valence for one in answers if one.valence is not None]
    arousal = [one.arousal for one in answers if one.arousal is not None]
    return AnswersOfVideos(
        _mean([one.probs for one in answers]), _mean(valence) if valence else None, _mean(arousal) if arousal else None
    )


def _mean(values: Sequence[FloatArray]) -> FloatArray:
    mean: FloatArray = np.stack(values).mean(axis=0, dtype=np.float64).astype(np.float32)
    return mean


@dataclass(frozen=True)
class Figures:
    """The challenge's and the authors' metrics over a set; None where the set or the model has not that part.

    `score` chooses the best checkpoint: the challenge's expression score; for a model with valence and arousal, on a
    set that has both annotations, the mean of it and of the mean CCC, so that neither task is bought with the other.
    On a set with one kind of annotation it is that kind's score.
    """

    n_expression: int
    n_va: int
    accuracy: float | None = None
    macro_f1: float | None = None
    weighted_f1: float | None = None
    challenge: float | None = None
    authors: float | None = None
    valence: float | None = None
    arousal: float | None = None
    va: float | None = None
    calibration_error: float | None = None

    @property
    def score(self) -> float:
        """See above; 0 where nothing can be judged."""
        parts = [part for part in (self.challenge, self.va) if part is not None]
        return sum(parts) / len(parts) if parts else 0.0


class Annotations(Protocol):
    """What answers are held against: an `AnnotatedFrames`, or its columns with more rows."""

    @property
    def expression(self) -> NDArray[np.int64]: ...
    @property
    def valence(self) -> FloatArray: ...
    @property
    def arousal(self) -> FloatArray: ...


def figures_of(answers: AnswersOfVideos, frames: Annotations) -> Figures:
    """How good answers are against annotations of the same rows."""
    truth, labels = frames.expression, answers.labels
    n_named = int((truth >= 0).sum())
    acc, macro, weighted = accuracy(truth, labels), macro_f1(truth, labels), weighted_f1(truth, labels)
    rated = np.isfinite(frames.valence) & np.isfinite(frames.arousal)
    figures = Figures(n_named, int(rated.sum()))
    if n_named:
        figures = Figures(
            n_named,
            figures.n_va,
            acc,
            macro,
            weighted,
            challenge_score(macro, acc),
            authors_score(weighted, acc),
            calibration_error=calibration_error(answers.probs, truth),
        )
    if answers.valence is None or answers.arousal is None or not rated.any():
        return figures
    valence = ccc(frames.valence[rated], answers.valence[rated])
    arousal = ccc(frames.arousal[rated], answers.arousal[rated])
    return Figures(**{**vars(figures), "valence": valence, "arousal": arousal, "va": va_score(valence, arousal)})


def answer_videos(
    head: AffectHead, features: Features, video: NDArray[np.int32], *, device: str = "cpu"
) -> AnswersOfVideos:
    """The head's answers for every observation of whole videos, `video` (N,) telling which one each row is of.

    Long videos are worked off in chunks: a windowed head is given the rows its blocks reach back to, a recurrent one
    goes on from its (h, c); either way the answers are those of the whole.
    """
    was_training = head.training
    head.to(device).eval()
    n = len(video)
    with_va = head.config.valence_arousal
    out = AnswersOfVideos(
        np.empty((n, N_PROBS), np.float32),
        np.empty(n, np.float32) if with_va else None,
        np.empty(n, np.float32) if with_va else None,
    )
    for begin, end in zip(*video_bounds(video), strict=True):
        _answer_video(head, features, int(begin), int(end), out, device)
    head.train(was_training)
    return out


@torch.no_grad()
def _answer_video(
    head: AffectHead, features: Features, begin: int, end: int, out: AnswersOfVideos, device: str
) -> None:
    looks_back = head.config.stat != "none" or head.windowed is not None
    n_back = head.config.window - 1 if looks_back else 0
    first, h, c = begin, None, None  # (h, c) is the state before row `first`
    for start in range(begin, end, _CHUNK):
        stop = min(end, start + _CHUNK)
        rows, probs = _tensor(features.features, first, stop, device), _tensor(features.probs, first, stop, device)
        output = head.forward_sequence(rows, probs, h, c)
        _keep(output, start - first, start, stop, out)
        following = max(begin, stop - n_back)
        if head.recurrent is not None and following > first:
            zero = probs.new_zeros(1, head.hidden)
            before = probs[:, : following - first]
            _, h, c = head.recurrent.sequence(before, zero if h is None else h, zero if c is None else c)
        first = following


def _tensor(rows: FloatArray, start: int, stop: int, device: str) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(rows[start:stop]))[None].to(device)


def _keep(output: HeadOutput, skipped: int, start: int, stop: int, out: AnswersOfVideos) -> None:
    out.probs[start:stop] = output.probs[0, skipped:].float().cpu().numpy()
    for ours, answered in ((out.valence, output.valence), (out.arousal, output.arousal)):
        if ours is not None and answered is not None:
            ours[start:stop] = answered[0, skipped:].float().cpu().numpy()
