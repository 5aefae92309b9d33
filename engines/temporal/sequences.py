"""Sequences of observations of single faces, simulated or real: what a temporal head reads and what it should say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines.spec import N_PROBS, ContextName

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]

CONTEXT: tuple[ContextName, ...] = ("gap_s", "detector_score", "face_px", "roll_deg", "yaw_deg")
"""What the heads of this package are told of an observation, in this order."""
GAP = CONTEXT.index("gap_s")
WINDOW = 16
"""s, the observations of a block (the paper's and its authors' submitted models')."""


@dataclass(frozen=True)
class Sequences:
    """N tracks of T observations each: `probs` (N,T,7) calibrated, `context` (N,T,5), `labels` (N,T)."""

    probs: Floats
    context: Floats
    labels: Labels

    def __len__(self) -> int:
        return len(self.probs)

    @property
    def gap_s(self) -> Floats:
        """(N,T) seconds since the observation before; 0 for the first."""
        return self.context[..., GAP]


def stat_of(probs: Floats, window: int = WINDOW) -> Floats:
    """(N,T,21) minimum, maximum and mean of the last `window` probs at every step, the first repeated in front."""
    padded = np.concatenate([np.repeat(probs[:, :1], window - 1, 1), probs], 1)
    blocks = np.lib.stride_tricks.sliding_window_view(padded, window, axis=1)  # (N,T,7,s)
    return np.asarray(np.concatenate([blocks.min(-1), blocks.max(-1), blocks.mean(-1)], -1), np.float32)


def softmax(logits: NDArray[np.floating]) -> Floats:
    """Probabilities over the last axis."""
    odds = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(odds / odds.sum(-1, keepdims=True), np.float32)


def log_probs(probs: Floats) -> Floats:
    """Natural logarithms, nothing below 1e-6."""
    return np.log(np.maximum(probs, np.float32(1e-6)))


def joined(parts: list[Sequences]) -> Sequences:
    """All tracks of several sets of the same length."""
    return Sequences(
        np.concatenate([part.probs for part in parts]),
        np.concatenate([part.context for part in parts]),
        np.concatenate([part.labels for part in parts]),
    )


assert len(CONTEXT) == 5 and N_PROBS == 7, "the simulators fill exactly these"  # noqa: PT018
