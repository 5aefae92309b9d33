"""The softmax temperature at which a model's answers are likeliest on labelled pictures it was not trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.data.frames import AnnotatedFrames
from engines.errors import BadData
from engines.metrics import calibration_error
from engines.models import AffectHead, Backbone
from engines.runtime.protocol import FloatArray
from engines.spec import Calibration
from engines.training.answers import answer_videos
from engines.training.features import embed

Labels = NDArray[np.integer[Any]]
LOWEST, HIGHEST = 0.05, 20.0
_SMALLEST_PROB = 1e-30


@dataclass(frozen=True)
class Fitted:
    """`likelihood` is the mean negative log likelihood a picture, `error` the calibration error; before and after."""

    temperature: float
    n: int
    likelihood: tuple[float, float]
    error: tuple[float, float]


def fit(probs: FloatArray, truth: Labels) -> Fitted:
    """The temperature for probabilities (N,7) of temperature 1; `truth` (N,) is negative where there is no label.

    In 1/T the likelihood is concave, so bisection on its slope finds the one best value, to 1e-6. Raises `BadData`
    when no temperature between LOWEST and HIGHEST is best: every answer right, or answers no better than chance.
    """
    named = truth >= 0
    logits, labels = np.log(np.maximum(probs[named].astype(np.float64), _SMALLEST_PROB)), truth[named]
    low, high = 1 / HIGHEST, 1 / LOWEST
    if not len(labels) or not _slope(logits, labels, low) < 0 < _slope(logits, labels, high):
        raise BadData(
            f"no temperature from {LOWEST} to {HIGHEST} is best for these {len(labels)} labelled pictures: "
            "validate on pictures that the model was not trained on, and on a trained model"
        )
    while high - low > 1e-6:
        middle = (low + high) / 2
        if _slope(logits, labels, middle) < 0:
            low = middle
        else:
            high = middle
    beta = (low + high) / 2
    before, after = _tempered(logits, 1.0), _tempered(logits, beta)
    return Fitted(
        1 / beta,
        len(labels),
        (_likelihood(before, labels), _likelihood(after, labels)),
        (calibration_error(before, labels), calibration_error(after, labels)),
    )


def fit_on(
    backbone: Backbone, head: AffectHead | None, frames: AnnotatedFrames, *, batch_size: int = 64
) -> tuple[Calibration, Fitted]:
    """The temperature of the model's own answer, the head's where there is one, over whole videos. Errors as `fit`."""
    seen = embed(backbone, frames, batch_size=batch_size)
    probs = seen.probs if head is None else answer_videos(head, seen, frames.video).probs
    found = fit(probs, frames.expression)
    told = (
        f"likelihood of {found.n} labelled pictures of {frames.name}: negative log likelihood "
        f"{found.likelihood[0]:.3f} -> {found.likelihood[1]:.3f}, calibration error {found.error[0]:.3f} -> "
        f"{found.error[1]:.3f}"
    )
    return Calibration(temperature=found.temperature, fitted=told), found


def _tempered(logits: NDArray[np.float64], beta: float) -> NDArray[np.float64]:
    powers = np.exp(beta * (logits - logits.max(axis=1, keepdims=True)))
    shares: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return shares


def _slope(logits: NDArray[np.float64], labels: Labels, beta: float) -> float:
    """d/d(1/T) of the mean negative log likelihood: expected logit minus that of the truth; rises with 1/T."""
    expected = (_tempered(logits, beta) * logits).sum(axis=1)
    return float((expected - logits[np.arange(len(labels)), labels]).mean())


def _likelihood(probs: NDArray[np.float64], labels: Labels) -> float:
    return float(-np.log(np.maximum(probs[np.arange(len(labels)), labels], _SMALLEST_PROB)).mean())
