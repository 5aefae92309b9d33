"""Every filter: what it promises, and that its graph in the product's engine says what its reference says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engines.runtime import open_head
from engines.spec import HeadSpec, Provenance
from engines.temporal.filters import AnyFilter, Bare, Ema, Filter, Hmm, Hysteresis, Remap, run_filter
from engines.temporal.onnx_graphs import filter_onnx, head_spec
from engines.temporal.running import answers_with
from engines.temporal.sequences import CONTEXT, Floats, Sequences, softmax

PRIOR = (0.4, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1)
RNG = np.random.default_rng(5)
REMAP = Remap(
    weights=tuple(tuple(row) for row in RNG.normal(size=(7, 7)).round(3).tolist()),
    bias=tuple(RNG.normal(size=7).round(3).tolist()),
)
FILTERS: tuple[AnyFilter, ...] = (
    Bare(),
    Bare(remap=REMAP),
    Ema(tau_s=0.2),
    Ema(tau_s=0.4, remap=REMAP),
    Hysteresis(tau_s=0.15, margin=0.1),
    Hmm(dwell_s=3.0, trust=0.6, renewal_s=0.2, prior=PRIOR),
    Hmm(dwell_s=2.0, trust=0.3, renewal_s=0.1, prior=(1 / 7,) * 7, remap=REMAP),
)


def tracks(n: int = 6, steps: int = 60, seed: int = 1) -> Sequences:
    rng = np.random.default_rng(seed)
    context = np.zeros((n, steps, len(CONTEXT)), np.float32)
    context[:, 1:, 0] = rng.uniform(0.0, 1.5, (n, steps - 1)) ** 2  # some of them are 0
    context[:, 1:9, 0] = 0.04
    probs = softmax(rng.normal(0.0, 1.5, (n, steps, 7)))
    probs[0, 7] = [1, 0, 0, 0, 0, 0, 0]
    return Sequences(probs, context, np.zeros((n, steps), np.int64))


def constant(probs: list[list[float]], gap_s: float) -> Sequences:
    """One track that shows the given rows."""
    context = np.zeros((1, len(probs), len(CONTEXT)), np.float32)
    context[:, 1:, 0] = gap_s
    return Sequences(np.array([probs], np.float32), context, np.zeros((1, len(probs)), np.int64))


def two(p: float) -> list[float]:
    return [p, 1 - p, 0, 0, 0, 0, 0]


def in_the_engine(one: AnyFilter, folder: Path, of: Sequences) -> Floats:
    content = filter_onnx(one)
    path = folder / "head.onnx"
    path.write_bytes(content)
    spec: HeadSpec = head_spec(
        content,
        name="filter",
        version="1",
        hidden=7,
        stat="none",
        context=("gap_s",),
        provenance=Provenance(licence="none", origin="here", trained_on="nothing"),
    )
    runner = open_head(path, spec, precision="fp32", batches=(1, 2), cache=folder)
    try:
        return answers_with(runner, spec)(of)
    finally:
        runner.close()


@pytest.mark.parametrize("one", FILTERS, ids=lambda one: one.name)
def test_the_graph_says_what_the_reference_says_at_every_step(one: AnyFilter, tmp_path: Path) -> None:
    of = tracks()
    expected = run_filter(one, of)
    np.testing.assert_allclose(in_the_engine(one, tmp_path, of), expected, atol=2e-5)
    assert np.allclose(expected.sum(-1), 1, atol=1e-5)


def test_the_same_filter_has_the_same_bytes() -> None:
    assert filter_onnx(FILTERS[4]) == filter_onnx(Hysteresis(tau_s=0.15, margin=0.1))
    assert filter_onnx(FILTERS[4]) != filter_onnx(Hysteresis(tau_s=0.15, margin=0.11))


@pytest.mark.parametrize("one", FILTERS[2:], ids=lambda one: one.name)
def test_the_first_answer_rests_on_the_first_observation_alone(one: Filter) -> None:
    of = tracks()
    whole = run_filter(one, of)[:, 0]
    first = run_filter(one, Sequences(of.probs[:, :1], of.context[:, :1], of.labels[:, :1]))[:, 0]
    np.testing.assert_allclose(whole, first, rtol=1e-4, atol=1e-7)
    if one.remap is None:
        assert (whole.argmax(-1) == of.probs[:, 0].argmax(-1)).mean() > 0.5


def test_the_average_forgets_by_seconds_not_by_frames() -> None:
    quick = run_filter(Ema(tau_s=0.5), constant([two(1.0)] + [two(0.0)] * 20, 0.05))[0, 20, 0]
    slow = run_filter(Ema(tau_s=0.5), constant([two(1.0)] + [two(0.0)] * 4, 0.25))[0, 4, 0]
    assert quick == pytest.approx(slow, rel=1e-4) == pytest.approx(np.exp(-2.0), rel=1e-4)


def test_hysteresis_holds_its_label_within_the_margin_and_answers_it() -> None:
    one = Hysteresis(tau_s=1e-4, margin=0.2)  # no smoothing, so the margin alone is seen
    rows = [two(0.6), two(0.45), two(0.35), two(0.5), two(0.65)]
    answers = run_filter(one, constant(rows, 1.0))[0]
    assert answers.argmax(-1).tolist() == [0, 0, 1, 1, 0]
    assert answers[1, 0] > answers[1, 1]


def test_a_hidden_markov_model_turns_sooner_after_a_gap() -> None:
    one = Hmm(dwell_s=2.0, trust=0.2, renewal_s=0.04, prior=(1 / 7,) * 7)
    rows = [two(0.9)] * 10 + [two(0.2)]
    soon, late = constant(rows, 0.04), constant(rows, 0.04)
    late.context[0, -1, 0] = 20.0
    assert run_filter(one, soon)[0, -1].argmax() == 0
    assert run_filter(one, late)[0, -1].argmax() == 1


def test_what_is_correlated_speaks_less() -> None:
    one = Hmm(dwell_s=1e6, trust=1.0, renewal_s=0.4, prior=(1 / 7,) * 7)
    rows = [[1 / 7] * 7] + [two(0.6)] * 8
    often = run_filter(one, constant(rows, 0.05))[0, -1]
    seldom = run_filter(one, constant([rows[0], rows[1]], 0.4))[0, -1]
    np.testing.assert_allclose(often, seldom, atol=1e-4)
