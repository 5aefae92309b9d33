from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from streamer.report.decimate import (
    Interval,
    bucket_means,
    evenly,
    extremes,
    fewer_intervals,
    intervals,
    pieces,
)

series = arrays.arrays(np.float32, st.integers(1, 600), elements=st.floats(-1, 1, width=32))


@settings(derandomize=True)
@given(series, st.integers(4, 100))
def test_extremes_keep_ends_least_and_greatest_within_the_bound(y: np.ndarray, max_points: int) -> None:
    at = extremes(y, max_points)
    assert len(at) <= max(max_points, 4)
    assert list(at) == sorted(set(at.tolist()))
    assert at[0] == 0
    assert at[-1] == y.size - 1
    assert y[at].min() == y.min()
    assert y[at].max() == y.max()


def test_a_single_spike_in_a_long_quiet_run_is_kept() -> None:
    y = np.zeros(100_000, np.float32)
    y[54_321] = 1.0
    assert 54_321 in extremes(y, 2000)


@settings(derandomize=True)
@given(st.integers(1, 5000), st.integers(2, 300))
def test_evenly_spread_indices_span_all(n: int, max_points: int) -> None:
    at = evenly(n, max_points)
    assert len(at) == min(n, max_points)
    assert at[0] == 0
    assert at[-1] == n - 1
    assert (np.diff(at) > 0).all()


@settings(derandomize=True)
@given(st.integers(1, 700), st.integers(1, 90), st.integers(0, 99))
def test_means_of_probabilities_still_sum_to_one(n: int, max_points: int, seed: int) -> None:
    probs = np.random.default_rng(seed).dirichlet(np.ones(7), n).astype(np.float32)
    t_s = np.arange(n, dtype=np.float64) / 25
    t, p = bucket_means(t_s, probs, max_points)
    assert len(t) == len(p) == min(n, max_points)
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-5)
    assert (np.diff(t) > 0).all()
    assert t_s[0] <= t[0] + 1e-9
    assert t[-1] <= t_s[-1] + 1e-9


def test_pieces_are_cut_at_holes_only() -> None:
    t_s = np.array([0.0, 0.1, 0.2, 5.0, 5.1, 9.0])
    assert pieces(t_s, 1.0) == [slice(0, 3), slice(3, 5), slice(5, 6)]
    assert pieces(t_s, 10.0) == [slice(0, 6)]


def test_intervals_last_until_the_next_label_or_a_hole() -> None:
    t_s = np.array([0.0, 0.1, 0.2, 0.3, 5.0])
    codes = np.array([4, 4, -1, 0, 0], np.int8)
    assert intervals(t_s, codes, 0.1, 1.0) == [
        Interval(0.0, 0.2, 4),
        Interval(0.2, 0.3, -1),
        Interval(0.3, 0.4, 0),
        Interval(5.0, 5.1, 0),
    ]


@settings(derandomize=True)
@given(st.lists(st.integers(-1, 6), min_size=1, max_size=400), st.integers(1, 60))
def test_fewer_intervals_keep_the_span_and_the_bound(codes: list[int], most: int) -> None:
    t_s = np.arange(len(codes), dtype=np.float64) / 10
    found = intervals(t_s, np.array(codes, np.int8), 0.1, 1.0)
    fewer = fewer_intervals(found, most)
    assert len(fewer) <= max(most, 1)
    assert abs(fewer[0].start_s - found[0].start_s) < 1e-9
    assert abs(fewer[-1].end_s - found[-1].end_s) < 1e-6
    assert all(a.end_s <= b.start_s + 1e-9 for a, b in pairwise(fewer))
    assert {i.code for i in fewer} <= set(codes)


def test_the_longest_label_of_a_slice_wins_and_holes_stay_empty() -> None:
    found = [Interval(0.0, 0.9, 4), Interval(0.9, 1.0, 0), Interval(3.0, 3.1, 0), Interval(3.1, 4.0, 5)]
    assert fewer_intervals(found, 4) == found
    assert fewer_intervals([*found, Interval(4.0, 4.0, 1)], 4) == [Interval(0.0, 1.0, 4), Interval(3.0, 4.0, 5)]
