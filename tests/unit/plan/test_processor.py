from __future__ import annotations

import math

import pytest

from streamer.plan.processor import SharedProcessor


def test_a_thread_alone_works_at_the_rate_of_one_core_however_many_there_are() -> None:
    processor: SharedProcessor[str] = SharedProcessor(4)
    processor.begin("a", 2.0, 1.0)
    assert processor.next_s() == 3.0
    assert processor.finish(3.0) == "a"
    assert processor.worked_s == 2.0
    assert processor.next_s() == math.inf


def test_threads_share_what_cores_there_are() -> None:
    processor: SharedProcessor[str] = SharedProcessor(1)
    processor.begin("long", 2.0, 0.0)
    processor.begin("short", 0.5, 1.0)  # long has 1 s left; both at half the rate from here on
    assert processor.next_s() == pytest.approx(2.0)
    assert processor.finish(2.0) == "short"
    assert processor.next_s() == pytest.approx(2.5)
    assert processor.finish(2.5) == "long"
    assert processor.worked_s == pytest.approx(2.5)


def test_three_threads_on_two_cores() -> None:
    processor: SharedProcessor[int] = SharedProcessor(2)
    for number in range(3):
        processor.begin(number, 1.0, 0.0)
    assert processor.next_s() == pytest.approx(1.5)
    assert [processor.finish(1.5), processor.finish(1.5), processor.finish(1.5)] == [0, 1, 2]
    assert processor.worked_s == pytest.approx(3.0)


def test_less_than_a_core_slows_one_thread() -> None:
    processor: SharedProcessor[str] = SharedProcessor(0.5)
    processor.begin("a", 1.0, 0.0)
    assert processor.next_s() == 2.0


def test_work_is_counted_while_it_is_done() -> None:
    processor: SharedProcessor[str] = SharedProcessor(1)
    processor.begin("a", 2.0, 0.0)
    processor.advance(0.5)
    assert processor.worked_s == 0.5


def test_there_is_a_core() -> None:
    with pytest.raises(ValueError, match="cores"):
        SharedProcessor(0)
