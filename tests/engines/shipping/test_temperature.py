from __future__ import annotations

import numpy as np
import pytest

from engines.errors import BadData
from engines.shipping.temperature import fit, fit_on
from tests.engines import toys


def sampled(temperature: float, n: int = 20000) -> tuple[np.ndarray, np.ndarray]:
    """Over-confident probabilities, and labels drawn from what they are at `temperature`."""
    random = np.random.default_rng(3)
    logits = random.normal(size=(n, 7)) * 4
    powers = np.exp(logits / temperature)
    honest = powers / powers.sum(1, keepdims=True)
    labels = (honest.cumsum(1) < random.random((n, 1))).sum(1)
    sharp = np.exp(logits - logits.max(1, keepdims=True))
    return (sharp / sharp.sum(1, keepdims=True)).astype(np.float32), labels.astype(np.int64)


@pytest.mark.parametrize("temperature", [0.6, 1.0, 2.5])
def test_the_temperature_behind_the_labels_is_found(temperature: float) -> None:
    probs, labels = sampled(temperature)
    found = fit(probs, labels)
    assert found.temperature == pytest.approx(temperature, rel=0.05)
    assert found.likelihood[1] <= found.likelihood[0]
    assert found.error[1] < 0.02
    assert found.n == len(labels)


def test_it_is_the_best_there_is() -> None:
    probs, labels = sampled(2.5, 500)
    best = fit(probs, labels).temperature

    def likelihood(temperature: float) -> float:
        powers = probs.astype(np.float64) ** (1 / temperature)
        return float(-np.log((powers / powers.sum(1, keepdims=True))[np.arange(len(labels)), labels]).mean())

    assert all(likelihood(best) < likelihood(best * factor) for factor in (0.9, 0.97, 1.03, 1.1))


def test_pictures_without_a_label_are_left_out() -> None:
    probs, labels = sampled(2.0, 4000)
    hidden = np.where(np.arange(len(labels)) % 2, labels, -1)
    found = fit(probs, hidden)
    assert found.n == 2000
    assert found.temperature == pytest.approx(fit(probs[1::2], labels[1::2]).temperature)


@pytest.mark.parametrize("labels", ["all right", "none", "chance"])
def test_where_no_temperature_is_best_it_is_said(labels: str) -> None:
    probs, _ = sampled(1.0, 400)
    truth = {
        "all right": probs.argmax(1),
        "none": np.full(400, -1),
        "chance": probs.argmin(1),  # worse than chance: the flatter the better
    }[labels]
    with pytest.raises(BadData, match="no temperature"):
        fit(probs, truth)


@pytest.mark.parametrize("kind", ["backbone", "windowed"])
def test_a_models_own_answer_is_calibrated_on_its_videos(kind: str) -> None:
    model = toys.trained(kind)
    frames = toys.frames(120, 60)
    if kind == "windowed":  # the toy answers what was shown before
        frames.expression[1:] = frames.expression[:-1].copy()
    wrong = np.random.default_rng(1).random(len(frames)) < 0.3
    frames.expression[wrong] = (frames.expression[wrong] + 1) % 7  # labels that nobody could know
    calibration, found = fit_on(model.backbone, None if kind == "backbone" else model.head, frames)
    assert calibration.temperature == found.temperature > 1.5
    assert "120 labelled pictures of toy 60" in calibration.fitted
