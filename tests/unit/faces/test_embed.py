from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from engines.runtime.protocol import FloatArray
from engines.spec import EXPRESSIONS, Calibration, ModelSpec, Normalisation, Provenance
from streamer.errors import ModelError
from streamer.faces.embed import Embedder, expression_columns, probabilities
from streamer.types import Embedding
from tests.unit.faces.scripted import ScriptedRunner, refuse_marked

FACE_API = ("Neutral", "Happy", "Sad", "Angry", "Fear", "Disgust", "Surprise")
EIGHT = ("Angry", "Contempt", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise")


def spec(class_order: tuple[str, ...] = FACE_API, temperature: float = 1.0) -> ModelSpec:
    return ModelSpec(
        name="made-up",
        version="1",
        role="expression",
        inputs=(),
        outputs=(),
        sha256="0" * 64,
        normalisation=Normalisation(colour="rgb", layout="nchw", mean=(0, 0, 0), std=(1, 1, 1)),
        provenance=Provenance(licence="none", origin="here", trained_on="nothing"),
        class_order=class_order,
        calibration=Calibration(temperature=temperature),
        n_features=4,
    )


def network(images: NDArray[np.uint8], n_classes: int = 7) -> dict[str, FloatArray]:
    """Numbers that depend on each image alone; its first value decides which outputs are NaN."""
    first = images.reshape(len(images), -1).astype(np.float32)
    weights = np.random.default_rng(3).normal(0, 0.05, (first.shape[1], 4 + n_classes)).astype(np.float32)
    out: FloatArray = np.stack([row @ weights for row in first]).astype(np.float32)
    answer = {"features": out[:, :4].copy(), "logits": out[:, 4:].copy()}
    answer["features"][first[:, 0] == 251] = np.nan
    answer["logits"][first[:, 0] == 252, 2] = np.inf
    return answer


def with_va(images: NDArray[np.uint8]) -> dict[str, FloatArray]:
    first = images[:, 0, 0, 0].astype(np.float32)
    return network(images) | {"valence": first / np.float32(100) - 1, "arousal": 1 - first / np.float32(100)}


def crops(n: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 250, (n, 6, 5, 3)).astype(np.uint8)


def same(a: Embedding | None, b: Embedding | None) -> bool:
    assert a is not None
    assert b is not None
    return a.features.tobytes() == b.features.tobytes() and a.probs.tobytes() == b.probs.tobytes()


def test_probabilities_come_in_the_order_used_everywhere() -> None:
    logits = np.log(np.array([[0.1, 0.2, 0.3, 0.05, 0.05, 0.1, 0.2]], np.float32))
    named = dict(zip(EXPRESSIONS, probabilities(logits, expression_columns(FACE_API), 1.0)[0], strict=True))
    assert {name: round(float(p), 5) for name, p in named.items()} == {
        "Neutral": 0.1,
        "Happy": 0.2,
        "Sad": 0.3,
        "Angry": 0.05,
        "Fear": 0.05,
        "Disgust": 0.1,
        "Surprise": 0.2,
    }


def test_other_classes_are_dropped_and_the_rest_renormalised() -> None:
    shares = np.array([[0.1, 0.5, 0.1, 0.05, 0.1, 0.05, 0.05, 0.05]], np.float32)
    probs = probabilities(np.log(shares), expression_columns(EIGHT), 1.0)[0]
    np.testing.assert_allclose(probs, np.array([0.05, 0.1, 0.1, 0.05, 0.1, 0.05, 0.05]) / 0.5, rtol=1e-6)


def test_the_temperature_softens() -> None:
    logits = np.array([[4, 0, 0, 0, 0, 0, 0]], np.float32)
    columns = expression_columns(EXPRESSIONS)
    for temperature in (0.5, 1.0, 3.0):
        expected = np.exp(4 / temperature) / (np.exp(4 / temperature) + 6)
        assert probabilities(logits, columns, temperature)[0, 0] == pytest.approx(expected, rel=1e-6)


def test_extreme_logits_stay_probabilities() -> None:
    logits = np.array([[1e30, -1e30, 0, 0, 0, 0, 0], [88, 88, -3e38, 0, 0, 0, 0]], np.float32)
    probs = probabilities(logits, expression_columns(EXPRESSIONS), 0.1)
    np.testing.assert_allclose(probs, np.array([[1, 0, 0, 0, 0, 0, 0], [0.5, 0.5, 0, 0, 0, 0, 0]]))


@pytest.mark.parametrize("order", [FACE_API[:-1], (*FACE_API, "Happy"), ()])
def test_a_class_order_without_all_seven_once_is_refused(order: tuple[str, ...]) -> None:
    with pytest.raises(ModelError, match="exactly once"):
        Embedder(ScriptedRunner(network), spec(order))


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_a_temperature_that_is_none_is_refused(temperature: float) -> None:
    with pytest.raises(ModelError, match="temperature"):
        Embedder(ScriptedRunner(network), spec(temperature=temperature))


@settings(derandomize=True, deadline=None)
@given(st.integers(1, 9), st.integers(0, 10_000), st.sampled_from([0.7, 1.0, 2.5]), st.booleans())
def test_a_batch_is_bit_equal_to_its_crops_alone(n: int, seed: int, temperature: float, eight: bool) -> None:
    def answer(images: NDArray[np.uint8]) -> dict[str, FloatArray]:
        return network(images, 8 if eight else 7)

    embedder = Embedder(ScriptedRunner(answer), spec(EIGHT if eight else FACE_API, temperature))
    images = crops(n, seed)
    together = embedder.embed(images).embeddings
    alone = [embedder.embed(images[i : i + 1]).embeddings[0] for i in range(n)]
    assert all(same(a, b) for a, b in zip(together, alone, strict=True))
    probs = np.array([one.probs for one in together if one is not None])
    assert probs.dtype == np.float32
    np.testing.assert_allclose(probs.sum(axis=1), 1, rtol=1e-5)


def test_nothing_points_into_the_runners_buffers() -> None:
    """The scripted runner fills its last outputs with NaN at the next call."""
    embedder = Embedder(ScriptedRunner(network), spec())
    first = embedder.embed(crops(3)).embeddings
    copies = [(e.features.copy(), e.probs.copy()) for e in first if e is not None]
    embedder.embed(crops(3, seed=1))
    for kept, (features, probs) in zip(first, copies, strict=True):
        assert kept is not None
        np.testing.assert_array_equal(kept.features, features)
        np.testing.assert_array_equal(kept.probs, probs)
        assert kept.features.base is None


def test_valence_and_arousal_when_the_network_has_them_cut_to_their_range() -> None:
    images = np.stack([np.full((6, 5, 3), value, np.uint8) for value in (50, 100, 240)])
    embedded = Embedder(ScriptedRunner(with_va), spec()).embed(images).embeddings
    assert [(e.valence, e.arousal) for e in embedded if e] == [(-0.5, 0.5), (0.0, 0.0), (1.0, -1.0)]
    bare = Embedder(ScriptedRunner(network), spec()).embed(images).embeddings
    assert all(e is not None and e.valence is None and e.arousal is None for e in bare)


@pytest.mark.parametrize("mark", [251, 252])
def test_a_crop_that_gives_nan_is_dropped_alone(mark: int) -> None:
    images = crops(4)
    images[2, 0, 0, 0] = mark
    runner = ScriptedRunner(network)
    result = Embedder(runner, spec()).embed(images)
    assert result.causes == [None, None, "not_finite", None]
    assert result.dropped == {"not_finite": 1}
    assert [e is None for e in result.embeddings] == [False, False, True, False]
    assert runner.batches == [4, 1]


def test_a_nan_valence_is_no_number_either() -> None:
    def answer(images: NDArray[np.uint8]) -> dict[str, FloatArray]:
        return network(images) | {"valence": np.full(len(images), np.nan, np.float32)}

    assert Embedder(ScriptedRunner(answer), spec()).embed(crops(1)).causes == ["not_finite"]


def test_a_crop_that_breaks_the_engine_is_dropped_alone() -> None:
    images = crops(3)
    images[0, 0, 0, 0] = 255
    runner = ScriptedRunner(refuse_marked(network))
    result = Embedder(runner, spec()).embed(images)
    assert result.causes == ["engine_error", None, None]
    assert result.dropped == {"engine_error": 1}
    assert runner.batches == [3, 1, 1, 1]
    good = Embedder(ScriptedRunner(network), spec()).embed(images[1:])
    assert all(same(a, b) for a, b in zip(result.embeddings[1:], good.embeddings, strict=True))


def test_a_single_failing_crop_is_not_tried_twice() -> None:
    images = crops(1)
    images[0, 0, 0, 0] = 255
    runner = ScriptedRunner(refuse_marked(network))
    assert Embedder(runner, spec()).embed(images).causes == ["engine_error"]
    assert runner.batches == [1]


def test_no_crops_is_no_call() -> None:
    runner = ScriptedRunner(network)
    result = Embedder(runner, spec()).embed(np.zeros((0, 6, 5, 3), np.uint8))
    assert (result.embeddings, result.causes, result.dropped, runner.batches) == ([], [], {}, [])


def test_close_closes_the_engine() -> None:
    runner = ScriptedRunner(network)
    Embedder(runner, spec()).close()
    assert runner.closed
