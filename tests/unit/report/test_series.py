from __future__ import annotations

import random

import numpy as np
import pytest

from streamer.report.series import UNLABELLED, TrackKey, gather, shares
from streamer.types import EXPRESSIONS
from tests.synthetic_run import RUN, make_run


def test_each_track_becomes_one_series_in_order_of_time() -> None:
    run = make_run()
    series = gather(run.observations)
    assert list(series) == [
        TrackKey(RUN, "interview-02.mp4", 0, 1),
        TrackKey(RUN, "lobby camera.mp4", 0, 1),
        TrackKey(RUN, "lobby camera.mp4", 0, 2),
    ]
    assert sum(s.n for s in series.values()) == len(run.observations)
    track = series[TrackKey(RUN, "lobby camera.mp4", 0, 2)]
    wanted = [o for o in run.observations if o.stream == "lobby camera.mp4" and o.track.number == 2]
    np.testing.assert_allclose(track.t_s, [o.media_time_s for o in wanted])
    np.testing.assert_allclose(track.probs, [o.probs for o in wanted], atol=1e-6)
    np.testing.assert_allclose(track.arousal, [o.arousal for o in wanted], atol=1e-6)
    assert [EXPRESSIONS[code] for code in track.labels] == [o.label for o in wanted]
    assert track.step_s == pytest.approx(0.04)


def test_order_and_repetition_of_records_change_nothing() -> None:
    run = make_run(n_frames=100)
    twice = run.observations + run.observations[::3]
    random.Random(7).shuffle(twice)
    expected, found = gather(run.observations), gather(twice)
    assert list(expected) == list(found)
    for key, series in expected.items():
        np.testing.assert_array_equal(series.t_s, found[key].t_s)
        np.testing.assert_array_equal(series.probs, found[key].probs)


def test_low_quality_is_not_trusted_unless_there_is_nothing_else() -> None:
    run = make_run()
    track = gather(run.observations)[TrackKey(RUN, "interview-02.mp4", 0, 1)]
    assert track.low.sum() == 55
    assert (track.labels[track.low] == UNLABELLED).all()
    assert track.trusted.size == track.n - 55
    poor = gather(o for o in run.observations if o.quality == "low")
    assert all(s.trusted.size == s.n for s in poor.values())


def test_shares_count_the_unlabelled_too() -> None:
    assert shares(np.array([0, 4, 4, -1], np.int8)) == (0.25, 0, 0, 0, 0.5, 0, 0, 0.25)
    assert shares(np.zeros(0, np.int8)) == (0.0,) * 8
