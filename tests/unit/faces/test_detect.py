from __future__ import annotations

import threading
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.errors import EngineError
from engines.runtime.protocol import FloatArray, Runner
from streamer.config import DetectSettings
from streamer.errors import ModelError
from streamer.faces.detect import SHAPES, Detector, Shape, shape_for
from tests.unit.faces.scripted import (
    POINT_SHARES,
    Answer,
    Face,
    ScriptedRunner,
    centerface_maps,
    picture,
    picture_from,
    refuse_marked,
    yunet_maps,
)

SMALL = SHAPES["small"][0]


def always(*faces: Face, shape: tuple[int, int] = SMALL) -> Answer:
    return lambda images: centerface_maps(shape, [faces] * len(images))


def detector(answer: Answer, **settings: float) -> tuple[Detector, list[ScriptedRunner], list[tuple[int, int]]]:
    """A CenterFace detector, the runners it opens and their shapes."""
    runners: list[ScriptedRunner] = []
    shapes: list[tuple[int, int]] = []

    def open_runner(shape: tuple[int, int]) -> ScriptedRunner:
        shapes.append(shape)
        runners.append(ScriptedRunner(answer))
        return runners[-1]

    chosen = DetectSettings(**({"interval_s": 0.0} | settings))  # type: ignore[arg-type]
    return Detector("centerface", open_runner, chosen), runners, shapes


@pytest.mark.parametrize(
    ("size", "shape"),
    [
        ((640, 360), (320, 192)),
        ((1920, 1080), (320, 192)),
        ((640, 480), (288, 224)),
        ((176, 144), (288, 224)),
        ((500, 500), (256, 256)),
        ((480, 640), (224, 288)),
        ((360, 640), (192, 320)),
        ((4000, 100), (320, 192)),
        ((1, 2000), (192, 320)),
    ],
)
def test_a_picture_gets_the_shape_that_shows_it_largest(size: tuple[int, int], shape: tuple[int, int]) -> None:
    assert shape_for(*size, "small") == shape


def test_shapes_are_multiples_of_32_of_about_one_budget() -> None:
    for shapes in SHAPES.values():
        pixels = [width * height for width, height in shapes]
        assert all(side % 32 == 0 for shape in shapes for side in shape)
        assert max(pixels) < 1.15 * min(pixels)


def test_runners_are_opened_when_prepared_and_once_a_shape() -> None:
    found, runners, shapes = detector(always())
    assert [found.prepare(640, 360), found.prepare(1920, 1080), found.prepare(640, 480)] == [SMALL, SMALL, (288, 224)]
    assert shapes == [SMALL, (288, 224)]
    found.detect([picture(640, 360)])
    assert len(runners) == 2
    found.close()
    assert all(runner.closed for runner in runners)


def test_what_was_not_prepared_is_refused_rather_than_compiled() -> None:
    found, runners, _ = detector(always())
    with pytest.raises(ModelError, match="prepare"):
        found.detect([picture(640, 360)])
    assert not runners


def test_boxes_points_and_sizes_come_back_in_display_pixels() -> None:
    found, _, _ = detector(always((100, 50, 140, 100, 0.9)))
    found.prepare(640, 360)
    (faces,) = found.detect([picture(640, 360)])  # shown at half size
    np.testing.assert_allclose(faces.boxes_xyxy, [[200, 100, 280, 200]], atol=1e-3)
    np.testing.assert_allclose(faces.points_xy[0], np.array([200, 100]) + POINT_SHARES * [80, 100], atol=1e-3)
    np.testing.assert_allclose(faces.scores, [0.9], rtol=1e-6)
    np.testing.assert_allclose(faces.face_px, [40], rtol=1e-5)
    assert all(a.dtype == np.float32 for a in (faces.boxes_xyxy, faces.points_xy, faces.scores, faces.face_px))


