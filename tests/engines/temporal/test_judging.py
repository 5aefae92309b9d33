"""The judge by hand: delays, missed changes, flicker, and the rule that makes a default."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest

from engines.temporal.judging import Figures, changes_of, delays_of, judge
from engines.temporal.sequences import Sequences
from engines.temporal.table import Row, markdown, rows_of, verdict_of


def told(labels: list[list[int]], gap_s: float = 0.5) -> Sequences:
    rows = np.array(labels, np.int64)
    context = np.zeros((*rows.shape, 5), np.float32)
    context[:, 1:, 0] = gap_s
    return Sequences(np.eye(7, dtype=np.float32)[rows], context, rows)


def answers(labels: list[list[int]], p: float = 0.7) -> np.ndarray:
    one = np.full((len(labels), len(labels[0]), 7), (1 - p) / 6, np.float32)
    np.put_along_axis(one, np.array(labels)[..., None], p, -1)
    return one


TRUTH = [[0, 0, 4, 4, 4, 4, 0, 0, 5, 5], [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]]
SAID = [[0, 0, 0, 0, 4, 4, 0, 0, 0, 0], [1, 1, 1, 2, 1, 1, 1, 1, 1, 1]]


def test_delays_count_observations_from_the_change() -> None:
    changes = changes_of(np.array(TRUTH))
    assert [(one.track, one.begin, one.end, one.label) for one in changes] == [
        (0, 2, 6, 4),
        (0, 6, 8, 0),
        (0, 8, 10, 5),
    ]
    assert delays_of(np.array(SAID), changes).tolist() == [2, 0, math.inf]


def test_figures_by_hand() -> None:
    found = judge(answers(SAID), told(TRUTH))
    assert found.accuracy == pytest.approx(15 / 20)
    assert found.missed == pytest.approx(1 / 3)
    assert found.delay == 1.0  # of 0 and 2
    assert found.nll == pytest.approx(-(15 * math.log(0.7) + 5 * math.log(0.05)) / 20, rel=1e-4)
    assert found.changes_per_min == pytest.approx(4 / (18 * 0.5 / 60))  # two in each track
    assert found.true_changes_per_min == pytest.approx(3 / (18 * 0.5 / 60))
    assert found.score == pytest.approx(0.67 * found.macro_f1 + 0.33 * found.accuracy)


def test_what_is_named_only_after_the_expression_is_over_is_missed() -> None:
    found = judge(answers([[0, 0, 0, 4, 4]]), told([[0, 4, 4, 0, 0]]))
    assert found.missed == 1.0


def test_nothing_to_change_is_nothing_missed() -> None:
    found = judge(answers([[3, 3]]), told([[3, 3]]))
    assert (found.missed, found.delay, found.score) == (0.0, 0.0, 1.0)


def row(name: str, **figures: float) -> Row:
    usual = {"score": 0.5, "macro_f1": 0.5, "accuracy": 0.5, "nll": 1.0, "changes_per_min": 1.0}
    usual |= {"true_changes_per_min": 1.0, "missed": 0.2, "delay": 1.0}
    zero = msgspec.convert(dict.fromkeys(usual, 0.0), Figures)
    return Row(name=name, mean=msgspec.convert(usual | figures, Figures), error=zero)


OTHERS = [row("bare", score=0.4), row("ema", score=0.45, missed=0.25), row("hmm", score=0.44)]


@pytest.mark.parametrize(
    ("figures", "default"),
    [
        ({}, "head"),
        ({"score": 0.4799}, "ema"),
        ({"delay": 4.5}, "ema"),
        ({"missed": 0.251}, "ema"),
        ({"nll": 1.01}, "ema"),
        ({"delay": 4.0, "missed": 0.25, "nll": 1.0, "score": 0.4801}, "head"),
    ],
)
def test_the_head_is_the_default_only_when_everything_holds(figures: dict[str, float], default: str) -> None:
    own, good = [*OTHERS, row("head", **figures)], [*OTHERS, row("head")]
    for simulated, spliced in ((own, good), (good, own)):
        verdict = verdict_of(simulated, spliced, "head")
        assert (verdict.default, verdict.best_filter) == (default, "ema")
        assert all(condition.holds for condition in verdict.conditions) == (default == "head")
        assert [one.where for one in verdict.conditions] == ["simulated"] * 4 + ["spliced"] * 4


def test_rows_have_standard_errors_over_sets() -> None:
    sets = [told([[0, 0, 4, 4]]), told([[0, 0, 0, 4]])]

    def always_neutral(of: Sequences) -> np.ndarray:
        return answers([[0, 0, 0, 0]])

    [one] = rows_of({"neutral": always_neutral}, sets)
    assert one.mean.accuracy == pytest.approx((0.5 + 0.75) / 2)
    assert one.error.accuracy == pytest.approx(np.std([0.5, 0.75], ddof=1) / np.sqrt(2))
    assert "| neutral |" in markdown([one])
