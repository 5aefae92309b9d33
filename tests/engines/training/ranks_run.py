"""Run by `test_ranks` as one of two processes: trains on made-up features and says what it came to."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch

from engines.models import build_model
from engines.training.config import OptimiserConfig
from engines.training.features import embed
from engines.training.loop import TrainSet, train
from engines.training.ranks import Ranks, join_ranks
from tests.engines.training.made_up import FROZEN, WINDOWED, config, frames, model_config

ONE = config(
    model_config(stat="probs", lstm=WINDOWED, backbone=FROZEN, dropout=0.0),
    cached_features=True,
    batch_size=24,
    accumulate=2,
    epochs=2,
    # Not Adam, which makes a whole step of the last digit of a gradient that is nearly nothing.
    optimiser=OptimiserConfig(name="sgd", learning_rate=0.05, clip_norm=1.0),
)


def run(ranks: Ranks) -> dict[str, Any]:
    """The log's rows, and one number for each tensor of the trained head."""
    model = build_model(ONE.model, seed=ONE.seed)
    sets = [TrainSet(held, embed(model.backbone, held)) for held in (frames(), frames(3, seed=1))]
    result = train(model, ONE, sets[0], sets[1], None, ranks=ranks)
    return {"rows": list(result.rows), "weights": [one.sum().item() for one in model.head.parameters()]}


def main() -> None:
    """One rank; the first one writes."""
    torch.set_num_threads(1)
    ranks = join_ranks("cpu")
    told = run(ranks)
    if ranks.first:
        Path(sys.argv[1]).write_text(json.dumps(told))
    ranks.close()


if __name__ == "__main__":
    main()
