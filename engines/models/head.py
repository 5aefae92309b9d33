"""Fusion and what follows it: the expression branch and the three regression branches (paper, section II.C)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from engines.models.config import ModelConfig
from engines.models.lstm import RecurrentLstm, WindowedLstm
from engines.models.stat import blocks_of, rows_of, stat_of
from engines.spec import N_PROBS, HeadSpec, stat_size


class HeadOutput(NamedTuple):
    """`logits` (B,7); `valence`, `arousal` (B,), `five` (B,5) in [-1, 1] when the model has them; `h`, `c` (B,units).

    For whole sequences every shape but that of h and c has T behind B.
    """

    logits: Tensor
    valence: Tensor | None = None
    arousal: Tensor | None = None
    five: Tensor | None = None
    h: Tensor | None = None
    c: Tensor | None = None

    @property
    def probs(self) -> Tensor:
        """(B,7) softmax of the logits."""
        return self.logits.softmax(-1)


def _branch(config: ModelConfig, n_in: int, n_out: int) -> nn.Sequential:
    """Two dense layers and the output; dropout as in the authors' code."""
    units = config.head_units
    return nn.Sequential(
        nn.Linear(n_in, units),
        nn.ReLU(),
        nn.Dropout(config.dropout),
        nn.Linear(units, units),
        nn.ReLU(),
        nn.Dropout(config.dropout),
        nn.Linear(units, n_out),
    )


class AffectHead(nn.Module):
    """Everything behind the backbone: current features and probs, STAT and LSTM to expression, valence and arousal.

    `fused_size` is D + 7 + S + LSTM: 2076 for model 4 and 4124 for model 6 in the paper's configuration.
    """

    def __init__(self, config: ModelConfig, n_features: int) -> None:
        super().__init__()
        self.config = config
        self.n_features = n_features
        lstm = config.lstm
        self.windowed = WindowedLstm(lstm) if lstm and lstm.form == "windowed" else None
        self.recurrent = RecurrentLstm(lstm) if lstm and lstm.form == "recurrent" else None
        n_lstm = self.windowed.size if self.windowed else self.recurrent.size if self.recurrent else 0
        self.fused_size = n_features + N_PROBS + stat_size(config.stat, n_features) + n_lstm
        self.expression = _branch(config, self.fused_size, N_PROBS)
        self.valence = _branch(config, self.fused_size, 1) if config.valence_arousal else None
        self.arousal = _branch(config, self.fused_size, 1) if config.valence_arousal else None
        self.five = _branch(config, self.fused_size, 5) if config.valence_arousal else None

    @property
    def hidden(self) -> int:
        """How many units of (h, c) the caller carries; 0 when there are none."""
        return self.recurrent.size if self.recurrent else 0

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of what `forward` reads, as HeadSpec names them."""
        names = ["features", "probs"]
        names += ["stat"] if self.config.stat != "none" else []
        names += ["block"] if self.windowed else []
        return (*names, *(("h", "c") if self.hidden else ()))

    def forward(
        self,
        features: Tensor,
        probs: Tensor,
        stat: Tensor | None = None,
        block: Tensor | None = None,
        h: Tensor | None = None,
        c: Tensor | None = None,
    ) -> HeadOutput:
        """The answer for observations: features (B,D), probs (B,7), stat (B,S), block (B,s,7), h and c (B,units)."""
        parts = [features, probs]
        if self.config.stat != "none":
            assert stat is not None, "this model reads STAT"
            parts.append(stat)
        if self.windowed is not None:
            assert block is not None, "this model reads the block"
            parts.append(self.windowed(block))
        if self.recurrent is not None:
            assert h is not None, "this model carries (h, c)"
            assert c is not None, "this model carries (h, c)"
            h, c = self.recurrent(probs, h, c)
            parts.append(h)
            return self._answer(torch.cat(parts, -1))._replace(h=h, c=c)
        return self._answer(torch.cat(parts, -1))

    def forward_sequence(
        self, features: Tensor, probs: Tensor, h: Tensor | None = None, c: Tensor | None = None
    ) -> HeadOutput:
        """The answers for every step of whole sequences, features (B,T,D), probs (B,T,7), as T calls of `forward`."""
        parts, config = [features, probs], self.config
        if config.stat != "none":
            parts.append(stat_of(blocks_of(rows_of(features, probs, config.stat), config.window), config.stat))
        if self.windowed is not None:
            n, steps = probs.shape[:2]
            parts.append(self.windowed(blocks_of(probs, config.window).flatten(0, 1)).view(n, steps, -1))
        if self.recurrent is not None:
            zero = probs.new_zeros(probs.shape[0], self.hidden)
            states, h, c = self.recurrent.sequence(probs, zero if h is None else h, zero if c is None else c)
            parts.append(states)
        return self._answer(torch.cat(parts, -1))._replace(h=h, c=c)

    def _answer(self, fused: Tensor) -> HeadOutput:
        logits = self.expression(fused)
        if self.valence is None or self.arousal is None or self.five is None:
            return HeadOutput(logits)
        valence, arousal = torch.tanh(self.valence(fused)).squeeze(-1), torch.tanh(self.arousal(fused)).squeeze(-1)
        return HeadOutput(logits, valence, arousal, torch.tanh(self.five(fused)))


def head_spec_of(
    head: AffectHead, *, version: str, sha256: str, valence_arousal_trained_on: str | None = None
) -> HeadSpec:
    """The description of an exported head."""
    config = head.config
    return HeadSpec(
        name=config.name,
        version=version,
        sha256=sha256,
        stat=config.stat,
        window=config.window,
        n_features=head.n_features,
        hidden=head.hidden,
        windowed=head.windowed is not None,
        valence_arousal_trained_on=valence_arousal_trained_on if config.valence_arousal else None,
    )


def average_outputs(outputs: list[HeadOutput]) -> HeadOutput:
    """Fusion (section III.D): the mean of probabilities, and of valence and arousal over the models that have them."""
    probs = torch.stack([output.probs for output in outputs]).mean(0)
    valence = [output.valence for output in outputs if output.valence is not None]
    arousal = [output.arousal for output in outputs if output.arousal is not None]
    return HeadOutput(
        probs.log(),
        torch.stack(valence).mean(0) if valence else None,
        torch.stack(arousal).mean(0) if arousal else None,
    )
