"""What is taken out of a picture: where it lies, how it is turned, and that nothing large is copied."""

from __future__ import annotations

import dataclasses
import gc
import tracemalloc
from fractions import Fraction

import cv2
import numpy as np
import pytest
from av.filter import Graph
from av.video.frame import VideoFrame
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamer.pixels import Picture
from streamer.pixels.frames import picture_of
from streamer.pixels.geometry import Orientation
from tests.unit.pixels.pictures import IDENTITY, colourful, difference, frame_in, swscale_rgb

EIGHT = [Orientation(t, x, y) for t in (False, True) for x in (False, True) for y in (False, True)]


def turned(image: NDArray[np.uint8], orientation: Orientation) -> NDArray[np.uint8]:
    out = image.transpose(1, 0, 2) if orientation.transpose else image
    out = out[:, ::-1] if orientation.flip_x else out
    return out[::-1] if orientation.flip_y else out


def with_orientation(picture: Picture, orientation: Orientation) -> Picture:
    width, height = orientation.turned_wh(picture.width, picture.height)
    return dataclasses.replace(picture, width=width, height=height, orientation=orientation)


@pytest.mark.parametrize("orientation", EIGHT)
@pytest.mark.parametrize("fmt", ["yuv420p", "bgra", "nv12"])
def test_turned_pictures(orientation: Orientation, fmt: str) -> None:
    frame = frame_in(fmt)
    picture = with_orientation(picture_of(frame), orientation)
    expected = turned(swscale_rgb(frame).astype(np.uint8), orientation)
    height, width = expected.shape[:2]
    small, _ = picture.letterbox(width, height, "rgb")
    assert difference(small, expected)[0] < 1.0
    warped = picture.warp(IDENTITY, width, height, "rgb", border="replicate")
    assert difference(warped, expected)[0] < 2.0


@pytest.mark.parametrize("fmt", ["yuv420p", "rgb24", "nv12", "yuyv422", "p010le"])
@pytest.mark.parametrize("orientation", [EIGHT[0], EIGHT[5]])
def test_planes_are_the_decoder_s_own_memory(fmt: str, orientation: Orientation) -> None:
    frame = frame_in(fmt)
    picture = picture_of(frame)
    memory = [np.frombuffer(memoryview(plane), np.uint8) for plane in frame.planes]
    for plane in picture.planes:
        assert any(np.shares_memory(plane.pixels, buffer) for buffer in memory)
        assert not plane.pixels.flags.writeable


def test_a_picture_keeps_its_frame_alive() -> None:
    frame = frame_in("yuv420p")
    picture = picture_of(frame)
    before = picture.letterbox(64, 48, "rgb")[0]
    del frame
    gc.collect()
    _ = [frame_in("yuv420p", image=np.zeros((96, 128, 3), np.uint8)) for _ in range(8)]
    assert np.array_equal(picture.letterbox(64, 48, "rgb")[0], before)


@pytest.mark.parametrize("orientation", EIGHT[:2])
def test_no_full_size_array_is_made(orientation: Orientation) -> None:
    picture = with_orientation(picture_of(frame_in("yuv420p", image=colourful(1920, 1080))), orientation)
    to_crop = np.array([[0.2, 0.02, -60.0], [-0.02, 0.2, -10.0]])
    picture.letterbox(320, 192, "rgb")
    tracemalloc.start()
    try:
        picture.letterbox(320, 192, "rgb")
        picture.warp(to_crop, 112, 112, "rgb")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1920 * 1080  # one halved luma plane is a quarter of this


def test_letterbox_pads_with_black_at_the_right_and_bottom() -> None:
    picture = picture_of(frame_in("yuv420p"))  # 128 x 96
    wide, scale = picture.letterbox(320, 48, "rgb")
    assert scale == 0.5
    assert wide.shape == (48, 320, 3)
    assert wide.flags.c_contiguous
    assert not wide[:, 64:].any()
    assert wide[:, :64].std() > 10
    tall, scale = picture.letterbox(64, 100, "bgr")
    assert scale == 0.5
    assert not tall[48:].any()
    assert np.array_equal(tall[:48, :, ::-1], wide[:, :64])


