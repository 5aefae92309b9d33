"""The whole model: a backbone and what follows it (paper, Fig. 2)."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from engines.models.backbone import Backbone, BackboneOutput, build_backbone
from engines.models.config import ModelConfig
from engines.models.head import AffectHead, HeadOutput
from engines.models.stat import rows_of, stat_of
from engines.models.weights import load_backbone_weights


class AffectModel(nn.Module):
    """`forward` takes blocks of pictures and answers for the last of each; `backbone` and `head` run alone as well."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone: Backbone = build_backbone(config.backbone)
        self.head = AffectHead(config, self.backbone.n_features)

    def forward(self, pictures: Tensor, *, past_needs_grad: bool = False) -> HeadOutput:
        """The answer for the last picture of each block (B,s,3,H,W), pictures as the backbone takes them.

        A model of single pictures reads the last one only. Without `past_needs_grad` earlier pictures are embedded
        without gradient, in evaluation mode: a block then costs the memory of one picture.
        A recurrent LSTM starts from zero at the block's first picture.
        """
        return self.answer(pictures, past_needs_grad=past_needs_grad)[0]

    def answer(self, pictures: Tensor, *, past_needs_grad: bool = False) -> tuple[HeadOutput, BackboneOutput]:
        """As `forward`, and what the backbone alone says of the last picture."""
        current = self.backbone(pictures[:, -1])
        if not self.config.temporal:
            return self.head(current.features, current.probs), current
        features, probs = self._past(pictures[:, :-1], past_needs_grad)
        features = torch.cat([features, current.features[:, None]], 1)
        probs = torch.cat([probs, current.probs[:, None]], 1)
        stat = stat_of(rows_of(features, probs, self.config.stat), self.config.stat)
        h = c = None
        if self.head.recurrent is not None:
            h = c = probs.new_zeros(probs.shape[0], self.head.hidden)
            _, h, c = self.head.recurrent.sequence(probs[:, :-1], h, c)
        return self.head(current.features, current.probs, stat, probs, h, c), current

    def _past(self, pictures: Tensor, needs_grad: bool) -> tuple[Tensor, Tensor]:
        n, steps = pictures.shape[:2]
        was_training = self.backbone.training
        with torch.set_grad_enabled(needs_grad and torch.is_grad_enabled()):
            self.backbone.train(was_training and needs_grad)
            past = self.backbone(pictures.flatten(0, 1))
            self.backbone.train(was_training)
        return past.features.view(n, steps, -1), past.probs.view(n, steps, -1)


def build_model(config: ModelConfig, *, seed: int) -> AffectModel:
    """The model of `config`: fresh weights from `seed`, the backbone's from `config.backbone.weights` when named."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AffectModel(config)
    if config.backbone.weights:
        load_backbone_weights(model.backbone, Path(config.backbone.weights))
    return model
