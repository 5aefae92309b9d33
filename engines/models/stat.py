"""STAT and blocks in torch: what a track's last s observations were (paper, section II.C).

The layout is that of `engines.spec.HeadSpec`; a block ends with the current observation, and before there are s of
them the oldest is repeated in front.
"""

from __future__ import annotations

import torch
from torch import Tensor

from engines.spec import StatKind


def blocks_of(rows: Tensor, window: int) -> Tensor:
    """(B,T,s,W): for every step of `rows` (B,T,W) its block of `window` rows, the current one last."""
    steps = torch.arange(rows.shape[1], device=rows.device)
    back = torch.arange(window - 1, -1, -1, device=rows.device)
    at = (steps[:, None] - back[None, :]).clamp_min(0)  # (T,s)
    return rows[:, at]


def rows_of(features: Tensor, probs: Tensor, kind: StatKind) -> Tensor:
    """(...,W): what STAT is taken of, `[features, probs]` or the probs alone."""
    return torch.cat([features, probs], -1) if kind in ("mean", "min_max_mean") else probs


def stat_of(rows: Tensor, kind: StatKind) -> Tensor:
    """(...,S): STAT of blocks `rows` (...,s,W): `[min, max, mean]`, or the mean alone for `mean`."""
    mean = rows.mean(-2)
    if kind == "mean":
        return mean
    if kind == "none":
        return mean[..., :0]
    return torch.cat([rows.amin(-2), rows.amax(-2), mean], -1)