@given(
    width=st.integers(33, 700),
    height=st.integers(33, 500),
    orientation=st.sampled_from(EIGHT),
    fmt=st.sampled_from(["yuv420p", "rgb24"]),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_a_point_is_found_at_its_place_times_the_scale(
    width: int, height: int, orientation: Orientation, fmt: str
) -> None:
    y, x = np.mgrid[0:height, 0:width] + 0.5
    spot_x, spot_y, radius = width * 0.7, height * 0.3, min(width, height) / 8
    weight = np.exp(-((x - spot_x) ** 2 + (y - spot_y) ** 2) / (2 * radius**2))
    image = np.repeat((weight * 220)[..., None], 3, -1).astype(np.uint8)
    picture = with_orientation(picture_of(frame_in(fmt, image=image)), orientation)
    small, scale = picture.letterbox(160, 96, "rgb")
    affine = orientation.affine(picture.width, picture.height, 1.0, 1.0)
    expected = (affine[:, :2] @ (spot_x, spot_y) + affine[:, 2]) * scale
    values = np.where(small[..., 1] > 60, small[..., 1], 0).astype(np.float64)
    rows, cols = np.mgrid[0:96, 0:160] + 0.5
    found = np.array([(values * cols).sum(), (values * rows).sum()]) / values.sum()
    assert np.abs(found - expected).max() < 0.35


@given(
    size=st.sampled_from([(128, 96), (640, 360), (331, 217)]),
    target=st.sampled_from([(64, 48), (128, 96), (200, 150), (90, 31)]),
    orientation=st.sampled_from(EIGHT),
    fmt=st.sampled_from(["yuvj420p", "yuvj444p", "bgra", "gray"]),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_warping_by_the_scale_is_letterboxing(
    size: tuple[int, int], target: tuple[int, int], orientation: Orientation, fmt: str
) -> None:
    picture = with_orientation(picture_of(frame_in(fmt, full_range=True, image=colourful(*size))), orientation)
    small, scale = picture.letterbox(*target, "rgb")
    to_crop = np.array([[scale, 0.0, 0.0], [0.0, scale, 0.0]])
    width, height = round(picture.width * scale), round(picture.height * scale)
    warped = picture.warp(to_crop, width, height, "rgb", "area", "replicate")
    mean, greatest = difference(small[:height, :width], warped)
    assert mean < 1.5
    assert greatest < 24


def test_outside_of_the_picture_is_black_or_the_nearest_pixel() -> None:
    white = np.full((40, 60, 3), 255, np.uint8)
    for fmt in ("yuv420p", "yuvj420p", "rgb24", "gray", "p010le"):
        picture = picture_of(frame_in(fmt, image=white))
        away = np.array([[1.0, 0.0, 30.0], [0.0, 1.0, 30.0]])
        for interpolation in ("linear", "area", "cubic"):
            crop = picture.warp(away, 50, 50, "rgb", interpolation, "constant")
            assert crop[:28].max() <= 1
            assert crop[34:, 34:].min() >= 253
            assert picture.warp(away, 50, 50, "rgb", interpolation, "replicate").min() >= 253


@pytest.mark.parametrize("interpolation", ["linear", "area", "cubic"])
def test_a_crop_far_outside_or_degenerate_is_still_a_crop(interpolation: str) -> None:
    picture = picture_of(frame_in("yuv420p"))
    for to_crop in (
        np.array([[0.1, 0.0, 1e5], [0.0, 0.1, -1e5]]),
        np.zeros((2, 3)),
        np.array([[0.01, 0.0, 0.0], [0.0, 0.01, 0.0]]),
    ):
        crop = picture.warp(to_crop, 20, 10, "rgb", interpolation)  # type: ignore[arg-type]
        assert crop.shape == (10, 20, 3)


def test_area_averages_what_linear_aliases() -> None:
    stripes = np.zeros((480, 640, 3), np.uint8)
    stripes[:, ::2] = 255
    picture = picture_of(frame_in("yuv444p", full_range=True, image=stripes))
    eighth = np.array([[0.125, 0.0, 0.0], [0.0, 0.125, 0.0]])
    smooth = picture.warp(eighth, 80, 60, "rgb", "area", "replicate").astype(int)
    assert np.abs(smooth - 128).max() <= 4
    turned_by = np.deg2rad(30.0)
    c, s = 0.125 * np.cos(turned_by), 0.125 * np.sin(turned_by)
    inside = picture.warp(np.array([[c, s, 0.0], [-s, c, 30.0]]), 30, 30, "rgb", "area", "replicate").astype(int)
    assert np.abs(inside - 128).max() <= 40


@pytest.mark.parametrize("interpolation", ["linear", "area"])
def test_crops_lie_where_opencv_puts_them(interpolation: str) -> None:
    image = colourful(320, 240)
    picture = Picture.from_array(image)
    to_crop = np.array([[0.4, 0.1, -20.0], [-0.1, 0.4, -5.0]])
    smooth = cv2.GaussianBlur(image, (0, 0), 1.0) if interpolation == "area" else image
    shift = to_crop[:, 2] + to_crop[:, :2] @ (0.5, 0.5) - 0.5
    reference = cv2.warpAffine(smooth, np.column_stack([to_crop[:, :2], shift]), (64, 64), flags=cv2.INTER_LINEAR)
    seen = picture.warp(to_crop, 64, 64, "rgb", interpolation)  # type: ignore[arg-type]
    assert difference(seen[8:-8, 8:-8], reference[8:-8, 8:-8])[0] < 1.0


def test_left_sited_chroma_is_put_half_a_pixel_to_the_left() -> None:
    """A colour ramp whose chroma samples were taken at the even luma columns, as MPEG-2 and H.264 have them."""
    frame = VideoFrame(64, 32, "yuv420p")
    luma, u, v = (np.full((p.height, p.line_size), 128, np.uint8) for p in frame.planes)
    u[:, :32] = 64 + 4 * np.arange(32)  # column i sits at luma column 2 i
    for plane, values in zip(frame.planes, (luma, u, v), strict=True):
        plane.update(values.tobytes())
    wide = picture_of(frame).warp(IDENTITY, 64, 32, "rgb", border="replicate").astype(np.float64)
    blue = wide[16, 8:56, 2]
    full = 1.1644 * (128 - 16) + 2.0172 * (64 + 2 * np.arange(8, 56) - 128)
    assert np.abs(blue - full.clip(0, 255))[full < 250].max() < 1.6


@pytest.mark.parametrize("fmt", ["yuv420p", "nv12", "rgb24"])
def test_an_interlaced_frame_gives_its_top_field(fmt: str) -> None:
    """The bottom field is noise: nothing of it may be seen."""
    image = colourful(128, 96)
    plain = frame_in(fmt, image=image)
    frame = interlaced(fmt, image)
    picture = picture_of(frame)
    assert (picture.width, picture.height) == (128, 96)
    assert picture.planes[0].pixels.shape[0] == 48
    assert np.shares_memory(picture.planes[0].pixels, np.frombuffer(memoryview(frame.planes[0]), np.uint8))
    half, scale = picture.letterbox(64, 48, "rgb")
    assert scale == 0.5
    assert difference(half, picture_of(plain).letterbox(64, 48, "rgb")[0])[0] < 2.0
    assert difference(picture.warp(IDENTITY, 128, 96, "rgb", border="replicate"), swscale_rgb(plain))[0] < 2.5


def interlaced(fmt: str, image: NDArray[np.uint8]) -> VideoFrame:
    """A frame flagged interlaced (by FFmpeg's own filter) whose every second row is noise."""
    frame = frame_in(fmt, image=image)
    rng = np.random.default_rng(5)
    for plane in frame.planes:
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size).copy()
        rows[1::2] = rng.integers(0, 255, rows[1::2].shape)
        plane.update(rows.tobytes())
    frame.pts = 0
    frame.time_base = Fraction(1, 25)
    graph = Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base)
    flag = graph.add("setfield", "tff")
    sink = graph.add("buffersink")
    source.link_to(flag)
    flag.link_to(sink)
    graph.configure()
    graph.push(frame)
    out = graph.pull()
    assert isinstance(out, VideoFrame)
    assert out.interlaced_frame
    return out


