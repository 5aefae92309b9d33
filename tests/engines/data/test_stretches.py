from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.data import Stretches, lanes_epoch, stretches_epoch
from tests.engines.data.made import frames_of

LENGTHS = st.lists(st.integers(1, 25), min_size=1, max_size=8)


def _each_in_one_video(cut: Stretches, video: np.ndarray) -> None:
    for rows, present, begins in zip(cut.rows, cut.present, cut.begins, strict=True):
        real = rows[present]
        if len(real) == 0:
            continue
        assert present[: len(real)].all(), "padding stands behind"
        assert (np.diff(real) == 1).all()
        assert len(set(video[rows].tolist())) == 1
        starts = real[0] == 0 or video[real[0] - 1] != video[real[0]]
        assert bool(begins) == bool(starts)


@given(lengths=LENGTHS, n=st.integers(1, 12), epoch=st.integers(0, 20), carry=st.booleans())
@settings(derandomize=True, deadline=None, max_examples=150)
def test_an_epoch_has_every_row_once_in_stretches_of_time(lengths: list[int], n: int, epoch: int, carry: bool) -> None:
    frames = frames_of(lengths)
    cut = stretches_epoch(frames.video, n, seed=0, epoch=epoch, carry=carry)
    _each_in_one_video(cut, frames.video)
    assert sorted(cut.rows[cut.present]) == list(range(len(frames)))
    assert cut.rows.shape == cut.present.shape == (len(cut), n)
    assert cut.begins.sum() == len(lengths)
    assert cut.present.any(1).all()


def test_cuts_move_from_epoch_to_epoch_and_come_back_with_it() -> None:
    video = frames_of([40, 40]).video
    cuts = [stretches_epoch(video, 8, seed=3, epoch=e) for e in range(6)]
    assert len({tuple(sorted(cut.rows[:, 0])) for cut in cuts}) > 1
    assert (stretches_epoch(video, 8, seed=3, epoch=4).rows == cuts[4].rows).all()


@given(lengths=LENGTHS, n=st.integers(1, 9), n_lanes=st.integers(1, 5), epoch=st.integers(0, 9))
@settings(derandomize=True, deadline=None, max_examples=150)
def test_a_lane_goes_on_where_it_stopped_or_begins_a_video(
    lengths: list[int], n: int, n_lanes: int, epoch: int
) -> None:
    frames = frames_of(lengths)
    steps = list(lanes_epoch(frames.video, n, n_lanes, seed=0, epoch=epoch))
    seen: list[int] = []
    last = np.full(n_lanes, -1)
    for step in steps:
        assert step.rows.shape == (n_lanes, n)
        _each_in_one_video(step, frames.video)
        for lane in range(n_lanes):
            real = step.rows[lane][step.present[lane]]
            if len(real) and not step.begins[lane]:
                assert real[0] == last[lane] + 1
                assert frames.video[real[0]] == frames.video[last[lane]]
            if len(real):
                last[lane] = real[-1]
            seen.extend(real.tolist())
    assert sorted(seen) == list(range(len(frames)))


def test_videos_are_dealt_to_lanes_evenly() -> None:
    video = frames_of([12] * 9).video
    steps = list(lanes_epoch(video, 4, 3, seed=0, epoch=0))
    assert len(steps) == 9, "27 stretches in 3 lanes"
    assert all(step.present.all() for step in steps)


def test_an_empty_set_has_no_stretches() -> None:
    nothing = np.zeros(0, np.int32)
    assert len(stretches_epoch(nothing, 4, seed=0, epoch=0)) == 0
    assert list(lanes_epoch(nothing, 4, 2, seed=0, epoch=0)) == []
