from __future__ import annotations

import random
from itertools import pairwise

import pytest

from streamer.export.labels import Pace, Stretches, face_name, pace_of
from streamer.messages import Observation, Track
from streamer.types import EXPRESSIONS
from tests.unit.export.seen import STEP_S, seen

PACE = Pace(STEP_S)


def stretches(observations: list[Observation], hold_s: float = 0.0) -> list[tuple[int, str, float, float]]:
    found = Stretches(PACE, hold_s).of(observations)
    return [(s.track.number, s.label, round(s.start_s, 6), round(s.end_s, 6)) for s in found]


def labels(text: str, first: int = 0, track: int = 1) -> list[Observation]:
    """One observation a letter: h, s, n or - for none."""
    words = {"h": "Happy", "s": "Sad", "n": "Neutral", "-": None}
    return [seen(first + k, words[letter], track=track) for k, letter in enumerate(text)]


def test_runs_of_a_label_are_one_stretch_that_ends_where_the_next_begins() -> None:
    assert stretches(labels("hhsss")) == [(1, "Happy", 0.0, 0.08), (1, "Sad", 0.08, 0.2)]


def test_what_has_no_label_is_a_hole() -> None:
    assert stretches(labels("hh--h")) == [(1, "Happy", 0.0, 0.08), (1, "Happy", 0.16, 0.2)]


def test_a_face_that_was_away_begins_anew() -> None:
    there = labels("hh") + labels("hh", first=20)
    assert stretches(there) == [(1, "Happy", 0.0, 0.08), (1, "Happy", 0.8, 0.88)]
    assert stretches(labels("hh") + labels("hh", first=8)) == [(1, "Happy", 0.0, 0.4)], "half a second is no hole"


def test_faces_are_told_apart() -> None:
    both = sorted(labels("hhh") + labels("sss", track=2), key=lambda o: o.media_time_s)
    assert sorted(stretches(both)) == [(1, "Happy", 0.0, 0.12), (2, "Sad", 0.0, 0.12)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hhhhsshhhh", [("Happy", 0, 10)]),
        ("hhhhsssshhhh", [("Happy", 0, 4), ("Sad", 4, 8), ("Happy", 8, 12)]),
        ("sshhhh", [("Happy", 0, 6)]),
        ("hhhhs", [("Happy", 0, 5)]),
        ("hhhh-hhhh", [("Happy", 0, 9)]),
        ("hhhhsnsnsnsshhhh", [("Happy", 0, 16)]),
        ("hs", [("Happy", 0, 2)]),
        ("-", []),
    ],
)
def test_a_label_that_does_not_hold_goes_to_the_longer_beside_it(
    text: str, expected: list[tuple[str, int, int]]
) -> None:
    found = [
        (label, round(start / STEP_S), round(end / STEP_S)) for _, label, start, end in stretches(labels(text), 0.12)
    ]
    assert found == expected


def test_without_hold_every_observation_lies_in_the_one_stretch_that_has_its_label() -> None:
    chance = random.Random(5)
    there = [
        seen(frame, chance.choice([*EXPRESSIONS[:3], None]), track=track)
        for frame in range(300)
        for track in (1, 2, 3)
        if chance.random() > 0.15
    ]
    found = list(Stretches(PACE).of(there))
    for o in there:
        around = [s.label for s in found if s.track == o.track and s.start_s <= o.media_time_s < s.end_s]
        assert around == ([] if o.label is None else [o.label]), o
    for track in (1, 2, 3):
        own = [s for s in found if s.track.number == track]
        assert all(before.end_s <= after.start_s + 1e-9 for before, after in pairwise(own))


def test_tracks_that_are_over_are_forgotten() -> None:
    following = Stretches(PACE)
    list(following.of(seen(100 * k, track=k) for k in range(50)))
    assert following._lives == {}
    stepwise = Stretches(PACE)
    for k in range(50):
        list(stepwise._take(seen(100 * k, track=k)))
        assert len(stepwise._lives) == 1


def test_the_pace_is_the_usual_step() -> None:
    assert pace_of(labels("hhhhh")).step_s == pytest.approx(STEP_S)
    assert pace_of([]).step_s == 0.04
    assert Pace(1.0).gap_s == 4.0
    assert PACE.gap_s == 0.5
    assert (PACE.end_s(1.0, 1.4), PACE.end_s(1.0, 1.6), PACE.end_s(1.0, None)) == (1.4, 1.04, 1.04)


def test_a_live_face_is_named_with_its_epoch() -> None:
    assert face_name(Track(epoch=0, number=3)) == "Face 3"
    assert face_name(Track(epoch=12, number=3)) == "Face 12/3"
