"""When frames are given out that come faster than their time, on a clock that moves only when told to."""

from __future__ import annotations

from itertools import pairwise

import pytest

from streamer.decode.pacing import CATCH_UP, BurstPace, FilePace, Pace

STEP_S = 0.04


def given(pace: Pace, media_s: list[float], ready_s: list[float]) -> list[float]:
    """When each frame is given out: it waits for its turn, and for the frame before."""
    out: list[float] = []
    now_s = 0.0
    for media, ready in zip(media_s, ready_s, strict=True):
        now_s = max(now_s, ready)
        now_s = max(now_s, pace.due_s(media, now_s))
        out.append(now_s)
    return out


def media(n: int) -> list[float]:
    return [index * STEP_S for index in range(n)]


def test_segments_that_come_at_once_are_spread() -> None:
    """50 frames a segment, each segment at the time its first frame is due."""
    ready = [100 + 2.0 * (index // 50) for index in range(200)]
    assert given(BurstPace(), media(200), ready) == pytest.approx([100 + at for at in media(200)])


def test_a_segment_that_is_late_is_caught_up_without_a_burst() -> None:
    ready = [100 + 2.0 * (index // 50) + (0.6 if index // 50 == 1 else 0.0) for index in range(200)]
    out = given(BurstPace(), media(200), ready)
    assert min(after - before for before, after in pairwise(out)) == pytest.approx(CATCH_UP * STEP_S)
    assert out[50] == pytest.approx(102.6)
    assert out[-1] == pytest.approx(100 + media(200)[-1])  # made good


def test_after_a_stall_it_goes_on_from_there() -> None:
    ready = [100 + (7.0 if index >= 50 else 0.0) for index in range(100)]
    out = given(BurstPace(), media(100), ready)
    assert out[50:] == pytest.approx([107 + at for at in media(50)])


def test_a_part_that_is_missing_is_not_waited_for() -> None:
    times = media(50) + [at + 8.0 for at in media(50)]
    out = given(BurstPace(), times, [100.0] * 100)
    last = out[49]
    assert out[50:] == pytest.approx([last + at for at in media(50)])


def test_joined_in_the_middle() -> None:
    times = [at + 500.0 for at in media(50)]
    assert given(BurstPace(), times, [100.0] * 50) == pytest.approx([100 + at for at in media(50)])


def test_files_keep_the_pace_of_their_first_frame() -> None:
    ready = [100 + (0.5 if index >= 5 else 0.0) for index in range(20)]
    assert given(FilePace(), media(20), ready) == pytest.approx(
        [max(100 + at, r) for at, r in zip(media(20), ready, strict=True)]
    )
