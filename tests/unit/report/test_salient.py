from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from streamer.report.salient import changes, holds, salient, turns
from streamer.types import EXPRESSIONS
from tests.unit.report.made_up import series, steps

NEUTRAL, ANGRY, HAPPY, SAD = (EXPRESSIONS.index(name) for name in ("Neutral", "Angry", "Happy", "Sad"))


def test_a_step_is_one_change_where_it_happens_and_as_great_as_it_is() -> None:
    track = series(valence=steps((50, -0.3), (50, 0.3)), arousal=steps((50, 0.0), (50, 0.8)))
    [change] = changes(track)
    assert (change.kind, change.at_s, change.end_s) == ("change", 5.0, 5.0)
    assert change.strength == pytest.approx(1.0, abs=1e-6)
    assert (change.valence, change.arousal) == pytest.approx((0.6, 0.8), abs=1e-6)


def test_changes_come_strongest_first_and_a_weak_one_beside_a_strong_one_falls() -> None:
    valence = steps((30, 0.0), (30, 0.3), (10, 0.9), (60, 0.6), (70, 0.0))
    found = changes(series(200, valence=valence))
    assert [m.at_s for m in found] == [6.0, 13.0, 3.0]
    assert [round(m.strength, 3) for m in found] == [0.6, 0.6, 0.3], "the fall at 7.0 s is too near the rise at 6.0 s"


def test_small_and_slow_moves_are_no_changes() -> None:
    assert changes(series(valence=steps((50, 0.0), (50, 0.19)))) == []
    assert changes(series(600, valence=np.linspace(-0.9, 0.9, 600))) == [], "60 s from end to end"
    assert changes(series(valence=0.4)) == []


def test_no_change_is_seen_across_a_hole_nor_in_low_quality() -> None:
    stepped = series(valence=steps((50, -0.5), (50, 0.5)))
    t_s = stepped.t_s.copy()
    t_s[50:] += 3.0
    assert changes(replace(stepped, t_s=t_s)) == []
    blinded = series(valence=steps((50, 0.0), (20, 0.9), (30, 0.0)), low=steps((50, 0), (20, 1), (30, 0)) > 0)
    assert changes(blinded) == []


def test_a_change_needs_both_sides() -> None:
    assert changes(series(5, valence=steps((2, 0.0), (3, 1.0)))) == []
    [late] = changes(series(100, valence=steps((4, 0.0), (96, 1.0))))
    assert (late.at_s, late.strength) == (0.6, 0.666667), "half a second of before is needed: 4 of its 6 were 0"
    [whole] = changes(series(100, valence=steps((6, 0.0), (94, 1.0))))
    assert (whole.at_s, whole.strength) == (0.6, 1.0)


def test_a_turn_is_as_strong_as_its_weaker_side() -> None:
    labels = steps((50, NEUTRAL), (50, HAPPY))
    track = series(labels=labels, confidence=steps((40, 0.3), (10, 0.95), (10, 0.8), (40, 0.2)))
    [turn] = turns(track)
    assert (turn.at_s, turn.before, turn.after) == (5.0, NEUTRAL, HAPPY)
    assert turn.strength == pytest.approx(0.8, abs=1e-6), "only the second before and the second after count"


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        (steps((50, NEUTRAL), (4, HAPPY), (46, SAD)), "0.4 s are no label held"),
        (steps((50, NEUTRAL), (10, -1), (40, HAPPY)), "what lies between was not labelled"),
        (steps((100, SAD)), "nothing changed"),
    ],
)
def test_what_is_no_turn(labels: np.ndarray, why: str) -> None:
    assert turns(series(labels=labels)) == [], why


def test_unsure_turns_and_those_across_a_hole_do_not_count() -> None:
    labels = steps((50, NEUTRAL), (50, HAPPY))
    assert turns(series(labels=labels, confidence=0.59)) == []
    track = series(labels=labels)
    assert len(turns(track)) == 1
    t_s = track.t_s.copy()
    t_s[50:] += 1.0
    assert turns(replace(track, t_s=t_s)) == []


def test_holds_are_unbroken_and_the_longest_of_each_expression_is_told() -> None:
    labels = steps((30, HAPPY), (20, SAD), (40, HAPPY), (9, ANGRY), (1, HAPPY))
    track = series(labels=labels)
    assert [(m.after, m.at_s, m.end_s, m.strength) for m in holds(track)] == [
        (HAPPY, 5.0, 9.0, 4.0),
        (HAPPY, 0.0, 3.0, 3.0),
        (SAD, 3.0, 5.0, 2.0),
    ]
    assert [(m.after, m.strength) for m in salient([track])["hold"]] == [(HAPPY, 4.0), (SAD, 2.0)]


def test_a_hole_ends_a_hold() -> None:
    track = series(labels=HAPPY)
    t_s = track.t_s.copy()
    t_s[60:] += 10.0
    assert [m.strength for m in holds(replace(track, t_s=t_s))] == [6.0, 4.0]


def test_only_so_many_are_told_and_equals_come_in_order_of_time_and_track() -> None:
    up_and_down = np.tile(steps((30, 0.0), (30, 0.5)), 10)
    tracks = [series(600, number=number, valence=up_and_down) for number in (2, 1)]
    found = salient(tracks, per_kind=5)["change"]
    assert [(m.at_s, m.key.number) for m in found] == [(3.0, 1), (3.0, 2), (6.0, 1), (6.0, 2), (9.0, 1)]


def test_the_same_series_give_the_same_moments_and_nothing_gives_none() -> None:
    random = np.random.default_rng(5)
    walk = np.clip(np.cumsum(random.normal(0, 0.05, 5000)), -1, 1)
    track = series(5000, valence=walk, labels=(walk > 0).astype(int))
    assert salient([track]) == salient([track])
    assert salient([]) == {"change": [], "turn": [], "hold": []}
    assert salient([series(1)]) == {"change": [], "turn": [], "hold": []}
