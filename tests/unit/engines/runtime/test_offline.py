"""What is computed over whole sequences is, bit for bit, what the streamer computes one observation at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.errors import WrongUse
from engines.runtime.offline import Sequence, blocks_of, probabilities, run_head, stat_of
from engines.runtime.protocol import FloatArray
from engines.spec import EXPRESSIONS, HeadSpec, StatKind, stat_size
from streamer.faces import embed
from streamer.state.stat import Ring
from tests.unit.faces.scripted import ScriptedRunner

EIGHT = ("Angry", "Contempt", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise")


@pytest.mark.parametrize("order", [EXPRESSIONS, EIGHT])
@pytest.mark.parametrize("temperature", [0.4, 1.0, 6.14])
def test_probabilities_are_the_streamers(order: tuple[str, ...], temperature: float) -> None:
    logits = (np.random.default_rng(1).normal(size=(500, len(order))) * 8).astype(np.float32)
    columns = embed.expression_columns(order)
    expected = np.concatenate([embed.probabilities(row[None], columns, temperature) for row in logits])
    assert probabilities(logits, order, temperature).tobytes() == expected.tobytes()


@settings(derandomize=True, deadline=None, max_examples=40)
@given(st.integers(1, 33), st.integers(1, 70), st.sampled_from(["probs", "mean", "min_max_mean"]), st.integers(0, 99))
def test_stat_is_the_rings(window: int, steps: int, kind: StatKind, seed: int) -> None:
    random = np.random.default_rng(seed)
    features = (random.normal(size=(steps, 3)) * 10.0 ** random.integers(-6, 4)).astype(np.float32)
    probs = random.dirichlet(np.full(7, 0.1), steps).astype(np.float32)  # tiny ones among them
    rows = np.concatenate([features, probs], axis=1) if kind != "probs" else probs
    ours = stat_of(blocks_of(rows, window), kind)
    ring = Ring(window, kind, 3)
    for t in range(steps):
        out = np.empty(stat_size(kind, 3), np.float32)
        ring.stage(features[t], probs[t], out)
        assert ring.block().tobytes() == blocks_of(probs, window)[t].tobytes()
        ring.commit()
        assert ours[t].tobytes() == out.tobytes()


def test_no_stat_is_no_numbers() -> None:
    assert stat_of(blocks_of(np.ones((3, 7), np.float32), 4), "none").shape == (3, 0)


def test_context_cannot_be_had_from_crops() -> None:
    def answer(images: object) -> dict[str, FloatArray]:
        raise AssertionError("never asked")

    spec = HeadSpec(name="t", version="1", sha256="0" * 64, stat="none", window=1, n_features=0, context=("gap_s",))
    nothing = Sequence(np.zeros((1, 2), np.float32), np.zeros((1, 7), np.float32))
    with pytest.raises(WrongUse, match="context"):
        run_head(ScriptedRunner(answer), spec, nothing)
