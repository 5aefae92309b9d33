from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.errors import StreamerError
from streamer.export.frames import Answer, answers
from streamer.messages import Observation
from streamer.types import EXPRESSIONS
from tests.unit.export.seen import seen


def told(observations: list[Observation], n_frames: int) -> list[tuple[str, float, float, bool]]:
    found = list(answers(observations, n_frames))
    assert [answer.frame for answer in found] == list(range(n_frames))
    return [(a.label, a.valence, a.arousal, a.observation is None) for a in found]


def test_a_gap_keeps_the_label_and_goes_straight_in_valence_and_arousal() -> None:
    there = [seen(0, "Happy", valence=0.2, arousal=0.1), seen(4, "Sad", valence=-0.2, arousal=0.5)]
    assert told(there, 5) == [
        ("Happy", 0.2, 0.1, False),
        ("Happy", 0.1, 0.2, True),
        ("Happy", 0.0, 0.3, True),
        ("Happy", -0.1, 0.4, True),
        ("Sad", -0.2, 0.5, False),
    ]


def test_before_the_first_face_and_after_the_last_the_nearest_answer_holds() -> None:
    assert told([seen(2, "Fear", valence=-0.4, arousal=0.6)], 5) == [
        ("Fear", -0.4, 0.6, True),
        ("Fear", -0.4, 0.6, True),
        ("Fear", -0.4, 0.6, False),
        ("Fear", -0.4, 0.6, True),
        ("Fear", -0.4, 0.6, True),
    ]


def test_a_video_without_faces_is_neutral() -> None:
    assert told([], 2) == [("Neutral", 0.0, 0.0, True)] * 2


def test_a_face_of_low_quality_counts_as_none() -> None:
    there = [seen(0, "Happy", valence=0.2), seen(1, None, valence=-0.9), seen(2, "Happy", valence=0.4)]
    assert told(there, 3)[1] == ("Happy", 0.3, 0.0, True)


def test_the_largest_face_of_a_frame_is_the_one_that_counts() -> None:
    there = [
        seen(0, "Happy", track=1, size=0.1),
        seen(0, "Sad", track=2, size=0.3),
        seen(1, "Happy", track=1, size=0.3),
        seen(1, "Sad", track=2, size=0.3),
        seen(2, "Happy", track=1, size=0.1),
        seen(2, None, track=2, size=0.3),
    ]
    assert [(label, filled) for label, _, _, filled in told(there, 3)] == [
        ("Sad", False),
        ("Happy", False),
        ("Happy", True),
    ], "of equal ones the one followed for longer; nobody else speaks for a face that is too poor"


@pytest.mark.parametrize(
    ("there", "says"),
    [
        ([seen(7)], "frame 7 where one from 0 to 4"),
        ([seen(3), seen(1)], "frame 1 where one from 4 to 4"),
        ([seen(None)], "older version"),
    ],
)
def test_records_that_do_not_fit_the_video_are_refused(there: list[Observation], says: str) -> None:
    with pytest.raises(StreamerError, match=says):
        list(answers(there, 5))


@given(st.data())
def test_filled_answers_are_what_whole_columns_say(data: st.DataObject) -> None:
    """Against numpy's interpolation over the whole video at once."""
    n = data.draw(st.integers(1, 40))
    at = sorted(data.draw(st.sets(st.integers(0, n - 1), min_size=1)))
    real = st.floats(-1, 1).map(lambda v: round(v, 6) + 0.0)
    there = [
        seen(frame, data.draw(st.sampled_from(EXPRESSIONS)), valence=data.draw(real), arousal=data.draw(real))
        for frame in at
    ]
    found: list[Answer] = list(answers(there, n))
    every = np.arange(n)
    for name in ("valence", "arousal"):
        expected = np.interp(every, at, [getattr(o, name) for o in there])
        np.testing.assert_allclose([getattr(a, name) for a in found], expected, atol=1e-6)
    before = np.maximum(np.searchsorted(at, every, side="right") - 1, 0)
    assert [a.label for a in found] == [there[k].label for k in before]
    assert [a.frame for a in found if a.observation is not None] == at