def test_a_small_picture_is_enlarged_and_its_faces_come_back_small() -> None:
    shape = (288, 224)
    found, _, _ = detector(always((140, 56, 196, 112, 0.9), shape=shape))
    found.prepare(176, 144)
    (faces,) = found.detect([picture(176, 144)])  # shown at 224/144
    np.testing.assert_allclose(faces.boxes_xyxy, [[90, 36, 126, 72]], atol=1e-3)
    np.testing.assert_allclose(faces.face_px, [56], rtol=1e-5)


def test_boxes_are_cut_at_the_picture_but_points_are_not() -> None:
    found, _, _ = detector(always((-20, -10, 30, 40, 0.9), (290, 150, 330, 200, 0.8)))
    found.prepare(640, 360)
    (faces,) = found.detect([picture(640, 360)])
    np.testing.assert_allclose(faces.boxes_xyxy, [[0, 0, 60, 80], [580, 300, 640, 360]], atol=1e-3)
    np.testing.assert_allclose(faces.face_px, [50, 40], rtol=1e-5)
    assert faces.points_xy[0].min() < 0


def test_a_box_in_the_letterbox_margin_is_no_face() -> None:
    found, _, _ = detector(always((100, 182, 140, 191, 0.9)))
    found.prepare(640, 360)  # 320x180 of 320x192
    (faces,) = found.detect([picture(640, 360)])
    assert len(faces) == 0


def test_best_first_doubles_removed_limited() -> None:
    faces = ((10, 10, 50, 60, 0.6), (14, 10, 54, 60, 0.8), (100, 10, 140, 60, 0.7), (200, 10, 240, 60, 0.4))
    found, _, _ = detector(always(*faces), score_threshold=0.5, max_faces=5)
    found.prepare(640, 360)
    assert found.detect([picture(640, 360)])[0].scores.tolist() == pytest.approx([0.8, 0.7])
    found, _, _ = detector(always(*faces), score_threshold=0.3, max_faces=2)
    found.prepare(640, 360)
    assert found.detect([picture(640, 360)])[0].scores.tolist() == pytest.approx([0.8, 0.7])


def test_pictures_of_one_shape_share_a_batch_and_keep_their_places() -> None:
    def by_brightness(images: NDArray[np.uint8]) -> dict[str, FloatArray]:
        shape = images.shape[2], images.shape[1]
        return centerface_maps(shape, [[(40, 40, 80, 90, image[0, 0, 0] / 200)] for image in images])

    found, runners, _ = detector(by_brightness)
    sizes = [(640, 360), (480, 640), (1280, 720), (480, 640)]
    for size in sizes:
        found.prepare(*size)
    values = [100, 120, 140, 160]
    pictures = [picture(*size, value=value) for size, value in zip(sizes, values, strict=True)]
    results = found.detect(pictures)
    assert [float(faces.scores[0]) for faces in results] == pytest.approx([v / 200 for v in values])
    assert [runner.batches for runner in runners] == [[2], [2]]
    singly = [found.detect([one])[0] for one in pictures]
    for together, alone in zip(results, singly, strict=True):
        assert together.boxes_xyxy.tobytes() == alone.boxes_xyxy.tobytes()
        assert together.points_xy.tobytes() == alone.points_xy.tobytes()


def test_no_pictures_and_no_faces() -> None:
    found, _, _ = detector(always())
    assert found.detect([]) == []
    found.prepare(64, 36)
    (faces,) = found.detect([picture(64, 36)])
    assert len(faces) == 0
    assert faces.points_xy.shape == (0, 5, 2)


def test_a_picture_that_breaks_the_engine_costs_only_itself() -> None:
    found, runners, _ = detector(refuse_marked(always((10, 10, 50, 60, 0.9))))
    found.prepare(640, 360)
    pictures = [picture(640, 360), picture(640, 360, corner=255), picture(640, 360)]
    result = found.detect_each(pictures)
    assert result.causes == [None, "engine_error", None]
    assert [len(faces) for faces in result.detections] == [1, 0, 1]
    assert runners[0].batches == [3, 1, 1, 1]
    with pytest.raises(EngineError, match="1 of 3"):
        found.detect(pictures)


