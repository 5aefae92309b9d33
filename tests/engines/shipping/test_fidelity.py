"""The comparison fails where it must. Labels alone would not: they forgive nearly everything."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engines.data.frames import UInt8Array
from engines.errors import BadData
from engines.models import Backbone, build_backbone
from engines.runtime.protocol import FloatArray
from engines.shipping.fidelity import LIMITS, clear_rows, coarser, compare, snr_db
from engines.spec import Precision
from engines.training.features import network_input
from tests.engines import toys


def answers(backbone: Backbone, crops: UInt8Array) -> dict[str, FloatArray]:
    with torch.no_grad():
        output = backbone(network_input(torch.from_numpy(np.ascontiguousarray(crops)), backbone))
    return {"features": output.features.numpy(), "logits": output.logits.numpy(), "probs": output.probs.numpy()}


@pytest.fixture(scope="module")
def crops() -> UInt8Array:
    return toys.pictures(300, 99)[0]


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return toys.trained("backbone").backbone


@pytest.mark.parametrize("precision", list(LIMITS))
@pytest.mark.parametrize("mistake", ["swapped colours", "shifted by a pixel", "shifted by three", "other weights"])
def test_it_fails_for_mistakes_at_every_precision(
    mistake: str, precision: Precision, crops: UInt8Array, backbone: Backbone
) -> None:
    right = answers(backbone, crops)
    wrong = {
        "swapped colours": lambda: answers(backbone, crops[..., ::-1]),
        "shifted by a pixel": lambda: answers(backbone, np.roll(crops, 1, axis=2)),
        "shifted by three": lambda: answers(backbone, np.roll(crops, 3, axis=1)),
        "other weights": lambda: answers(toys.trained("backbone", 2).backbone, crops),
    }[mistake]()
    assert not compare(right, wrong, LIMITS[precision]).good
    assert compare(right, right, LIMITS[precision]).good


def test_labels_alone_would_pass_another_models_weights(crops: UInt8Array, backbone: Backbone) -> None:
    found = compare(answers(backbone, crops), answers(toys.trained("backbone", 2).backbone, crops), LIMITS["int8"])
    (labels,) = found.labels
    assert labels.good
    assert any("features" in failure for failure in found.failures)


def test_random_weights_are_no_judge(crops: UInt8Array) -> None:
    torch.manual_seed(4)
    fresh = build_backbone(toys.config("backbone").backbone).eval()
    found = compare(answers(fresh, crops), answers(fresh, crops), LIMITS["fp32"])
    assert not found.good
    assert "not trained" in found.failures[0]


def test_rounding_to_bf16_passes_its_limits_and_not_those_of_fp32(crops: UInt8Array, backbone: Backbone) -> None:
    right = answers(backbone, crops)
    rounded = {name: torch.from_numpy(values).bfloat16().float().numpy() for name, values in right.items()}
    assert compare(right, rounded, LIMITS["bf16"]).good
    found = compare(right, rounded, LIMITS["fp32"])
    assert not found.good
    assert any("more than" in failure for failure in found.failures)


def one_hot(n: int = 20, sure: float = 0.9) -> FloatArray:
    probs = np.full((n, 7), (1 - sure) / 6, np.float32)
    probs[np.arange(n), np.arange(n) % 7] = sure
    return probs


def test_only_clear_labels_count() -> None:
    reference = one_hot()
    reference[:4] = 1 / 7  # no label is clear there
    candidate = reference.copy()
    candidate[:4] = one_hot(4)[:, ::-1]
    (labels,) = compare({"probs": reference}, {"probs": candidate}, LIMITS["int8"]).labels
    assert (labels.n_clear, labels.agreement) == (16, 1.0)
    candidate[5] = candidate[5][::-1]
    (labels,) = compare({"probs": reference}, {"probs": candidate}, LIMITS["int8"]).labels
    assert labels.agreement == 15 / 16
    assert not labels.good


def test_the_margin_is_of_the_reference_and_includes_its_limit() -> None:
    probs = np.array([[0.5, 0.375, 0.125], [0.5, 0.4375, 0.0625]], np.float32)
    assert clear_rows(probs).tolist() == [True, False]


def test_numbers_that_are_not_finite_fail() -> None:
    broken = one_hot()
    broken[3, 2] = np.nan
    assert not compare({"probs": one_hot()}, {"probs": broken}, LIMITS["int8"]).good
    features = np.random.default_rng(1).normal(size=(20, 5)).astype(np.float32)
    spoilt = features.copy()
    spoilt[0, 0] = np.inf
    found = compare(
        {"probs": one_hot(), "features": features}, {"probs": one_hot(), "features": spoilt}, LIMITS["bf16"]
    )
    assert not found.good


def test_signal_is_counted_around_its_mean_and_noise_is_not() -> None:
    random = np.random.default_rng(2)
    signal = random.normal(size=(2000, 3)).astype(np.float32)
    assert snr_db(signal + 100, signal + 100 + np.float32(0.125)) == pytest.approx(20 * np.log10(8), abs=0.1)
    assert snr_db(signal, signal) == np.inf
    assert snr_db(np.ones((4, 2), np.float32), np.ones((4, 2), np.float32)) == -np.inf


def test_tolerances_of_features_count_in_units_of_their_size() -> None:
    features = np.random.default_rng(3).normal(size=(20, 5)).astype(np.float32) * 100
    found = compare(
        {"probs": one_hot(), "features": features},
        {"probs": one_hot(), "features": features + np.float32(0.01)},
        LIMITS["fp32"],
    )
    assert found.good
    told = {one.name: one.tolerance for one in found.outputs}
    assert told["probs"] == 1e-3
    assert told["features"] == pytest.approx(1e-3 * np.abs(features).max())


def test_what_cannot_be_compared_is_said() -> None:
    with pytest.raises(BadData, match="share no output"):
        compare({"probs": one_hot()}, {"logits": one_hot()}, LIMITS["fp32"])
    with pytest.raises(BadData, match=r"\(20, 7\) on one side and \(19, 7\)"):
        compare({"probs": one_hot()}, {"probs": one_hot(19)}, LIMITS["fp32"])


def test_the_coarser_precision_sets_the_limits() -> None:
    assert coarser("fp32", "int8") == coarser("int8", "bf16") == "int8"
    assert coarser("bf16", "fp32") == "bf16"
    order = [LIMITS[one] for one in ("fp32", "fp16", "bf16", "int8")]
    assert [one.features_db for one in order] == sorted((one.features_db for one in order), reverse=True)
    assert LIMITS["bf16"].labels == 0.99
    assert LIMITS["int8"].labels == 0.97
