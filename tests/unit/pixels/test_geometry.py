"""Turns and mirrors: what a display matrix means, against numpy's own turning."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.pixels.geometry import UPRIGHT, Orientation, compose, indexed

ONE = 65536
# FFmpeg's layout: a b u c d v x y w, with x' = a x + c y and y' = b x + d y (libavutil/display.h).
MATRICES = {
    "upright": (ONE, 0, 0, 0, ONE, 0, 0, 0, 1 << 30),
    "clockwise": (0, ONE, 0, -ONE, 0, 0, 0, 0, 1 << 30),  # what a phone held upright writes ("rotate 90")
    "half": (-ONE, 0, 0, 0, -ONE, 0, 0, 0, 1 << 30),
    "counter-clockwise": (0, -ONE, 0, ONE, 0, 0, 0, 0, 1 << 30),
    "mirrored": (-ONE, 0, 0, 0, ONE, 0, 0, 0, 1 << 30),
    "upside down": (ONE, 0, 0, 0, -ONE, 0, 0, 0, 1 << 30),
}
TURNED = {
    "upright": lambda image: image,
    "clockwise": lambda image: np.rot90(image, -1),
    "half": lambda image: np.rot90(image, 2),
    "counter-clockwise": lambda image: np.rot90(image, 1),
    "mirrored": lambda image: image[:, ::-1],
    "upside down": lambda image: image[::-1],
}


@pytest.mark.parametrize("name", MATRICES)
def test_the_affine_moves_pixels_as_numpy_turns_them(name: str) -> None:
    image = np.arange(12).reshape(3, 4)
    orientation = Orientation.of_display_matrix(MATRICES[name])
    expected = TURNED[name](image)
    width, height = orientation.turned_wh(4, 3)
    assert expected.shape == (height, width)
    affine = orientation.affine(width, height, 1.0, 1.0)
    for y in range(3):
        for x in range(4):
            shown_x, shown_y = affine[:, :2] @ (x + 0.5, y + 0.5) + affine[:, 2]
            assert expected[int(shown_y), int(shown_x)] == image[y, x]


@pytest.mark.parametrize(
    "matrix",
    [(0,) * 9, (ONE, ONE, 0, -ONE, ONE, 0, 0, 0, 1), (ONE, 0, 0, 0, 0, 0, 0, 0, 1), (0, ONE, 0, 0, 0, 0, 0, 0, 1)],
)
def test_what_is_no_quarter_turn_is_upright(matrix: tuple[int, ...]) -> None:
    assert Orientation.of_display_matrix(matrix) == UPRIGHT


@given(st.booleans(), st.booleans(), st.booleans())
@settings(derandomize=True, deadline=None)
def test_rows_that_lie_bottom_up_are_one_more_mirror(transpose: bool, flip_x: bool, flip_y: bool) -> None:
    orientation = Orientation(transpose, flip_x, flip_y)
    width, height = orientation.turned_wh(6, 4)
    bottom_up = np.array([[1.0, 0.0, 0.0], [0.0, -1.0, 4.0]])
    expected = compose(orientation.affine(width, height, 1.0, 1.0), bottom_up)
    assert np.allclose(orientation.after_vertical_flip().affine(width, height, 1.0, 1.0), expected)


@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(-50, 50), st.floats(-20, 20), st.floats(-20, 20))
@settings(derandomize=True, deadline=None)
def test_indexed_maps_agree_at_pixel_centres(a: float, b: float, shift: float, x: float, y: float) -> None:
    affine = np.array([[a, b, shift], [-b, a, 2 * shift]])
    continuous = affine[:, :2] @ (x + 0.5, y + 0.5) + affine[:, 2]
    indices = indexed(affine)
    assert np.allclose(indices[:, :2] @ (x, y) + indices[:, 2], continuous - 0.5)