@pytest.mark.parametrize("name", ["heat", "scale", "offset", "points"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_maps_that_are_no_numbers_are_a_cause(name: str, value: float) -> None:
    def poisoned(images: NDArray[np.uint8]) -> dict[str, FloatArray]:
        maps = centerface_maps(SMALL, [[(10, 10, 50, 60, 0.9)]] * len(images))
        for row, image in enumerate(images):
            if image[0, 0, 0] == 255:
                maps[name][row] = value
        return maps

    found, _, _ = detector(poisoned)
    found.prepare(640, 360)
    result = found.detect_each([picture(640, 360, corner=255), picture(640, 360)])
    if name == "scale" and value > 0:  # a face of any size is cut at the picture
        assert result.causes == [None, None]
    elif name == "scale" and value < 0:  # a face of no size is no face
        assert [len(faces) for faces in result.detections] == [0, 1]
    else:
        assert result.causes == ["not_finite", None]
        assert len(result.detections[1]) == 1


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_yunet_maps(stride: int) -> None:
    faces_said: list[Face] = [(100, 50, 140, 100, 0.4), (200, 50, 240, 100, 0.3)]  # one just above the limit of 0.35
    runner = ScriptedRunner(lambda images: yunet_maps(SMALL, [faces_said] * len(images), stride))
    found = Detector("yunet", lambda shape: runner, DetectSettings())
    found.prepare(640, 360)
    (faces,) = found.detect([picture(640, 360)])
    np.testing.assert_allclose(faces.boxes_xyxy, [[200, 100, 280, 200]], atol=1e-3)
    np.testing.assert_allclose(faces.points_xy[0], np.array([200, 100]) + POINT_SHARES * [80, 100], atol=1e-3)
    np.testing.assert_allclose(faces.scores, [0.4], rtol=1e-6)


def test_detectors_get_the_colours_they_were_trained_with() -> None:
    seen: list[list[int]] = []

    def note(images: NDArray[np.uint8]) -> dict[str, FloatArray]:
        seen.append(images[0, 0, 0].tolist())
        return centerface_maps(SMALL, [[]]) | yunet_maps(SMALL, [[]], 8)

    rgb = np.zeros((36, 64, 3), np.uint8)
    rgb[:] = 250, 120, 10
    for name in ("centerface", "yunet"):
        found = Detector(name, lambda shape: ScriptedRunner(note), DetectSettings())
        found.prepare(64, 36)
        found.detect([picture_from(rgb)])
    assert seen == [[250, 120, 10], [10, 120, 250]]


def test_an_unknown_detector_is_refused_by_name() -> None:
    with pytest.raises(ModelError, match="haar"):
        Detector("haar", lambda shape: ScriptedRunner(always()), DetectSettings())


@pytest.mark.parametrize("size", [(0, 10), (10, 0), (-1, 5)])
def test_pictures_without_pixels_are_refused(size: tuple[int, int]) -> None:
    found, _, _ = detector(always())
    with pytest.raises(ModelError, match="cannot be searched"):
        found.prepare(*size)


def test_a_shape_is_compiled_once_however_many_streams_open_at_once() -> None:
    opened: list[Shape] = []
    both = threading.Barrier(2)
    first = threading.Event()

    def open_slowly(shape: Shape) -> Runner:
        opened.append(shape)
        first.wait(0.2)  # long enough for the other to come in, were it let
        return cast(Runner, object())

    detector = Detector("centerface", open_slowly, DetectSettings(interval_s=0.0))

    def prepare() -> None:
        both.wait()
        detector.prepare(640, 360)

    threads = [threading.Thread(target=prepare) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20.0)
    assert opened == [(320, 192)]


def test_the_networks_of_a_size_are_opened_side_by_side() -> None:
    both = threading.Barrier(2)

    def open_runner(shape: Shape) -> Runner:
        both.wait(60)
        return cast(Runner, shape)

    detector = Detector("centerface", open_runner, DetectSettings(interval_s=0.2, region_px=96))
    detector.prepare(640, 360)
    assert dict(detector._runners) == {shape: cast(Runner, shape) for shape in ((320, 192), (96, 96))}
