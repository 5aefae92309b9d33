from __future__ import annotations

import numpy as np
import pytest

from streamer.faces.motion import Measured, Motion, box_of, measured_of, size_of


def measured(x: float, y: float = 0.0, noise: float = 1.0) -> Measured:
    return Measured((x, y, np.log(50.0), np.log(60.0)), noise)


def test_boxes_and_positions_are_the_same_thing() -> None:
    (one,) = measured_of(np.array([[10, 20, 60, 100]], np.float32), np.array([50], np.float32))
    assert box_of(one.position) == pytest.approx((10, 20, 60, 100))
    assert size_of(one.position) == pytest.approx((50 * 80) ** 0.5)


@pytest.mark.parametrize(("face_px", "noise"), [(200, 1.0), (40, 1.0), (20, 2.0), (10, 4.0), (0, 40.0)])
def test_faces_of_few_pixels_are_measured_worse(face_px: float, noise: float) -> None:
    (one,) = measured_of(np.array([[0, 0, 9, 9]], np.float32), np.array([face_px], np.float32))
    assert one.noise == pytest.approx(noise)


def test_the_velocity_is_learnt_and_used() -> None:
    track = Motion.starting(measured(0))
    for k in range(1, 26):
        track.predict(0.04)
        track.correct(measured(4 * k))  # 100 px/s
    track.predict(0.2)
    assert track.position[0] == pytest.approx(100 + 20, abs=3)


def test_one_long_step_is_as_many_short_ones() -> None:
    once, often = Motion.starting(measured(0)), Motion.starting(measured(0))
    for track in (once, often):
        track.predict(0.04)
        track.correct(measured(10, 5))
    once.predict(0.4)
    for _ in range(40):
        often.predict(0.01)
    for a, b in zip(once.state, often.state, strict=True):
        assert a == pytest.approx(b, rel=1e-6)


def test_uncertainty_grows_unseen_and_shrinks_seen() -> None:
    track = Motion.starting(measured(0))
    track.correct(measured(0))
    before = track.variances(measured(0))
    track.predict(0.5)
    unseen = track.variances(measured(0))
    track.correct(measured(0))
    seen = track.variances(measured(0))
    assert all(b < u and s < u for b, u, s in zip(before, unseen, seen, strict=True))


def test_a_face_out_of_sight_does_not_run_off_for_ever() -> None:
    track = Motion.starting(measured(0))
    for k in range(1, 26):
        track.predict(0.04)
        track.correct(measured(4 * k))
    track.predict(1000.0)
    assert track.position[0] < 100 + 100 * 2.2


def test_no_time_is_no_change() -> None:
    track = Motion.starting(measured(0))
    state = [list(values) for values in track.state]
    track.predict(0.0)
    track.predict(-1.0)
    assert track.state == state
