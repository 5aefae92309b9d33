"""Counts by size that travel."""

from __future__ import annotations

import msgspec
import pytest

from streamer.counting import INF, Counted, Counting, total

BOUNDS = (1.0, 2.0, INF)


def counted(*values: float) -> Counted:
    counting = Counting(BOUNDS)
    for value in values:
        counting.observe(value)
    return counting.counted


def test_each_bucket_holds_what_is_not_above_its_bound() -> None:
    assert counted(0.5, 1.0, 1.5, 2.0, 99.0) == Counted((2, 2, 1), 104.0)


def test_what_came_since_is_the_difference() -> None:
    before, now = counted(0.5, 1.5), counted(0.5, 1.5, 3.0)
    assert now.since(before) == Counted((0, 0, 1), 3.0)
    assert now.since(Counted()) == now


def test_a_counter_that_began_anew_is_all_news() -> None:
    assert counted(0.5).since(counted(0.5, 1.5)) == counted(0.5)


def test_a_total_is_of_those_that_counted_anything() -> None:
    assert total([counted(0.5), Counted(), counted(3.0)]) == Counted((1, 0, 1), 3.5)
    assert total([Counted()]) == Counted()


def test_it_travels() -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(counted(1.5)), type=Counted) == counted(1.5)
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode({"counts": ["x"]}), type=Counted)
