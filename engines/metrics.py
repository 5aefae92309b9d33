"""The challenge's and the authors' metrics, on whole sets of frames (paper, section III.C). numpy only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.spec import EXPRESSIONS, N_PROBS

Floats = NDArray[np.floating[Any]]
Labels = NDArray[np.integer[Any]]


def confusion(truth: Labels, predicted: Labels) -> NDArray[np.int64]:
    """(7,7) counts: row the truth, column the prediction. Frames whose truth is negative are left out."""
    named = truth >= 0
    pairs = truth[named].astype(np.int64) * N_PROBS + predicted[named].astype(np.int64)
    return np.bincount(pairs, minlength=N_PROBS * N_PROBS).reshape(N_PROBS, N_PROBS)


@dataclass(frozen=True)
class ClassFigures:
    """One expression's figures; precision, recall and F1 are 0 where nothing is to be divided by."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int


def per_class(truth: Labels, predicted: Labels) -> tuple[ClassFigures, ...]:
    """The figures of each expression, in the order of EXPRESSIONS."""
    counts = confusion(truth, predicted)
    figures = []
    for i, name in enumerate(EXPRESSIONS):
        hits, said, was = int(counts[i, i]), int(counts[:, i].sum()), int(counts[i].sum())
        precision, recall = hits / said if said else 0.0, hits / was if was else 0.0
        f1 = 2 * hits / (said + was) if said + was else 0.0
        figures.append(ClassFigures(name, precision, recall, f1, was))
    return tuple(figures)


def accuracy(truth: Labels, predicted: Labels) -> float:
    """The share of frames named rightly; 0 for none."""
    counts = confusion(truth, predicted)
    total = int(counts.sum())
    return float(np.trace(counts)) / total if total else 0.0


def macro_f1(truth: Labels, predicted: Labels) -> float:
    """The plain mean of the F1 of all expressions that occur in truth or prediction."""
    counts = confusion(truth, predicted)
    seen = (counts.sum(0) + counts.sum(1)) > 0
    f1 = [one.f1 for one, occurs in zip(per_class(truth, predicted), seen, strict=True) if occurs]
    return float(np.mean(f1)) if f1 else 0.0


def weighted_f1(truth: Labels, predicted: Labels) -> float:
    """The mean of the F1 of all expressions, each weighted by how often it occurs in truth."""
    figures = per_class(truth, predicted)
    total = sum(one.support for one in figures)
    return sum(one.f1 * one.support for one in figures) / total if total else 0.0


def challenge_score(f1_macro: float, accuracy_: float) -> float:
    """The challenge's expression score (equation 5, as the organisers computed it): 0.67 macro-F1 + 0.33 accuracy."""
    return 0.67 * f1_macro + 0.33 * accuracy_


def authors_score(f1_weighted: float, accuracy_: float) -> float:
    """The expression score of the paper's Table II: 0.66 class-weighted F1 + 0.33 accuracy."""
    return 0.66 * f1_weighted + 0.33 * accuracy_


def challenge_expression_score(truth: Labels, predicted: Labels) -> float:
    """The challenge's score of predicted labels."""
    return challenge_score(macro_f1(truth, predicted), accuracy(truth, predicted))


def authors_expression_score(truth: Labels, predicted: Labels) -> float:
    """Table II's score of predicted labels."""
    return authors_score(weighted_f1(truth, predicted), accuracy(truth, predicted))


def ccc(truth: Floats, predicted: Floats) -> float:
    """The concordance correlation coefficient (Lin 1989; equation 6) over frames whose truth is a number.

    0 when either side is constant: agreement that cannot be seen to vary is none.
    """
    rated = np.isfinite(truth)
    x, y = truth[rated].astype(np.float64), predicted[rated].astype(np.float64)
    if len(x) < 2 or x.var() == 0 or y.var() == 0:
        return 0.0
    covariance = float(((x - x.mean()) * (y - y.mean())).mean())
    return 2 * covariance / float(x.var() + y.var() + (x.mean() - y.mean()) ** 2)


def va_score(ccc_valence: float, ccc_arousal: float) -> float:
    """The mean of the two (equation 7)."""
    return (ccc_valence + ccc_arousal) / 2


def calibration_error(probs: Floats, truth: Labels, n_bins: int = 15) -> float:
    """The expected calibration error of the top label (Guo et al. 2017) over bins of equal width."""
    named = truth >= 0
    if not named.any():
        return 0.0
    confidence = probs[named].max(1).astype(np.float64)
    right = probs[named].argmax(1) == truth[named]
    bins = np.minimum((confidence * n_bins).astype(np.int64), n_bins - 1)
    gaps = np.bincount(bins, right - confidence, minlength=n_bins)
    return float(np.abs(gaps).sum() / len(confidence))
