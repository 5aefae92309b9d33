from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamer.faces.budget import STAYING, largest
from streamer.types import TrackedFace


def face(track: int, px: float) -> TrackedFace:
    return TrackedFace(track, np.zeros(4, np.float32), np.zeros((5, 2), np.float32), 0.9, px)


def chosen(sizes: dict[int, float], most: int, before: set[int] | None = None) -> list[int]:
    return [one.track for one in largest([face(*item) for item in sizes.items()], most, before or set())]


def test_the_largest_are_chosen_and_keep_their_order() -> None:
    assert chosen({1: 20, 2: 60, 3: 30, 4: 50}, 2) == [2, 4]
    assert chosen({1: 20, 2: 60}, 0) == [1, 2]
    assert chosen({1: 20, 2: 60}, 5) == [1, 2]


def test_a_face_of_about_the_size_does_not_push_out_the_one_before() -> None:
    assert chosen({1: 50, 2: 52}, 1, {1}) == [1]
    assert chosen({1: 50, 2: 50 * STAYING + 1}, 1, {1}) == [2]


def test_two_faces_whose_sizes_waver_do_not_take_turns() -> None:
    before: set[int] = set()
    seen = []
    for n in range(20):
        before = set(chosen({1: 50 + 4 * (n % 2), 2: 52}, 1, before))
        seen.append(before)
    assert all(one == seen[0] for one in seen)


def test_of_equals_the_older_track_stays() -> None:
    assert chosen({3: 50, 1: 50, 2: 50}, 2) == [1, 2]


@given(
    st.dictionaries(st.integers(1, 50), st.floats(1, 500), max_size=20), st.integers(1, 8), st.sets(st.integers(1, 50))
)
def test_nobody_left_out_is_clearly_larger_than_anybody_chosen(
    sizes: dict[int, float], most: int, before: set[int]
) -> None:
    kept = chosen(sizes, most, before)
    assert len(kept) == min(most, len(sizes))
    out = set(sizes) - set(kept)
    assert all(sizes[a] <= sizes[b] * STAYING * 1.0001 for a in out for b in kept)
