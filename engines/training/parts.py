"""What is trained, as one module each: a piece's inputs to answers, row by row of its targets."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from engines.losses import LossParts, multi_task_loss
from engines.models import AffectHead, AffectModel, HeadOutput
from engines.training.config import TrainConfig
from engines.training.features import network_input
from engines.training.feed import Piece
from engines.training.ranks import Ranks


class Answered(NamedTuple):
    """The head's output, one row a target, and the backbone's own logits where it was run."""

    output: HeadOutput
    bare: Tensor | None = None


class WholeModel(nn.Module):
    """Blocks of uint8 pictures to the answer for the last of each."""

    def __init__(self, model: AffectModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: dict[str, Tensor]) -> Answered:
        output, seen = self.model.answer(network_input(inputs["pictures"], self.model.backbone))
        return Answered(output, seen.logits)


class BackboneAlone(nn.Module):
    """Pictures to the backbone's own classes."""

    def __init__(self, model: AffectModel) -> None:
        super().__init__()
        self.backbone = model.backbone

    def forward(self, inputs: dict[str, Tensor]) -> Answered:
        return Answered(HeadOutput(self.backbone(network_input(inputs["pictures"][:, -1], self.backbone)).logits))


class HeadOnFeatures(nn.Module):
    """Cached features to answers: of single observations with their blocks, or of sequences, flattened."""

    def __init__(self, head: AffectHead, on_sequences: bool) -> None:
        super().__init__()
        self.head, self.on_sequences = head, on_sequences

    def forward(self, inputs: dict[str, Tensor]) -> Answered:
        if not self.on_sequences:
            return Answered(self.head(**inputs))
        output = self.head.forward_sequence(inputs["features"], inputs["probs"])
        return Answered(_each(output, lambda one: one.flatten(0, 1)))


def part_of(model: AffectModel, config: TrainConfig) -> nn.Module:
    """The module to train."""
    if config.cached_features:
        return HeadOnFeatures(model.head, config.on_sequences)
    return BackboneAlone(model) if config.part == "backbone" else WholeModel(model)


def _each(output: HeadOutput, change: Callable[[Tensor], Tensor]) -> HeadOutput:
    others = (None if one is None else change(one) for one in output[1:4])
    return HeadOutput(change(output.logits), *others)


class StepLoss(NamedTuple):
    """`total` is what is minimised; `parts` are the paper's four, `bare` the backbone's own cross-entropy."""

    total: Tensor
    parts: LossParts
    bare: Tensor

    def plain(self) -> dict[str, float]:
        """As numbers, by the names of the log's columns."""
        parts = self.parts
        named = {
            "loss": self.total,
            "loss_expression": parts.expression,
            "loss_arousal": parts.arousal,
            "loss_valence": parts.valence,
            "loss_five": parts.five,
            "loss_bare": self.bare,
        }
        return dict(zip(named, torch.stack([value.detach().float() for value in named.values()]).tolist(), strict=True))


def loss_of(answered: Answered, piece: Piece, config: TrainConfig, adjustment: Tensor | None, ranks: Ranks) -> StepLoss:
    """The loss of a piece over all ranks, the same on each of them."""
    output, bare = answered
    gathered = _each(output, ranks.gather)
    expression = ranks.gather(piece.expression)
    parts = multi_task_loss(
        gathered,
        expression,
        ranks.gather(piece.valence),
        ranks.gather(piece.arousal),
        weights=config.loss_weights,
        logit_adjustment=adjustment,
    )
    # A batch without valence and arousal leaves those heads out of the sum; ranks wait for every gradient.
    total = parts.total + 0.0 * sum(one.sum() for one in output[1:4] if one is not None)
    by_bare = gathered.logits.new_zeros(())
    named = expression >= 0
    if bare is not None and config.bare_weight > 0 and bool(named.any()):
        logits = ranks.gather(bare).float()
        adjusted = logits if adjustment is None else logits + adjustment
        by_bare = functional.cross_entropy(adjusted[named], expression[named])
        total = total + config.bare_weight * by_bare
    return StepLoss(total, parts, by_bare)
