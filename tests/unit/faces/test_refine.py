from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from engines.errors import EngineError
from engines.runtime.protocol import FloatArray
from streamer.config import DetectSettings
from streamer.faces.detect import Detector
from streamer.faces.refine import MAX_BATCH, Refined, Refiner, Square
from streamer.pixels import Picture
from streamer.types import Detections
from tests.unit.faces.scripted import POINT_SHARES, Face, ScriptedRunner, centerface_maps, detections

SQUARE = (96, 96)
Box = tuple[int, int, int, int]


def bright_patches(images: NDArray[np.uint8]) -> dict[str, FloatArray]:
    """Sees a face where something is bright; the engine refuses a batch with anything that is all red."""
    batch: list[list[Face]] = []
    for image in images:
        if (image[:, :, 0] > 150).all():
            raise EngineError("the engine failed")
        _, _, patches, _ = cv2.connectedComponentsWithStats((image[:, :, 1] > 150).astype(np.uint8))
        batch.append([(x, y, x + w, y + h, 0.8) for x, y, w, h, _ in patches[1:].tolist()])
    return centerface_maps(SQUARE, batch)


def refiner(**settings: Any) -> tuple[Refiner, ScriptedRunner]:
    runner = ScriptedRunner(bright_patches)
    detector = Detector("centerface", lambda shape: runner, DetectSettings(**settings))
    detector.prepare(640, 360)
    return Refiner(detector, 0.5), runner


def shown(*faces: Box, size: tuple[int, int] = (640, 360)) -> Picture:
    pixels = np.full((size[1], size[0], 3), 40, np.uint8)
    for x0, y0, x1, y1 in faces:
        pixels[max(0, y0) : y1, max(0, x0) : x1] = (40, 250, 40)
    return Picture.from_array(pixels)


def known(*faces: Box, score: float = 0.9) -> Detections:
    return detections(*((*face, score) for face in faces))


def refined(found: Any) -> Refined:
    assert isinstance(found, Refined)
    return found


def test_a_square_shows_the_box_in_its_middle_at_half_its_size() -> None:
    square = Square.around(np.array([100, 50, 140, 130], np.float32), 96)
    corners = square.to_square() @ np.array([[100, 140], [50, 130], [1, 1]])
    np.testing.assert_allclose(corners, [[36, 60], [24, 72]])


def test_a_face_that_moved_is_found_where_it_is_now_in_display_pixels() -> None:
    finds, runner = refiner()
    [found] = finds.refine([(shown((110, 60, 170, 132)), known((100, 50, 160, 122)))])
    faces = refined(found).faces
    np.testing.assert_allclose(faces.boxes_xyxy, [[110, 60, 170, 132]], atol=2.0)  # a pixel of the square is 1.5
    expected = faces.boxes_xyxy[0, :2] + POINT_SHARES * (faces.boxes_xyxy[0, 2:] - faces.boxes_xyxy[0, :2])
    np.testing.assert_allclose(faces.points_xy[0], expected, atol=0.01)
    np.testing.assert_allclose(faces.scores, [0.8], rtol=1e-6)
    assert not refined(found).lost
    assert runner.batches == [1]


def test_sizes_are_those_at_the_scale_of_the_search_so_that_quality_means_the_same() -> None:
    finds, _ = refiner()
    [found] = finds.refine([(shown((100, 50, 160, 122)), known((100, 50, 160, 122)))])
    np.testing.assert_allclose(refined(found).faces.face_px, [30], atol=1.0)  # 60 pixels, seen at half size


def test_faces_of_all_pictures_share_batches_whatever_their_sizes() -> None:
    finds, runner = refiner()
    pictures = [
        (shown((100, 50, 160, 110), (300, 50, 360, 110)), known((100, 50, 160, 110), (300, 50, 360, 110))),
        (shown((10, 10, 40, 40), size=(160, 120)), known((10, 10, 40, 40))),
    ]
    found = finds.refine(pictures)
    assert [len(refined(one).faces) for one in found] == [2, 1]
    assert runner.batches == [3]
    finds.refine([pictures[0]] * MAX_BATCH)
    assert runner.batches[1:] == [MAX_BATCH, MAX_BATCH]


@pytest.mark.parametrize(("score", "lost"), [(0.9, True), (0.5, True), (0.4, False)])
def test_a_face_that_is_gone_is_left_out_and_lost_if_it_counted(score: float, lost: bool) -> None:
    finds, _ = refiner()
    faces = known((100, 50, 160, 110), (300, 50, 360, 110), score=score)
    [found] = finds.refine([(shown((300, 50, 360, 110)), faces)])
    assert len(refined(found).faces) == 1
    assert refined(found).faces.boxes_xyxy[0, 0] > 200
    assert refined(found).lost == lost


def test_another_face_in_the_square_is_not_taken_for_it() -> None:
    finds, _ = refiner()
    [found] = finds.refine([(shown((165, 50, 205, 90)), known((100, 50, 160, 110)))])
    assert len(refined(found).faces) == 0


def test_of_two_faces_in_a_square_each_finds_its_own_and_none_is_found_twice() -> None:
    finds, _ = refiner()
    both = ((100, 50, 150, 100), (155, 50, 205, 100))
    [found] = finds.refine([(shown(*both), known(*both))])
    np.testing.assert_allclose(refined(found).faces.boxes_xyxy, both, atol=2.0)
    [found] = finds.refine([(shown((100, 50, 150, 100)), known((95, 50, 145, 100), (108, 50, 158, 100)))])
    assert len(refined(found).faces) == 1, "two that come to lie on each other have become one"
    assert refined(found).lost


def test_a_face_at_the_edge_is_cut_there_and_one_wholly_outside_is_gone() -> None:
    finds, _ = refiner()
    [found] = finds.refine([(shown((-20, 50, 40, 110)), known((-5, 50, 45, 110)))])
    assert refined(found).faces.boxes_xyxy[0, 0] == 0


def test_what_fails_in_company_is_tried_alone_and_costs_nobody_else_anything() -> None:
    finds, runner = refiner()
    red = Picture.from_array(np.full((360, 640, 3), (250, 40, 40), np.uint8))
    good = (shown((100, 50, 160, 110)), known((100, 50, 160, 110)))
    found = finds.refine([good, (red, known((200, 100, 260, 160))), good])
    assert [one if isinstance(one, str) else len(one.faces) for one in found] == [1, "engine_error", 1]
    assert runner.batches == [3, 1, 1, 1]


def test_more_faces_than_a_whole_search_is_worth_are_not_looked_for_one_by_one() -> None:
    assert refiner()[0].most_faces(shown()) == 320 * 192 // 96**2
    assert refiner(region_px=64, input_size="large")[0].most_faces(shown()) == 640 * 384 // 64**2


def test_nothing_known_is_nothing_to_do() -> None:
    finds, runner = refiner()
    [found] = finds.refine([(shown(), Detections.none())])
    assert (len(refined(found).faces), refined(found).lost) == (0, False)
    assert runner.batches == []
