"""The LSTM module in its two forms, over the probabilities (paper, section II.C)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from engines.models.config import LstmConfig
from engines.spec import N_PROBS


class WindowedLstm(nn.Module):
    """The paper's bidirectional LSTM over a block: (B,s,7) to (B, 2 * units).

    The answer joins the state of the forward direction after the block's last row and that of the backward direction
    after its first: each has then read the whole block. 2 * 1024 is what makes the paper's first dense layer 4124 wide.
    """

    def __init__(self, config: LstmConfig) -> None:
        super().__init__()
        self.lstm = nn.LSTM(N_PROBS, config.units, config.layers, batch_first=True, bidirectional=True)
        self.units = config.units
        self.size = 2 * config.units

    def forward(self, block: Tensor) -> Tensor:
        out, _ = self.lstm(block)  # (B,s,2*units)
        return torch.cat([out[:, -1, : self.units], out[:, 0, self.units :]], -1)


class RecurrentLstm(nn.Module):
    """One forward layer whose (h, c) (B,units) the caller carries; zero for a track's first observation.

    Written as gates, so that one step exports to plain operators and whole sequences run the same arithmetic.
    """

    def __init__(self, config: LstmConfig) -> None:
        super().__init__()
        self.gates = nn.Linear(N_PROBS + config.units, 4 * config.units)
        self.size = config.units
        bound = config.units**-0.5
        nn.init.uniform_(self.gates.weight, -bound, bound)
        nn.init.zeros_(self.gates.bias)
        with torch.no_grad():  # a forget gate that starts open lets gradients reach far back
            self.gates.bias[config.units : 2 * config.units] = 1.0

    def forward(self, probs: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """(h, c) after one more observation (B,7)."""
        i, f, g, o = self.gates(torch.cat([probs, h], -1)).chunk(4, -1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c

    def sequence(self, probs: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """h (B,T,units) after every step of (B,T,7), and the last (h, c)."""
        states = []
        for step in range(probs.shape[1]):
            h, c = self(probs[:, step], h, c)
            states.append(h)
        return torch.stack(states, 1), h, c
