from __future__ import annotations

import copy
import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.config import TrackSettings
from streamer.errors import SnapshotRefused
from streamer.faces.track import Tracker
from streamer.types import Detections, TrackUpdate
from tests.unit.faces.scripted import Face, detections

STEP_S = 1 / 25


def face(x: float, y: float = 100.0, size: float = 60.0, score: float = 0.9) -> Face:
    """A detection centred at x, y."""
    return (x - size / 2, y - size * 0.6, x + size / 2, y + size * 0.6, score)


def numbers(update: TrackUpdate) -> list[int]:
    return [one.track for one in update.faces]


def at(update: TrackUpdate, x: float) -> int:
    """The track whose box is centred nearest to x."""
    return min(update.faces, key=lambda one: abs(float(one.box_xyxy[0] + one.box_xyxy[2]) / 2 - x)).track


def test_a_face_is_a_track_at_once_and_keeps_its_number() -> None:
    tracker = Tracker(TrackSettings())
    first = tracker.update(detections(face(100)), 0.0)
    assert (numbers(first), first.started, first.ended) == ([1], (1,), ())
    for k in range(1, 50):
        later = tracker.update(detections(face(100 + 3 * k)), k * STEP_S)
        assert (numbers(later), later.started, later.ended) == ([1], (), ())


def test_what_is_reported_is_the_detection_itself() -> None:
    found = detections(face(300, score=0.7), face(100, score=0.6))
    update = Tracker(TrackSettings()).update(found, 0.0)
    assert numbers(update) == [1, 2]
    np.testing.assert_array_equal(update.faces[0].box_xyxy, found.boxes_xyxy[0])
    np.testing.assert_array_equal(update.faces[1].points_xy, found.points_xy[1])
    assert update.faces[1].score == float(found.scores[1])
    assert update.faces[0].face_px == 50.0


def test_a_lost_face_ends_after_the_set_time_and_a_new_one_gets_a_new_number() -> None:
    tracker = Tracker(TrackSettings(lost_after_s=0.5))
    tracker.update(detections(face(100)), 0.0)
    assert tracker.update(Detections.none(), 0.5).ended == ()
    assert tracker.update(Detections.none(), 0.501).ended == (1,)
    assert tracker.update(Detections.none(), 0.6).ended == ()
    assert tracker.update(detections(face(100)), 0.7).started == (2,)


def test_a_face_that_comes_back_after_its_time_is_another_track_in_the_same_frame() -> None:
    tracker = Tracker(TrackSettings(lost_after_s=0.5))
    tracker.update(detections(face(100)), 0.0)
    back = tracker.update(detections(face(100)), 60.0)
    assert (back.ended, back.started, numbers(back)) == ((1,), (2,), [2])


@pytest.mark.parametrize("fps", [5, 10, 30, 60])
def test_lifetimes_are_seconds_whatever_the_frame_rate(fps: int) -> None:
    tracker = Tracker(TrackSettings(lost_after_s=1.0))
    tracker.update(detections(face(100)), 0.0)
    ended_s = next(k / fps for k in range(1, 10 * fps) if tracker.update(Detections.none(), k / fps).ended)
    assert 1.0 < ended_s <= 1.0 + 1 / fps + 1e-9


def test_a_walking_face_is_found_again_behind_a_pillar() -> None:
    """It comes out two face sizes further on: only its motion says that it is the same."""
    tracker = Tracker(TrackSettings())
    speed = 150.0  # px/s, 2.5 sizes
    for k in range(100):
        t = k * STEP_S
        hidden = 2.0 <= t < 2.8
        update = tracker.update(Detections.none() if hidden else detections(face(50 + speed * t)), t)
        assert numbers(update) == ([] if hidden else [1])


def test_crossing_faces_keep_their_numbers() -> None:
    tracker = Tracker(TrackSettings())
    for k in range(100):
        t = k * STEP_S
        left, right = 100 + 120 * t, 580 - 120 * t
        both = abs(left - right) > 40  # closer than that, the nearer hides the other
        found = [face(left, size=80)] + ([face(right, size=64)] if both else [])
        update = tracker.update(detections(*found), t)
        assert at(update, left) == 1
        if both:
            assert at(update, right) == 2
    assert tracker.finish() == (1, 2)


