"""The training losses: cross-entropy, concordance and the 5-vector, and their weighted sum (paper, section II.D)."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional

PAPER_WEIGHTS = (1.0, 0.4, 0.4, 0.2)
"""Of expression, arousal, valence and 5-vector: w1 to w4 of equation (4)."""


class Answers(Protocol):
    """What a model answers; see `engines.models.HeadOutput`."""

    @property
    def logits(self) -> Tensor: ...
    @property
    def valence(self) -> Tensor | None: ...
    @property
    def arousal(self) -> Tensor | None: ...
    @property
    def five(self) -> Tensor | None: ...


class LossParts(NamedTuple):
    """The weighted sum and its parts, unweighted; each a scalar, zero where no row is annotated for it."""

    total: Tensor
    expression: Tensor
    arousal: Tensor
    valence: Tensor
    five: Tensor


def five_vector(valence: Tensor, arousal: Tensor) -> Tensor:
    """(...,5): [a, v, m, |a-m|, |v-m|], m the mean of the two; differences are absolute, as in the authors' code."""
    mean = (valence + arousal) / 2
    return torch.stack([arousal, valence, mean, (arousal - mean).abs(), (valence - mean).abs()], -1)


def ccc_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """1 - CCC over the batch (N,) (equation 2): 0 for perfect agreement, 2 for its opposite.

    A constant on both sides makes the quotient 0/0; it counts as no agreement, with a finite gradient.
    """
    predicted, target = predicted.float(), target.float()  # products of half-precision deviations vanish
    p_mean, t_mean = predicted.mean(), target.mean()
    covariance = ((predicted - p_mean) * (target - t_mean)).mean()
    spread = predicted.var(correction=0) + target.var(correction=0) + (p_mean - t_mean).square()
    return 1 - 2 * covariance / spread.clamp_min(1e-8)


def multi_task_loss(
    output: Answers,
    expression: Tensor,
    valence: Tensor,
    arousal: Tensor,
    *,
    weights: tuple[float, float, float, float] = PAPER_WEIGHTS,
    logit_adjustment: Tensor | None = None,
) -> LossParts:
    """The weighted sum of equation (4) for targets (N,): expression -1 and valence or arousal NaN mean not annotated.

    `logit_adjustment` (7,), log priors times a strength, is added to the logits while training, so that the bare
    logits come out balanced (Menon et al. 2021). The 5-vector's error is the mean over rows of the sum over its five
    (equation 3). A concordance needs two rows at least; a batch with fewer contributes nothing to it.
    """
    nothing = output.logits.sum() * 0.0
    named = expression >= 0
    logits = output.logits.float() if logit_adjustment is None else output.logits.float() + logit_adjustment
    by_class = functional.cross_entropy(logits[named], expression[named]) if bool(named.any()) else nothing
    by_arousal = by_valence = by_five = nothing
    if output.valence is not None and output.arousal is not None and output.five is not None:
        rated = valence.isfinite() & arousal.isfinite()
        if int(rated.sum()) >= 2:
            by_arousal = ccc_loss(output.arousal[rated], arousal[rated])
            by_valence = ccc_loss(output.valence[rated], valence[rated])
            wanted = five_vector(valence[rated], arousal[rated])
            by_five = (output.five[rated].float() - wanted).square().sum(-1).mean()
    parts = (by_class, by_arousal, by_valence, by_five)
    total = torch.stack([weight * part for weight, part in zip(weights, parts, strict=True)]).sum()
    return LossParts(total, *parts)
