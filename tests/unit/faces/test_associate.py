from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.faces.associate import assign, plausible_pairs
from streamer.faces.motion import Motion, measured_of

pairs = st.dictionaries(st.tuples(st.integers(0, 3), st.integers(0, 3)), st.integers(-20, 20).map(float), max_size=12)


def best_by_hand(costs: dict[tuple[int, int], float], tracks: list[int], faces: list[int]) -> tuple[int, float]:
    """Most pairs, then least cost, by trying everything."""
    best = (0, 0.0)
    for n in range(1, min(len(tracks), len(faces)) + 1):
        for rows in itertools.combinations(tracks, n):
            for columns in itertools.permutations(faces, n):
                chosen = list(zip(rows, columns, strict=True))
                if all(pair in costs for pair in chosen):
                    best = max(best, (n, -sum(costs[pair] for pair in chosen)))
    return best


@settings(derandomize=True)
@given(pairs, st.sets(st.integers(0, 3)), st.sets(st.integers(0, 3)))
def test_as_many_as_can_be_at_the_least_cost(
    costs: dict[tuple[int, int], float], tracks: set[int], faces: set[int]
) -> None:
    chosen = assign(costs, tracks, faces)
    assert chosen == sorted(chosen)
    assert all(pair in costs and pair[0] in tracks and pair[1] in faces for pair in chosen)
    assert len({i for i, _ in chosen}) == len({j for _, j in chosen}) == len(chosen)
    assert (len(chosen), -sum(costs[pair] for pair in chosen)) == best_by_hand(costs, sorted(tracks), sorted(faces))


def test_a_pair_out_of_the_question_is_never_made_up() -> None:
    """Three and three, but only two pairs can be."""
    costs = {(0, 0): 1.0, (0, 1): 2.0, (0, 2): 3.0, (1, 0): 1.0, (2, 0): 5.0}
    assert assign(costs, {0, 1, 2}, {0, 1, 2}) == [(0, 1), (1, 0)]


def test_gates() -> None:
    def measured(*boxes: tuple[float, float, float, float]) -> list[tuple[float, float, float, float]]:
        return list(boxes)

    boxes = np.array(
        measured(
            (100, 100, 160, 160),  # the track itself
            (110, 100, 170, 160),  # a little to the right
            (145, 100, 205, 160),  # a neighbour
            (100, 100, 215, 215),  # twice the size
            (900, 100, 960, 160),  # far away
        ),
        np.float32,
    )
    faces = measured_of(boxes, np.full(5, 60, np.float32))
    track = Motion.starting(faces[0])
    for _ in range(10):
        track.predict(0.04)
        track.correct(faces[0])
    track.predict(0.04)
    assert set(plausible_pairs([track], faces, 0.4)) == {(0, 0), (0, 1)}
    track.predict(0.6)  # long out of sight: it may have moved to where the neighbour stands
    assert set(plausible_pairs([track], faces, 0.4)) == {(0, 0), (0, 1), (0, 2)}


def test_a_track_seen_just_now_is_preferred() -> None:
    """Although the stale one, which may be anywhere, finds the face less surprising."""
    here, there = measured_of(np.array([[100, 100, 160, 160], [105, 100, 165, 160]], np.float32), np.full(2, 60.0))
    fresh, stale = Motion.starting(here), Motion.starting(here)
    fresh.predict(0.04)
    stale.predict(0.8)
    costs = plausible_pairs([stale, fresh], [there], 0.4)
    assert assign(costs, {0, 1}, {0}) == [(1, 0)]


def test_nothing_to_assign() -> None:
    assert assign({}, {0, 1}, {0}) == []
    assert assign({(0, 0): 1.0}, set(), {0}) == []
    assert plausible_pairs([], [], 0.4) == {}
