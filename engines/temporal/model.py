"""The small recurrent head in torch: reads probabilities, STAT and context, carries (h, c), answers probabilities."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from engines.spec import N_PROBS, stat_size
from engines.temporal.sequences import CONTEXT

SMALLEST_PROB = 1e-6
GAP_OFFSET_S = 0.02
LONGEST_GAP_S = 10.0
SMALLEST_FACE_PX, USUAL_FACE_PX = 4.0, 48.0
SCORE_MIDDLE, SCORE_SCALE = 0.8, 4.0
ANGLE_SCALE = 1.0 / 30.0
N_READ = N_PROBS + stat_size("probs", 0) + len(CONTEXT) + 2
"""What the LSTM reads: log-probs 7, STAT 21, context 5, and roll and yaw once more without their sign."""


class ContextHead(nn.Module):
    """One forward LSTM of `units`, and two dense layers over its state and what it read; the log-probs skip them.

    `valence` and `arousal` are left out on purpose: there are no ratings to learn them from, and what a simulator
    could teach is what the records derive from the probabilities anyway.
    """

    def __init__(self, units: int, dense: int) -> None:
        super().__init__()
        self.units = units
        self.lstm = nn.LSTM(N_READ, units, batch_first=True)
        self.first = nn.Linear(N_READ + units, dense)
        self.second = nn.Linear(dense, N_PROBS)
        self.skip = nn.Linear(N_PROBS, N_PROBS, bias=False)
        with torch.no_grad():
            self.skip.weight.copy_(torch.eye(N_PROBS))  # begins as the bare net
            self.second.weight.mul_(0.1)
            self.second.bias.zero_()
            bias = dict(self.lstm.named_parameters())
            bias["bias_ih_l0"][units : 2 * units] = 1.0  # a forget gate that starts open
            bias["bias_hh_l0"].zero_()

    def forward(
        self, probs: Tensor, stat: Tensor, context: Tensor, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Logits (N,T,7) for whole tracks, and the state (1,N,units) twice after them.

        probs (N,T,7), stat (N,T,21), context (N,T,5) in the units of records; `state` None is a track's beginning.
        """
        log_probs = probs.clamp_min(SMALLEST_PROB).log()
        read = torch.cat([log_probs, stat, scaled_context(context)], -1)
        states, state = self.lstm(read, state)
        fused = torch.cat([read, states], -1)
        return self.skip(log_probs) + self.second(torch.relu(self.first(fused))), state


def scaled_context(context: Tensor) -> Tensor:
    """(...,7): the context in numbers of about 1, see `engines.temporal.sequences.CONTEXT`."""
    gap_s, score, face_px, roll_deg, yaw_deg = context.unbind(-1)
    return torch.stack(
        [
            (gap_s.clamp_max(LONGEST_GAP_S) + GAP_OFFSET_S).log(),
            (score - SCORE_MIDDLE) * SCORE_SCALE,
            (face_px.clamp_min(SMALLEST_FACE_PX) / USUAL_FACE_PX).log(),
            roll_deg * ANGLE_SCALE,
            yaw_deg * ANGLE_SCALE,
            roll_deg.abs() * ANGLE_SCALE,
            yaw_deg.abs() * ANGLE_SCALE,
        ],
        -1,
    )
