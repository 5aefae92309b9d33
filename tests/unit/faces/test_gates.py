from __future__ import annotations

from collections.abc import Sequence

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.faces.gates import (
    FACE_LEVELS,
    SCENE_LEVELS,
    Asking,
    Gate,
    Look,
    ask_where_changed,
    look_at_face,
    look_at_scene,
)
from streamer.pixels.frames import picture_of
from streamer.types import DropCause, UInt8Array

MAX_S = 1.0
LEVELS = 5


def picture(luma: UInt8Array) -> Look:
    """A scene whose luma plane is exactly this."""
    frame = av.VideoFrame(luma.shape[1], luma.shape[0], "yuv420p")
    for plane, value in zip(frame.planes, (luma, None, None), strict=True):
        rows = np.full((plane.height, plane.line_size), 128, np.uint8)
        if value is not None:
            rows[:, : value.shape[1]] = value
        plane.update(rows.tobytes())
    return look_at_scene(picture_of(frame, None))


def grey(level: int, width: int = 640, height: int = 360) -> UInt8Array:
    return np.full((height, width), level, np.uint8)


def test_a_change_of_one_small_place_is_seen_where_the_mean_hardly_moves() -> None:
    before, now = grey(100), grey(100)
    now[100:112, 200:212] = 140
    assert abs(float(now.mean()) - 100) < 0.05
    assert not picture(now).is_like(picture(before), SCENE_LEVELS)
    assert picture(grey(100)).is_like(picture(before), SCENE_LEVELS)


def test_noise_of_single_pixels_is_no_change() -> None:
    noise = np.random.default_rng(1).integers(-12, 13, (360, 640))
    assert picture((grey(100) + noise).astype(np.uint8)).is_like(picture(grey(100)), SCENE_LEVELS)


def test_light_that_fades_everywhere_is_a_change_once_it_adds_up() -> None:
    assert picture(grey(100 + SCENE_LEVELS)).is_like(picture(grey(100)), SCENE_LEVELS)
    assert not picture(grey(101 + SCENE_LEVELS)).is_like(picture(grey(100)), SCENE_LEVELS)


def test_a_picture_of_another_size_is_another_scene() -> None:
    assert not picture(grey(100, 640, 360)).is_like(picture(grey(100, 320, 180)), SCENE_LEVELS)


def test_a_scene_of_ten_bits_is_measured_in_the_same_levels() -> None:
    def look(level: int) -> Look:
        frame = av.VideoFrame(64, 48, "yuv420p10le")
        for plane in frame.planes:
            plane.update(np.full((plane.height, plane.line_size // 2), level, np.uint16).tobytes())
        return look_at_scene(picture_of(frame, None))

    assert look(400).cells.dtype == np.uint8
    assert look(400).is_like(look(400 + 4 * SCENE_LEVELS), SCENE_LEVELS)
    assert not look(400).is_like(look(404 + 4 * SCENE_LEVELS), SCENE_LEVELS)


def test_a_look_keeps_nothing_of_the_decoders_memory() -> None:
    plane = grey(100, 64, 48)
    frame = av.VideoFrame.from_ndarray(np.repeat(plane[..., None], 3, axis=2), format="rgb24")
    shown = picture_of(frame, None)
    assert not np.shares_memory(look_at_scene(shown).cells, shown.planes[0].pixels)


def test_a_mouth_that_opens_changes_a_face() -> None:
    crop = np.full((112, 112, 3), 100, np.uint8)
    changed = crop.copy()
    changed[90:98, 48:64] = 160
    assert look_at_face(crop).cells.shape == (28, 28, 3)
    assert not look_at_face(changed).is_like(look_at_face(crop), FACE_LEVELS)
    noise = np.random.default_rng(2).integers(-12, 13, crop.shape)
    assert look_at_face((crop + noise).astype(np.uint8)).is_like(look_at_face(crop), FACE_LEVELS)


# -- when an answer stands ------------------------------------------------------------------------------------

Shown = tuple[str, int, float]
"""Whose it is, what is shown (a level), when."""


def look(level: int) -> Look:
    return Look((8, 8), np.full((2, 2), level, np.uint8))


def run(
    shown: Sequence[Shown], sizes: Sequence[int], failing: frozenset[int] = frozenset()
) -> list[tuple[object, bool]]:
    """Each answer and whether it stood, with askings put in batches of these sizes, repeated."""
    gates: dict[str, Gate[list[object]]] = {name: Gate() for name in "ab"}
    made: list[tuple[object, bool]] = []
    at = turn = 0
    while at < len(shown):
        part = shown[at : at + sizes[turn % len(sizes)]]
        at, turn = at + len(part), turn + 1

        def ask(positions: Sequence[int], part: Sequence[Shown] = part) -> list[list[object] | DropCause]:
            return ["not_finite" if part[i][1] in failing else [part[i]] for i in positions]

        askings = [Asking(gates[name], look(level), at_s) for name, level, at_s in part]
        made += zip(*ask_where_changed(askings, ask, LEVELS, MAX_S), strict=True)
    return made


def test_an_answer_stands_while_nothing_changes_and_no_longer_than_allowed() -> None:
    shown = [("a", 50, 0.0), ("a", 52, 0.5), ("a", 52, 1.0), ("a", 52, 1.5), ("a", 58, 1.6), ("a", 58, 1.7)]
    assert [stood for _, stood in run(shown, [6])] == [False, True, True, False, False, True]


def test_a_slow_change_is_measured_from_what_was_asked_about_not_from_the_frame_before() -> None:
    shown = [("a", 50 + 2 * n, n / 100) for n in range(6)]
    assert [stood for _, stood in run(shown, [1])] == [False, True, True, False, True, True]


def test_what_failed_stands_for_nothing() -> None:
    shown = [("a", 50, 0.0), ("a", 99, 0.1), ("a", 99, 0.2), ("a", 50, 0.3)]
    answers = run(shown, [4], frozenset({99}))
    assert answers == [([shown[0]], False), ("not_finite", False), ("not_finite", False), ([shown[3]], False)]


def test_a_time_that_goes_back_is_asked_about() -> None:
    assert [stood for _, stood in run([("a", 50, 5.0), ("a", 50, 4.0)], [1])] == [False, False]


@settings(derandomize=True, max_examples=300)
@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 12), st.sampled_from([0.0, 0.1, 0.7])), max_size=30),
    st.lists(st.integers(1, 9), min_size=1, max_size=4),
    st.frozensets(st.integers(0, 12), max_size=5),
)
def test_answers_do_not_depend_on_how_askings_were_batched(
    steps: list[tuple[str, int, float]], sizes: list[int], failing: frozenset[int]
) -> None:
    shown: list[Shown] = []
    at_s = 0.0
    for name, level, step_s in steps:
        at_s += step_s
        shown.append((name, level, at_s))
    assert run(shown, sizes, failing) == run(shown, [1], failing)


@pytest.mark.parametrize("n", [0, 1])
def test_nothing_is_asked_where_all_stands(n: int) -> None:
    gate: Gate[list[object]] = Gate()

    def ask(positions: Sequence[int]) -> list[list[object] | DropCause]:
        assert positions, "asked for nothing"
        return [[n] for _ in positions]

    for _ in range(2):
        answers, _ = ask_where_changed([Asking(gate, look(1), 0.0)] * n, ask, LEVELS, MAX_S)
    assert answers == [[1]] * n
