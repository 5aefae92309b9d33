import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.calibrate import fit_temperature, mean_confidence
from engines.errors import EnginesError


def softmax_confidence(logits: np.ndarray[tuple[int, int], np.dtype[np.float64]], temperature: float) -> float:
    powers = np.exp(logits / temperature)
    return float((powers / powers.sum(1, keepdims=True)).max(1).mean())


@settings(derandomize=True, deadline=None)
@given(st.integers(0, 1000), st.floats(0.5, 20))
def test_confidence_is_the_mean_largest_softmax(seed: int, temperature: float) -> None:
    logits = np.random.default_rng(seed).normal(0, 3, (9, 7))
    assert mean_confidence(logits, temperature) == pytest.approx(softmax_confidence(logits, temperature), abs=1e-12)


@settings(derandomize=True, deadline=None)
@given(st.integers(0, 1000), st.floats(0.3, 0.9))
def test_the_fitted_temperature_gives_the_target(seed: int, target: float) -> None:
    logits = np.random.default_rng(seed).normal(0, 5, (30, 7))
    assert mean_confidence(logits, fit_temperature(logits, target)) == pytest.approx(target, abs=1e-5)


def test_scaling_logits_scales_the_temperature() -> None:
    logits = np.random.default_rng(4).normal(0, 5, (30, 7))
    assert fit_temperature(logits * 3, 0.67) == pytest.approx(3 * fit_temperature(logits, 0.67), abs=1e-4)


@pytest.mark.parametrize("target", [0.1, 1.5])
def test_an_impossible_target_is_refused(target: float) -> None:
    with pytest.raises(EnginesError, match="no temperature"):
        fit_temperature(np.random.default_rng(0).normal(0, 1, (5, 7)), target)
    with pytest.raises(EnginesError, match="0 faces"):
        fit_temperature(np.zeros((0, 7)), 0.5)
