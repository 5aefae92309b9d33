import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from engines import metrics
from engines.spec import EXPRESSIONS


def labels(seed: int, n: int, classes: int = 7) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    truth = random.integers(0, classes, n)
    return truth, np.where(random.random(n) < 0.6, truth, random.integers(0, 7, n))


@given(st.integers(0, 2**31), st.integers(1, 80), st.integers(1, 7))
@settings(max_examples=60, deadline=None)
def test_label_metrics_are_scikit_learns(seed: int, n: int, classes: int) -> None:
    truth, predicted = labels(seed, n, classes)
    assert metrics.accuracy(truth, predicted) == pytest.approx(reference.accuracy_score(truth, predicted))
    for average, ours in (("macro", metrics.macro_f1), ("weighted", metrics.weighted_f1)):
        wanted = reference.f1_score(truth, predicted, average=average, zero_division=0)
        assert ours(truth, predicted) == pytest.approx(wanted)
    wanted = reference.confusion_matrix(truth, predicted, labels=range(7))
    np.testing.assert_array_equal(metrics.confusion(truth, predicted), wanted)
    precision, recall, f1, support = reference.precision_recall_fscore_support(
        truth, predicted, labels=range(7), zero_division=0
    )
    ours_all = metrics.per_class(truth, predicted)
    assert [one.name for one in ours_all] == list(EXPRESSIONS)
    np.testing.assert_allclose([one.precision for one in ours_all], precision)
    np.testing.assert_allclose([one.recall for one in ours_all], recall)
    np.testing.assert_allclose([one.f1 for one in ours_all], f1)
    assert [one.support for one in ours_all] == support.tolist()


def test_frames_without_a_label_are_left_out() -> None:
    truth, predicted = labels(3, 50)
    more = np.concatenate([truth, np.full(9, -1)]), np.concatenate([predicted, np.zeros(9, int)])
    assert metrics.challenge_expression_score(*more) == metrics.challenge_expression_score(truth, predicted)
    assert metrics.authors_expression_score(*more) == metrics.authors_expression_score(truth, predicted)
    assert metrics.accuracy(np.array([-1]), np.array([0])) == 0


def lins_formula(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson's r times Lin's bias correction: another way to the same number."""
    r = float(np.corrcoef(x, y)[0, 1])
    v = x.std() / y.std()
    u = (x.mean() - y.mean()) / math.sqrt(x.std() * y.std())
    return float(r * 2 / (v + 1 / v + u * u))


@given(st.integers(0, 2**31), st.integers(3, 60))
@settings(max_examples=60, deadline=None)
def test_concordance_is_lins(seed: int, n: int) -> None:
    random = np.random.default_rng(seed)
    x = random.uniform(-1, 1, n)
    y = 0.6 * x + random.uniform(-0.4, 0.5, n)
    assert metrics.ccc(x, y) == pytest.approx(lins_formula(x, y), abs=1e-9)


def test_concordance_of_constants_is_none() -> None:
    x = np.linspace(-1, 1, 9)
    assert metrics.ccc(x, np.full(9, 0.2)) == 0
    assert metrics.ccc(np.full(9, 0.2), np.full(9, 0.2)) == 0
    assert metrics.ccc(np.array([0.1]), np.array([0.1])) == 0
    assert metrics.ccc(x, x) == pytest.approx(1)
    assert metrics.ccc(x, -x) == pytest.approx(-1)
    assert metrics.ccc(np.append(x, np.nan), np.append(x, 5.0)) == pytest.approx(1)


def test_scores_weigh_f1_and_accuracy() -> None:
    assert metrics.challenge_score(0.3, 0.6) == pytest.approx(0.67 * 0.3 + 0.33 * 0.6)
    assert metrics.authors_score(0.3, 0.6) == pytest.approx(0.66 * 0.3 + 0.33 * 0.6)
    assert metrics.va_score(0.2, 0.6) == pytest.approx(0.4)


def test_calibration_error_is_the_gap_between_confidence_and_accuracy() -> None:
    probs = np.tile([0.8, 0.2, 0, 0, 0, 0, 0], (10, 1))
    truth = np.array([0] * 8 + [1] * 2)
    assert metrics.calibration_error(probs, truth) == pytest.approx(0)
    assert metrics.calibration_error(probs, np.ones(10, int)) == pytest.approx(0.8)
    assert metrics.calibration_error(probs, np.full(10, -1)) == 0
    sure = np.tile([1.0, 0, 0, 0, 0, 0, 0], (4, 1))
    assert metrics.calibration_error(sure, np.array([0, 0, 0, 1])) == pytest.approx(0.25)