def test_a_neighbour_never_takes_over_a_track_whose_face_was_missed() -> None:
    tracker = Tracker(TrackSettings())
    for k in range(10):
        tracker.update(detections(face(100), face(400)), k * STEP_S)
    update = tracker.update(detections(face(145, 80), face(400)), 10 * STEP_S)
    assert numbers(update) == [2, 3]


def test_weak_detections_carry_tracks_on_but_begin_none() -> None:
    tracker = Tracker(TrackSettings(new_track_score=0.5))
    assert tracker.update(detections(face(100, score=0.4)), 0.0) == TrackUpdate()
    assert numbers(tracker.update(detections(face(100, score=0.6)), 0.04)) == [1]
    update = tracker.update(detections(face(400, score=0.45), face(102, score=0.4)), 0.08)
    assert numbers(update) == [1]
    assert update.faces[0].score == pytest.approx(0.4)


def test_a_strong_detection_has_the_first_choice() -> None:
    tracker = Tracker(TrackSettings())
    tracker.update(detections(face(100)), 0.0)
    update = tracker.update(detections(face(104, score=0.9), face(100, score=0.4)), 0.04)
    assert numbers(update) == [1]
    assert update.faces[0].score == pytest.approx(0.9)


def test_confirmation_hides_what_does_not_last() -> None:
    tracker = Tracker(TrackSettings(confirm_after_s=0.1))
    updates = [tracker.update(detections(face(100)), k * STEP_S) for k in range(4)]
    assert [numbers(update) for update in updates] == [[], [], [], [1]]
    assert [update.started for update in updates] == [(), (), (), (1,)]
    flash = tracker.update(detections(face(100), face(500)), 4 * STEP_S)
    assert numbers(flash) == [1]
    for k in range(5, 60):
        assert tracker.update(detections(face(100)), k * STEP_S).ended == ()
    assert tracker.finish() == (1,)


def test_what_was_never_told_of_does_not_end() -> None:
    tracker = Tracker(TrackSettings(confirm_after_s=0.1))
    assert tracker.update(detections(face(100)), 0.0) == TrackUpdate()
    assert tracker.finish() == ()


def test_finish_ends_every_living_track_once() -> None:
    tracker = Tracker(TrackSettings())
    tracker.update(detections(face(100), face(400)), 0.0)
    assert tracker.finish() == (1, 2)
    assert tracker.finish() == ()
    assert tracker.update(detections(face(100)), 0.04).started == (3,)


def test_two_frames_at_one_time_and_times_that_go_back() -> None:
    tracker = Tracker(TrackSettings())
    for t in (1.0, 1.0, 0.5, 1.04):
        assert numbers(tracker.update(detections(face(100)), t)) == [1]


def test_boxes_without_area_and_specks_do_no_harm() -> None:
    tracker = Tracker(TrackSettings())
    for t in (0.0, 0.04):
        update = tracker.update(detections((5, 5, 5, 5, 0.9), (50, 50, 50.1, 90, 0.8), face_px=0.0), t)
        assert len(update.faces) == 2


frame = st.lists(
    st.tuples(
        st.floats(0, 600, width=32),
        st.floats(0, 400, width=32),
        st.floats(10, 120, width=32),
        st.floats(0.25, 1.0, width=32),
    ),
    max_size=5,
)
frames = st.lists(st.tuples(st.floats(0, 0.6), frame), min_size=1, max_size=14)


def play(tracker: Tracker, script: list[tuple[float, list[tuple[float, float, float, float]]]], from_s: float) -> bytes:
    """Every update's words and bytes."""
    told: list[object] = []
    now_s = from_s
    for gap_s, faces in script:
        now_s += gap_s
        update = tracker.update(detections(*(face(*one) for one in faces)), now_s)
        told.append((numbers(update), update.started, update.ended, [one.box_xyxy.tobytes() for one in update.faces]))
    return msgspec.msgpack.encode(told)


