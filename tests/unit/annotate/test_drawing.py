"""What is painted where: boxes, labels, traces, at any size."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from streamer.annotate.canvas import Canvas
from streamer.annotate.drawing import Drawing
from streamer.annotate.faces import CASING, LOW, box_px, draw_faces
from streamer.annotate.layout import Layout, layout_for
from streamer.annotate.lettering import Part, chip, width_px
from streamer.annotate.recorded import Recording, RunChoice, Seen, TrackId
from streamer.annotate.trace import MAX_LANES, RAISED, SPAN_S, Traces
from streamer.colours import COLOURS, TRACK_COLOURS, rgb
from streamer.pixels import Picture
from streamer.pixels.colour import ColourSpace, Matrix, convert
from streamer.types import Frame
from tests.unit.annotate.scenes import face, seen

SPACE = ColourSpace("yuv", "bt601", full_range=False)


class Painted:
    """A canvas over planes of its own, and its picture in RGB."""

    def __init__(self, layout: Layout, space: ColourSpace = SPACE) -> None:
        width, height = layout.size_wh
        blue, red = (np.full((height // 2, width // 2), 128, np.uint8) for _ in range(2))
        self.planes = np.full((height, width), 100, np.uint8), blue, red
        self.space = space
        self.canvas = Canvas(*self.planes, space)

    def rgb(self) -> NDArray[np.uint8]:
        luma, *chroma = self.planes
        full = [plane.repeat(2, axis=0).repeat(2, axis=1) for plane in chroma]
        out = np.empty((*luma.shape, 3), np.uint8)
        convert([luma, *full], self.space, "rgb", out)
        return out


def drawn(*faces: Seen, size: tuple[int, int] = (640, 360)) -> tuple[NDArray[np.uint8], Layout]:
    layout = layout_for(*size)
    painted = Painted(layout)
    draw_faces(painted.canvas, layout, faces, {})
    return painted.rgb(), layout


def is_colour(pixels: NDArray[np.uint8], colour: str) -> NDArray[np.bool_]:
    """Which pixels are of a colour, as well as 8 bits of luma and chroma can say it."""
    found: NDArray[np.bool_] = np.abs(pixels.astype(int) - rgb(colour)).max(axis=-1) <= 4
    return found


@pytest.mark.parametrize("size", [(640, 360), (1280, 720), (3840, 2160), (176, 144), (431, 241), (1080, 1920)])
@pytest.mark.parametrize("label", COLOURS)
def test_the_box_lies_where_the_observation_says_in_the_colour_of_its_label(size: tuple[int, int], label: str) -> None:
    one = face(label=label, box=(0.25, 0.3, 0.25, 0.5))
    image, layout = drawn(one, size=size)
    width, height = layout.picture_wh
    line = layout.line_px
    left, right, top, bottom = width * 0.25, width * 0.5, height * 0.3, height * 0.8
    colour = COLOURS[label]
    across = np.flatnonzero(is_colour(image[round((top + bottom) / 2)], colour))
    down = np.flatnonzero(is_colour(image[:height, round(right) - 3 * line], colour))
    down = down[down > top - 1]  # the label stands above
    for found, low, high in ((across, left, right), (down, top, bottom)):
        assert found.size == 2 * line
        assert abs(found[0] - low) <= 1
        assert abs(found[-1] + 1 - high) <= 2
    inside = image[round(top) + line + 2 : round(bottom) - line - 2, round(left) + line + 2 : round(right) - line - 2]
    assert (inside == inside[0, 0]).all(), "the face itself stays as it is"


def test_a_face_of_low_quality_has_a_broken_pale_line_and_no_expression() -> None:
    image, layout = drawn(face(label=None, causes=("extreme_yaw",)))
    x0, y0, _, y1 = box_px(face(), layout)
    edge = image[y0:y1, x0]
    pale = is_colour(edge, LOW)
    assert 0.3 < pale.mean() < 0.7
    assert is_colour(edge[~pale], CASING).all()
    assert not any(is_colour(image, colour).any() for name, colour in COLOURS.items() if name != "Neutral")


def test_a_box_at_the_edge_or_without_a_size_is_drawn_as_far_as_there_is_a_picture() -> None:
    corners = itertools.product((-0.1, 0.0, 0.9, 1.0), repeat=2)
    faces = [
        face(number, (x, y, side, side)) for number, ((x, y), side) in enumerate(itertools.product(corners, (0.0, 0.2)))
    ]
    image, layout = drawn(*faces)
    assert image.shape[:2] == layout.size_wh[::-1]
    assert is_colour(image[: layout.picture_wh[1], :2], COLOURS["Happy"]).any()


def test_labels_hide_neither_one_another_nor_leave_the_picture() -> None:
    layout = layout_for(640, 360)
    placed: list[tuple[int, int, int, int]] = []

    class Watched(Canvas):
        def put(self, patch: NDArray[np.uint8], x: int, y: int) -> None:
            placed.append((x, y, x + patch.shape[1], y + patch.shape[0]))

    planes = Painted(layout).planes
    crowd = [face(number, (0.05 * number, 0.0, 0.2, 0.3), label="Surprise") for number in range(3)]
    crowd.append(face(9, (0.95, 0.9, 0.05, 0.1)))
    draw_faces(Watched(*planes, SPACE), layout, crowd, {})
    assert len(placed) == 4
    for x0, y0, x1, y1 in placed:
        assert 0 <= x0 < x1 <= 640
        assert 0 <= y0 < y1 <= 360
    for a, b in itertools.combinations(placed, 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1], (a, b)


def test_a_label_says_who_what_and_how_sure() -> None:
    layout = layout_for(1280, 720)
    patch = {}
    for text in ("Happy 80%", "Happy 81%"):
        confidence = int(text[6:8]) / 100
        painted = Painted(layout)
        draw_faces(painted.canvas, layout, [face(confidence=confidence)], {TrackId(0, 1): TRACK_COLOURS[1]})
        x0, y0, _, _ = box_px(face(), layout)
        height = chip_height(layout)
        patch[text] = painted.rgb()[y0 - height : y0, x0 : x0 + 200]
    assert (patch["Happy 80%"] != patch["Happy 81%"]).any(), "the number is written"
    assert is_colour(patch["Happy 80%"], COLOURS["Happy"]).mean() > 0.2
    assert is_colour(patch["Happy 80%"], TRACK_COLOURS[1]).any(), "the number of the track has its trace's colour"


def chip_height(layout: Layout) -> int:
    return int(chip((Part("x", CASING, LOW),), layout.text_px).shape[0])


@pytest.mark.parametrize(
    "size", [(16, 16), (176, 144), (320, 240), (640, 360), (1920, 1080), (1080, 1920), (8192, 4320), (4000, 20)]
)
def test_everything_is_even_and_writing_has_a_size_that_can_be_read(size: tuple[int, int]) -> None:
    layout = layout_for(*size)
    width, height = layout.picture_wh
    assert all(length % 2 == 0 and length > 0 for length in (*layout.size_wh, layout.strip_h, layout.line_px))
    assert layout.text_px >= 15
    assert max(width, height) <= 4096
    assert width / height == pytest.approx(size[0] / size[1], rel=0.11)
    if size[0] <= 600:
        assert width % (2 * size[0] // 2) == 0, "enlarged by a whole factor"


def test_text_is_as_wide_as_it_is_said_to_be() -> None:
    image = chip((Part("Überraschung −0.42", "#000000", "#ffffff"),), 20)
    ink = np.flatnonzero((image != image[0, 0]).any(axis=(0, 2)))
    width = width_px("Überraschung −0.42", 20)
    assert ink[-1] - ink[0] == pytest.approx(width, abs=6)


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("matrix", ["bt601", "bt709", "bt2020"])
def test_colours_are_those_asked_for_in_every_colour_space(matrix: Matrix, full_range: bool) -> None:
    space = ColourSpace("yuv", matrix, full_range)
    layout = layout_for(640, 360)
    painted = Painted(layout, space)
    for k, colour in enumerate(COLOURS.values()):
        painted.canvas.fill(20 * k, 0, 20 * k + 20, 10, colour)
        painted.canvas.put(np.full((10, 20, 3), rgb(colour), np.uint8), 20 * k, 20)
    image = painted.rgb()
    for k, colour in enumerate(COLOURS.values()):
        assert is_colour(image[5, 20 * k + 10], colour)
        assert is_colour(image[25, 20 * k + 10], colour)


def test_what_sticks_out_of_the_picture_is_cut_off() -> None:
    layout = layout_for(640, 360)
    painted = Painted(layout)
    patch = np.full((20, 30, 3), 255, np.uint8)
    height = layout.size_wh[1]
    for x, y in ((-10, -10), (630, height - 6), (700, 10), (10, height + 10), (-40, 0)):
        painted.canvas.put(patch, x, y)
    image = painted.rgb()
    assert is_colour(image[:10, :20], "#ffffff").all()
    assert is_colour(image[-6:, -10:], "#ffffff").all()
    assert not is_colour(image[30 : height - 20], "#ffffff").any()


def strip(traces: Traces, now_s: float, layout: Layout) -> NDArray[np.uint8]:
    return traces.draw(now_s, layout)


def heights(image: NDArray[np.uint8], colour: str, column: int) -> NDArray[np.intp]:
    return np.flatnonzero(np.abs(image[:, column].astype(int) - rgb(colour)).max(axis=-1) <= 30)


def test_traces_rise_with_the_numbers_and_stand_at_their_time() -> None:
    layout = layout_for(1280, 720)
    traces = Traces(0.04)
    for k in range(251):
        t = 0.04 * k
        traces.add(t, [face(valence=-1 + 2 * t / 10, arousal=0.0)])
    image = strip(traces, 10.0, layout)
    ground = np.abs(image[:, : image.shape[1] // 2].astype(int) - rgb(RAISED)).max(axis=-1) == 0
    columns = np.flatnonzero(ground.any(axis=0))
    left, right = int(columns[0]), int(columns[-1])
    lines = [heights(image, TRACK_COLOURS[0], left + (right - left) * k // 10).mean() for k in range(1, 10)]
    assert (np.diff(lines) < 0).all(), "up is pleasant"
    steps = np.diff(lines)
    assert steps == pytest.approx(steps.mean(), abs=1.5), "evenly in time"
    arousal = [heights(image, TRACK_COLOURS[0], 640 + left + (right - left) * k // 10).mean() for k in range(1, 10)]
    assert np.ptp(arousal) <= 1.5


def test_a_line_breaks_where_the_face_was_not_seen_and_leaves_with_time() -> None:
    layout = layout_for(1280, 720)
    traces = Traces(0.04)
    for k in range(50):
        traces.add(0.04 * k, [face()])
    for k in range(150, 250):
        traces.add(0.04 * k, [face()])
    image = strip(traces, 9.96, layout)
    shown = [heights(image, TRACK_COLOURS[0], column).size > 0 for column in range(60, 520, 4)]
    changes = int(np.abs(np.diff(np.array(shown, int))).sum())
    assert changes >= 2, "there is a hole in it"
    traces.add(9.96 + SPAN_S + 1, [])
    later = strip(traces, 9.96 + SPAN_S + 1, layout)
    assert not any(heights(later, TRACK_COLOURS[0], column).size for column in range(1280))
    assert traces.colours == {}


def test_the_largest_faces_get_the_lanes_and_keep_their_colours() -> None:
    traces = Traces(0.04)
    sizes = (0.1, 0.5, 0.2, 0.4, 0.3, 0.6)
    traces.add(0.0, [face(number, (0.0, 0.0, size, size)) for number, size in enumerate(sizes)])
    first = traces.colours
    assert {track.number for track in first} == {1, 3, 4, 5}
    assert len(set(first.values())) == MAX_LANES
    traces.add(0.04, [face(number, (0.0, 0.0, 0.5, 0.5)) for number in (0, 1, 2)])
    assert traces.colours == first, "a lane is kept as long as something of it is shown"
    traces.add(SPAN_S + 0.03, [face(0), face(1)])
    later = traces.colours
    assert later[TrackId(0, 1)] == first[TrackId(0, 1)]
    assert {track.number for track in later} == {0, 1}


def test_values_stand_apart_from_one_another() -> None:
    layout = layout_for(640, 360)
    traces = Traces(0.04)
    for k in range(20):
        traces.add(0.04 * k, [face(number, (0.0, 0.0, 0.3, 0.3), valence=1.0, arousal=-1.0) for number in range(4)])
    image = strip(traces, 0.76, layout)
    for half, start in ((image[:, :320], 245), (image[:, 320:], 245)):
        rows = [
            np.flatnonzero((np.abs(half[:, start:].astype(int) - rgb(c)).max(axis=-1) <= 40).any(axis=1))
            for c in TRACK_COLOURS
        ]
        spans = sorted((int(r.min()), int(r.max())) for r in rows if r.size)
        assert len(spans) == 4
        assert all(before[0] < after[0] for before, after in itertools.pairwise(spans))
        assert spans[-1][1] < layout.strip_h


def frame(pts: int, fps: float = 25.0) -> Frame:
    picture = Picture.from_array(np.full((360, 640, 3), 90, np.uint8))
    return Frame("s", pts, 0, pts, Fraction(1, 25), pts / fps, None, "none", 0.0, picture)


def recording(every: int, n: int = 50) -> Recording:
    observations = [seen(pts=k, media_time_s=k / 25) for k in range(0, n, every)]
    return Recording(RunChoice("r", "s", "done"), observations)


def boxes_shown(known: Recording, n: int, fps: float = 25.0) -> tuple[list[bool], list[int]]:
    layout = layout_for(640, 360)
    drawing = Drawing(known, layout, fps)
    shown, counted = [], []
    for pts in range(n):
        painted = Painted(layout)
        counted.append(len(drawing.paint(painted.canvas, frame(pts))))
        shown.append(bool(is_colour(painted.rgb()[180, 161], COLOURS["Happy"])))
    return shown, counted


def test_only_frames_with_an_observation_have_a_box() -> None:
    shown, counted = boxes_shown(recording(1, n=10), 14)
    assert shown == [True] * 10 + [False] * 4
    assert counted == [1] * 10 + [0] * 4


def test_of_a_sampled_run_a_box_stands_until_the_next_look_and_no_longer() -> None:
    shown, counted = boxes_shown(recording(5, n=20), 25)
    assert shown == [True] * 20 + [False] * 5
    assert counted == ([1] + [0] * 4) * 4 + [0] * 5
