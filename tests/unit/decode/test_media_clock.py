"""Media time against a model that knows the true time and mangles the stamps as sources do."""

from __future__ import annotations

import copy
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.decode.media_clock import MAX_GAP_S, MediaClock

TICKS = Fraction(1, 90000)
ANY_PTS = st.one_of(st.none(), st.integers(-(2**40), 2**40), st.integers(-5, 5), st.sampled_from([2**32, 2**33 - 1]))


@given(st.lists(st.tuples(ANY_PTS, st.integers(-5, 10**6) | st.none()), max_size=60))
@settings(derandomize=True, deadline=None)
def test_whatever_comes_time_goes_forward_and_no_pair_repeats(stamps: list[tuple[int | None, int | None]]) -> None:
    clock = MediaClock(TICKS, 3600)
    moments = [clock.place(pts, duration) for pts, duration in stamps]
    assert len({moment[:2] for moment in moments}) == len(moments)
    for before, after in pairwise(moments):
        assert after.media_time_s > before.media_time_s
        assert after.media_time_s - before.media_time_s <= max(MAX_GAP_S, 10**6 / 90000)
        assert after.segment - before.segment in (0, 1)
    for moment, (pts, _) in zip(moments, stamps, strict=True):
        assert pts is None or moment.pts == pts
    assert not moments or moments[0].media_time_s == 0.0


@given(
    before_the_end=st.integers(1, 90000 * 1200),
    steps=st.lists(st.integers(1, 90000 * 60), min_size=1, max_size=40),
    bits=st.sampled_from([32, 33]),
)
@settings(derandomize=True, deadline=None)
def test_a_counter_that_wraps_loses_no_time(before_the_end: int, steps: list[int], bits: int) -> None:
    clock = MediaClock(TICKS, 3600)
    true = [(1 << bits) - before_the_end]
    for step in steps:
        true.append(true[-1] + step)
    moments = [clock.place(count % (1 << bits)) for count in true]
    for count, moment in zip(true, moments, strict=True):
        assert moment.media_time_s == pytest.approx((count - true[0]) / 90000, abs=1e-9)
    assert moments[-1].segment == true[-1] >> bits


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 20)), min_size=1, max_size=6))
@settings(derandomize=True, deadline=None)
def test_each_reset_is_a_segment_that_starts_one_frame_later(runs: list[tuple[int, int]]) -> None:
    """Runs of frames 3600 ticks apart, each starting anywhere more than a frame before the end of the last."""
    clock = MediaClock(TICKS, 3600)
    end = None
    n = 0
    for segment, (start, length) in enumerate(runs):
        start = start if end is None else min(start, end - 3601)
        for i in range(length):
            moment = clock.place(start + 3600 * i, 3600)
            assert moment.segment == segment
            assert moment.media_time_s == pytest.approx(n * 0.04)
            n += 1
        end = start + 3600 * (length - 1)


def test_gaps_are_time_and_absurd_gaps_are_not() -> None:
    clock = MediaClock(Fraction(1, 1000), 40)
    assert clock.place(500, 40) == (0, 500, 0.0)
    assert clock.place(60_500, 40) == (0, 60_500, 60.0)
    assert clock.place(60_500 + 3_600_000, 40) == (0, 3_660_500, 3660.0)
    assert clock.place(3_660_500 + 3_600_001, 40) == (1, 7_260_501, 3660.04)


def test_without_time_stamps_frames_follow_their_durations() -> None:
    clock = MediaClock(Fraction(1, 1000), 40)
    assert clock.place(None) == (0, 0, 0.0)
    assert clock.place(None, 100) == (0, 40, 0.04)
    assert clock.place(None) == (0, 140, 0.14)
    assert clock.place(180) == (0, 180, 0.18)
    assert clock.place(180) == (1, 180, 0.22)


@given(st.lists(ANY_PTS, min_size=2, max_size=30), st.integers(1, 29))
@settings(derandomize=True, deadline=None)
def test_a_copy_resumes_exactly(stamps: list[int | None], at: int) -> None:
    clock = MediaClock(TICKS, 3600)
    for pts in stamps[:at]:
        clock.place(pts)
    other = copy.copy(clock)
    assert [clock.place(pts) for pts in stamps[at:]] == [other.place(pts) for pts in stamps[at:]]


def test_years_of_media_time_stay_exact() -> None:
    clock = MediaClock(TICKS, 3600, max_gap_s=2 * 10**9)
    clock.place(-90000 * 10**9)
    assert clock.place(0).media_time_s == 10**9
    first, second = clock.place(3600, 3600), clock.place(7200, 3600)
    assert second.media_time_s - first.media_time_s == pytest.approx(0.04, abs=1e-6)