@settings(derandomize=True, deadline=None)
@given(frames, frames, st.sampled_from([0.0, 0.1]))
def test_a_restored_tracker_goes_on_bit_for_bit(
    before: list[tuple[float, list[tuple[float, float, float, float]]]],
    after: list[tuple[float, list[tuple[float, float, float, float]]]],
    confirm_after_s: float,
) -> None:
    limits = TrackSettings(confirm_after_s=confirm_after_s)
    whole = Tracker(limits)
    play(whole, before, 0.0)
    saved = whole.snapshot()
    kept = copy.deepcopy(saved)
    resumed = Tracker(limits)
    resumed.restore(saved)
    from_s = sum(gap_s for gap_s, _ in before)
    assert play(whole, after, from_s) == play(resumed, after, from_s)
    for key, value in kept.items():  # a snapshot does not change while its tracker goes on
        np.testing.assert_array_equal(saved[key], value)
    one, other = whole.snapshot(), resumed.snapshot()
    assert all(np.asarray(one[key]).tobytes() == np.asarray(other[key]).tobytes() for key in one)


@settings(derandomize=True, deadline=None)
@given(frames)
def test_numbers_rise_and_every_track_begins_and_ends_once(
    script: list[tuple[float, list[tuple[float, float, float, float]]]],
) -> None:
    tracker = Tracker(TrackSettings())
    living: set[int] = set()
    highest, now_s = 0, 0.0
    for gap_s, faces in script:
        now_s += gap_s
        found = detections(*(face(*one) for one in faces))
        update = tracker.update(found, now_s)
        assert set(update.ended) <= living
        living -= set(update.ended)
        assert list(update.started) == list(range(highest + 1, highest + 1 + len(update.started)))
        highest += len(update.started)
        living |= set(update.started)
        assert numbers(update) == sorted(set(numbers(update)))
        assert set(numbers(update)) <= living
        strong = int((found.scores >= 0.5).sum())
        assert len(update.faces) >= strong  # a confident face is always somebody's
    assert set(tracker.finish()) == living


def test_a_snapshot_survives_plain_lists() -> None:
    tracker = Tracker(TrackSettings())
    tracker.update(detections(face(100), face(300)), 0.0)
    plain = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in tracker.snapshot().items()}
    other = Tracker(TrackSettings())
    other.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(plain)))
    assert numbers(other.update(detections(face(302)), 0.04)) == [2]


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        ({"version": 2}, "version"),
        ({"version": None}, "version"),
        ({"number": np.array([2, 1])}, "rise"),
        ({"number": np.array([1, 9])}, "rise"),
        ({"number": np.array([1])}, "damaged"),
        ({"motion": np.zeros((2, 3))}, "damaged"),
        ({"motion": np.full((2, 4, 5), math.nan)}, "finite"),
        ({"born_s": "soon"}, "damaged"),
        ({"next_number": None}, "damaged"),
    ],
)
def test_a_damaged_snapshot_is_refused_and_changes_nothing(damage: dict[str, object], text: str) -> None:
    tracker = Tracker(TrackSettings())
    tracker.update(detections(face(100), face(300)), 0.0)
    bad = tracker.snapshot() | damage
    with pytest.raises(SnapshotRefused, match=text):
        tracker.restore(bad)
    with pytest.raises(SnapshotRefused):
        tracker.restore({key: value for key, value in tracker.snapshot().items() if key != "seen_s"})
    assert numbers(tracker.update(detections(face(100), face(300)), 0.04)) == [1, 2]


def test_time_in_which_nobody_looked_ends_no_track() -> None:
    tracker = Tracker(TrackSettings(lost_after_s=1.0))
    tracker.update(detections(face(100)), 0.0)
    tracker.unwatched_until(20.0)
    update = tracker.update(detections(face(102)), 20.0)
    assert ([face.track for face in update.faces], update.ended) == ([1], ())
    assert tracker.update(Detections.none(), 20.9).ended == ()
    assert tracker.update(Detections.none(), 21.1).ended == (1,)
    tracker.unwatched_until(5.0)
    assert [face.track for face in tracker.update(detections(face(100)), 22.0).faces] == [2]
