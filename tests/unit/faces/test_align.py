from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from engines.spec import CropGeometry
from streamer.faces.align import align, crop_transform, points_usable
from streamer.types import TrackedFace
from tests.unit.faces.scripted import picture_from

TEMPLATE = ((38.3, 51.7), (73.5, 51.5), (56.0, 71.7), (41.5, 92.4), (70.7, 92.2))
FIVE = CropGeometry(kind="five_point", width=112, height=112, template=TEMPLATE)
BOX = CropGeometry(kind="box", width=64, height=64, margin=0.25)


def apply(affine: NDArray[np.float64], points: NDArray[np.floating]) -> NDArray[np.float64]:
    return points.astype(np.float64) @ affine[:, :2].T + affine[:, 2]


def box_around(points: NDArray[np.floating]) -> NDArray[np.float32]:
    """A box in the usual proportion to the points."""
    centre = points.mean(axis=0)
    spread = np.sqrt(((points - centre) ** 2).sum(axis=1).mean())
    return np.concatenate([centre - spread / 0.42, centre + spread / 0.42]).astype(np.float32)


def umeyama(source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """The general method with a singular value decomposition, as the independent reference."""
    a, b = source - source.mean(axis=0), target - target.mean(axis=0)
    u, d, vt = np.linalg.svd(b.T @ a / len(a))
    keep = np.diag([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    rotation = u @ keep @ vt
    scale = np.trace(np.diag(d) @ keep) / (a**2).sum(axis=1).mean()
    linear = scale * rotation
    return np.column_stack([linear, target.mean(axis=0) - linear @ source.mean(axis=0)])


@settings(derandomize=True)
@given(st.floats(-3.1, 3.1), st.floats(0.1, 8), st.floats(-500, 500), st.floats(-500, 500))
def test_turned_scaled_shifted_faces_come_to_lie_on_the_template(
    angle: float, scale: float, x: float, y: float
) -> None:
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = (np.array(TEMPLATE) @ turn.T + [x, y]).astype(np.float32)
    affine = crop_transform(box_around(points), points, FIVE)
    np.testing.assert_allclose(apply(affine, points), TEMPLATE, atol=0.02)
    assert np.linalg.det(affine[:, :2]) > 0


@settings(derandomize=True)
@given(st.lists(st.tuples(st.floats(-8, 8), st.floats(-8, 8)), min_size=5, max_size=5), st.floats(-1, 1))
def test_same_as_the_general_method(noise: list[tuple[float, float]], angle: float) -> None:
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = ((np.array(TEMPLATE) + noise) @ turn.T * 2 + 100).astype(np.float32)
    expected = umeyama(points.astype(np.float64), np.array(TEMPLATE))
    np.testing.assert_allclose(crop_transform(box_around(points), points, FIVE), expected, rtol=1e-9, atol=1e-7)


@pytest.mark.parametrize(
    "points",
    [
        np.full((5, 2), 80.0),  # collapsed
        np.full((5, 2), np.nan),
        np.array([[np.inf, 0.0]] * 5),
        (np.array(TEMPLATE) - 56) * 0.02 + 80,  # far too small for the box
        (np.array(TEMPLATE) - 56) * 40 + 80,  # far too large
        np.array([[0.0, 10], [10, 0], [5, 5], [0, 0], [10, 10]]) * 8,  # in no order that a face has
    ],
)
def test_points_that_carry_no_map_fall_back_to_the_box(points: NDArray[np.float64]) -> None:
    box = np.array([40, 30, 120, 130], np.float32)
    assert not points_usable(box, points.astype(np.float32))
    boxed = CropGeometry(kind="box", width=112, height=112)
    np.testing.assert_array_equal(
        crop_transform(box, points.astype(np.float32), FIVE), crop_transform(box, np.zeros((5, 2), np.float32), boxed)
    )


@pytest.mark.parametrize("squeeze", [1.0, 0.6, 0.2, 0.0])
def test_turned_heads_are_still_aligned(squeeze: float) -> None:
    """Even in profile, where all points lie on one line."""
    points = ((np.array(TEMPLATE) - 56) * [squeeze, 1] * 2 + 200).astype(np.float32)
    box = np.array([100, 100, 300, 300], np.float32)
    assert points_usable(box, points)
    upright = crop_transform(box, points, FIVE)
    assert abs(np.degrees(np.arctan2(upright[1, 0], upright[0, 0]))) < 10


@pytest.mark.parametrize("box", [(100, 100, 180, 200), (300, 50, 420, 90)])
def test_box_crops_are_square_with_a_margin(box: tuple[float, float, float, float]) -> None:
    x0, y0, x1, y1 = box
    affine = crop_transform(np.array(box, np.float32), np.zeros((5, 2), np.float32), BOX)
    side = max(x1 - x0, y1 - y0) * 1.5
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    corners = np.array([[x - side / 2, y - side / 2], [x + side / 2, y + side / 2]])
    np.testing.assert_allclose(apply(affine, corners), [[0, 0], [64, 64]], atol=1e-3)


def test_box_crops_that_are_not_square_show_the_square_in_the_middle() -> None:
    wide = CropGeometry(kind="box", width=96, height=64)
    affine = crop_transform(np.array([10, 10, 42, 42], np.float32), np.zeros((5, 2), np.float32), wide)
    np.testing.assert_allclose(apply(affine, np.array([[10.0, 10], [42, 42]])), [[16, 0], [80, 64]])


def test_a_box_without_area_gives_a_map_of_numbers() -> None:
    box, points = np.array([5, 5, 5, 5], np.float32), np.full((5, 2), 5, np.float32)
    assert np.isfinite(crop_transform(box, points, BOX)).all()
    assert np.isfinite(crop_transform(box, points, FIVE)).all()


@pytest.mark.parametrize("colour", ["rgb", "bgr"])
def test_the_crop_shows_the_tilted_face_upright(colour: str) -> None:
    """A drawn face, turned by 30 degrees: in the crop its marks lie where the template says, in the right colours."""
    marks = [(250, 20, 20), (20, 250, 20), (20, 20, 250), (250, 250, 20), (20, 250, 250)]
    turn = cv2.getRotationMatrix2D((0, 0), 30, 2.0)
    points = np.array(TEMPLATE) @ turn[:, :2].T + [60, 160]
    rgb = np.full((480, 640, 3), 90, np.uint8)
    for (x, y), mark in zip(points, marks, strict=True):
        cv2.circle(rgb, (round(x), round(y)), 9, mark, -1)
    face = TrackedFace(1, box_around(points), points.astype(np.float32), 0.9, 50.0)
    crop = align(picture_from(rgb), face, FIVE, colour)  # type: ignore[arg-type]
    assert crop.shape == (112, 112, 3)
    assert crop.dtype == np.uint8
    for (x, y), mark in zip(TEMPLATE, marks, strict=True):
        expected = mark if colour == "rgb" else mark[::-1]
        np.testing.assert_allclose(crop[int(y), int(x)].astype(int), expected, atol=6)


def test_a_face_at_the_edge_is_filled_up() -> None:
    face = TrackedFace(1, np.array([-20, -20, 20, 20], np.float32), np.zeros((5, 2), np.float32), 0.9, 50.0)
    crop = align(picture_from(np.full((100, 100, 3), 200, np.uint8)), face, BOX)
    assert crop[8, 8].max() == 0
    assert crop[56, 56].min() >= 199
