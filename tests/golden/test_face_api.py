"""The converted expression net against what the original runtime (TensorFlow.js) answered for the same pictures."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.runtime import open_runner
from tests.integration.zoo_models import default_model

TOLERANCE = 1e-4


def pictures(n: int = 3) -> NDArray[np.uint8]:
    """(n,112,112,3): bands and grids in three colours, by a formula that any language can repeat."""
    i, y, x, c = np.ogrid[:n, :112, :112, :3]
    return np.asarray((7 * y + 13 * x // (i + 1) + 31 * c + y * x // (i + 20)) % 256, np.uint8)


@pytest.mark.models
def test_the_original_runtime_gave_the_same(tmp_path: Path) -> None:
    told = json.loads((Path(__file__).parent / "face_api.json").read_text(encoding="utf-8"))
    features = np.array([answer["features"] for answer in told["answers"]])
    probs = np.array([answer["probs"] for answer in told["answers"]])
    runner = open_runner(default_model("face-api"), precision="fp32", cache=tmp_path)
    got = runner.infer({"image": pictures()})
    powers = np.exp(got["logits"].astype(np.float64))
    assert np.abs(got["features"] - features).max() < TOLERANCE
    assert np.abs(powers / powers.sum(1, keepdims=True) - probs).max() < TOLERANCE
    swapped = runner.infer({"image": np.ascontiguousarray(pictures()[..., ::-1])})
    assert np.abs(swapped["features"] - features).max() > 100 * TOLERANCE