@pytest.mark.parametrize(
    ("ratio", "width"),
    [(Fraction(4, 3), 171), (Fraction(1, 2), 64), (None, 128), (Fraction(0), 128), (Fraction(99), 128)],
)
def test_pixels_that_are_not_square(ratio: Fraction | None, width: int) -> None:
    frame = frame_in("yuv420p")
    picture = picture_of(frame, ratio)
    assert (picture.width, picture.height) == (width, 96)
    reference = cv2.resize(swscale_rgb(frame).astype(np.uint8), (width, 96), interpolation=cv2.INTER_LINEAR)
    assert difference(picture.letterbox(width, 96, "rgb")[0], reference)[0] < 1.0
    assert difference(picture.warp(IDENTITY, width, 96, "rgb", border="replicate"), reference)[0] < 2.0


def test_stretched_and_turned_pictures_are_stretched_along_their_coded_width() -> None:
    frame = frame_in("yuv420p")
    upright = picture_of(frame, Fraction(3, 2))
    picture = with_orientation(upright, EIGHT[4])
    assert (upright.width, upright.height) == (192, 96)
    assert (picture.width, picture.height) == (96, 192)
    expected = cv2.resize(swscale_rgb(frame).astype(np.uint8), (192, 96)).transpose(1, 0, 2)
    assert difference(picture.letterbox(96, 192, "rgb")[0], expected)[0] < 1.0
    assert difference(picture.warp(IDENTITY, 96, 192, "rgb", border="replicate"), expected)[0] < 2.0


