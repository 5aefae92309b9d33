from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.web.buckets import Buckets


def test_means_over_steps_oldest_first_and_only_the_last_few() -> None:
    buckets = Buckets(3, 0.5, 2)
    for at, value in [(0.0, 1.0), (0.4, 3.0), (0.5, 5.0), (1.6, 7.0)]:
        buckets.add(at, (value, -value))
    assert buckets.since(0) == [(1, (5.0, -5.0)), (3, (7.0, -7.0))]
    assert buckets.since(2) == [(3, (7.0, -7.0))]
    assert buckets.mean(1) == (7.0, -7.0)
    assert buckets.mean(3) == (6.0, -6.0)


def test_what_comes_a_little_late_goes_where_it_belongs() -> None:
    buckets = Buckets(4, 1.0, 1)
    buckets.add(3.0, (1.0,))
    buckets.add(1.0, (9.0,))
    assert buckets.since(0) == [(1, (9.0,)), (3, (1.0,))]
    assert buckets.generation == 0


def test_a_clock_that_was_set_back_begins_anew() -> None:
    buckets = Buckets(4, 1.0, 1)
    buckets.add(100.0, (1.0,))
    buckets.add(5.0, (2.0,))
    assert buckets.since(0) == [(5, (2.0,))]
    assert buckets.generation == 1


def test_nothing_is_in_nothing() -> None:
    buckets = Buckets(4, 1.0, 1)
    assert buckets.mean(2) is None
    assert buckets.since(0) == []


@given(st.lists(st.tuples(st.floats(0, 60), st.floats(-1, 1)), min_size=1, max_size=40))
@settings(max_examples=40)
def test_it_agrees_with_a_plain_dictionary(times: list[tuple[float, float]]) -> None:
    buckets, n, step_s = Buckets(200, 0.5, 1), 200, 0.5
    plain: dict[int, list[float]] = {}
    for at, value in times:
        buckets.add(at, (value,))
        plain.setdefault(int(at // step_s), []).append(value)
    assert max(plain) - min(plain) < n
    expected = [(step, sum(values) / len(values)) for step, values in sorted(plain.items())]
    assert [step for step, _ in buckets.since(0)] == [step for step, _ in expected]
    assert [row[0] for _, row in buckets.since(0)] == pytest.approx([mean for _, mean in expected])