def test_rows_that_lie_bottom_up() -> None:
    """FFmpeg's vflip only turns the rows' order in memory (a negative line size)."""
    frame = frame_in("yuv420p")
    frame.pts = 0
    frame.time_base = Fraction(1, 25)
    graph = Graph()
    source = graph.add_buffer(width=128, height=96, format=frame.format, time_base=frame.time_base)
    flip = graph.add("vflip")
    sink = graph.add("buffersink")
    source.link_to(flip)
    flip.link_to(sink)
    graph.configure()
    graph.push(frame)
    upside_down = graph.pull()
    assert isinstance(upside_down, VideoFrame)
    assert upside_down.planes[0].line_size < 0
    seen = picture_of(upside_down).letterbox(128, 96, "rgb")[0]
    assert difference(seen[::-1], swscale_rgb(frame))[0] < 1.0


def test_from_array_is_a_picture_without_a_copy() -> None:
    image = colourful()
    picture = Picture.from_array(image)
    assert np.shares_memory(picture.planes[0].pixels, image)
    assert np.array_equal(picture.letterbox(128, 96, "rgb")[0], image)
    assert np.array_equal(Picture.from_array(image, "bgr").letterbox(128, 96, "bgr")[0], image)
    assert np.array_equal(picture.letterbox(128, 96, "bgr")[0], image[..., ::-1])


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 900), (900, 1), (3, 700), (2, 2)])
@pytest.mark.parametrize("fmt", ["yuv420p", "rgb24", "yuyv422"])
def test_thin_pictures(width: int, height: int, fmt: str) -> None:
    picture = picture_of(frame_in(fmt, image=np.full((height, width, 3), 200, np.uint8)))
    for orientation in EIGHT:
        small, scale = with_orientation(picture, orientation).letterbox(320, 192, "rgb")
        assert small.max() > 190
        assert scale > 0
