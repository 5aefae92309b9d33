"""Every pixel format, matrix and range against swscale."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from av.video.frame import VideoFrame

from streamer.pixels.frames import picture_of
from streamer.pixels.layouts import LAYOUTS
from tests.unit.pixels.pictures import IDENTITY, colourful, difference, frame_in, swscale_rgb

YUV = ["yuv420p", "yuv422p", "yuv444p", "yuv411p", "yuv440p", "nv12", "nv21", "nv16", "nv24", "nv42", "yuyv422"]
YUV += ["uyvy422", "yvyu422", "yuva420p", "yuva444p", "yuv420p10le", "yuv422p10le", "yuv444p12le", "yuv420p16le"]
YUV += ["p010le", "p016le", "p210le", "nv20le"]
RGB = ["rgb24", "bgr24", "rgba", "bgra", "argb", "abgr", "rgb0", "0bgr", "gbrp", "gbrap", "gbrp10le", "rgb48le"]
RGB += ["bgra64le"]
GREY = ["gray", "gray10le", "gray16le", "ya8", "ya16le"]
CONVERTED = ["rgb565le", "rgb555be", "yuv420p10be", "gbrpf32le", "grayf32le", "monow", "rgb4_byte"]


@pytest.mark.parametrize("fmt", YUV)
@pytest.mark.parametrize("matrix", ["bt601", "bt709", "bt2020"])
@pytest.mark.parametrize("full_range", [False, True])
def test_yuv_agrees_with_swscale(fmt: str, matrix: str, full_range: bool) -> None:
    frame = frame_in(fmt, matrix, full_range)
    reference = swscale_rgb(frame, matrix)
    picture = picture_of(frame)
    small, scale = picture.letterbox(128, 96, "rgb")
    assert scale == 1.0
    mean, greatest = difference(small, reference)
    assert mean < 0.8
    assert greatest <= 5
    mean, greatest = difference(picture.warp(IDENTITY, 128, 96, "rgb", border="replicate"), reference)
    assert mean < 2.0  # chroma of limited-range video is taken as sited left, swscale centres it unless told
    assert greatest <= 8


@pytest.mark.parametrize("fmt", [*RGB, *GREY, "yuvj420p", "yuvj444p"])
def test_full_range_formats_agree_with_swscale(fmt: str) -> None:
    frame = frame_in(fmt, full_range=True)
    reference = swscale_rgb(frame)
    picture = picture_of(frame)
    for seen in (picture.letterbox(128, 96, "rgb")[0], picture.warp(IDENTITY, 128, 96, "rgb", border="replicate")):
        mean, greatest = difference(seen, reference)
        assert mean < 0.8
        assert greatest <= 3


@pytest.mark.parametrize("fmt", CONVERTED)
def test_formats_without_planes_are_converted_once(fmt: str) -> None:
    frame = frame_in(fmt)
    assert fmt not in LAYOUTS
    assert difference(picture_of(frame).letterbox(128, 96, "rgb")[0], swscale_rgb(frame))[0] < 2.0


def test_palettes_are_converted_once() -> None:
    frame = VideoFrame(128, 96, "pal8")
    rows = np.zeros((96, frame.planes[0].line_size), np.uint8)
    rows[:, :128] = colourful()[..., 0] // 16
    palette = np.random.default_rng(3).integers(0, 256, (256, 4), dtype=np.uint8)
    palette[:, 3] = 255
    frame.planes[0].update(rows.tobytes())
    frame.planes[1].update(palette.tobytes())  # native-endian ARGB words: B, G, R, A bytes on a little-endian machine
    shown = picture_of(frame).letterbox(128, 96, "bgr")[0]
    assert difference(shown, palette[rows[:, :128]][..., :3])[1] == 0


@pytest.mark.parametrize("wrong", ["matrix", "range", "u and v", "channels"])
def test_the_tolerance_tells_wrong_colours(wrong: str) -> None:
    frame = frame_in("yuv420p", "bt709")
    reference = swscale_rgb(frame, "bt709")
    picture = picture_of(frame)
    if wrong == "matrix":
        picture = dataclasses.replace(picture, space=dataclasses.replace(picture.space, matrix="bt601"))
    elif wrong == "range":
        picture = dataclasses.replace(picture, space=dataclasses.replace(picture.space, full_range=True))
    elif wrong == "u and v":
        y, u, v = picture.planes
        swapped = (y, dataclasses.replace(u, takes=v.takes), dataclasses.replace(v, takes=u.takes))
        picture = dataclasses.replace(picture, planes=swapped)
    seen = picture.letterbox(128, 96, "bgr" if wrong == "channels" else "rgb")[0]
    assert difference(seen, reference)[0] > 2.0


@pytest.mark.parametrize(("height", "matrix"), [(719, "bt601"), (720, "bt709")])
def test_an_unnamed_matrix_follows_the_height(height: int, matrix: str) -> None:
    assert picture_of(VideoFrame(64, height, "yuv420p")).space.matrix == matrix


def test_grey_is_full_range_unless_the_frame_says_limited() -> None:
    frame = VideoFrame(16, 16, "gray")
    frame.planes[0].update(bytes([16]) * frame.planes[0].buffer_size)
    assert picture_of(frame).letterbox(16, 16, "rgb")[0][0, 0].tolist() == [16, 16, 16]
    frame.color_range = 1
    assert picture_of(frame).letterbox(16, 16, "rgb")[0][0, 0].tolist() == [0, 0, 0]


def test_odd_sizes_keep_the_last_column_and_row() -> None:
    image = colourful(127, 95)
    for fmt in ("yuv420p", "nv12", "yuyv422", "rgb24", "yuv411p"):
        frame = frame_in(fmt, image=image)
        assert difference(picture_of(frame).letterbox(127, 95, "rgb")[0], image)[0] < 2.0


@pytest.mark.parametrize("fmt", sorted(LAYOUTS))
def test_layouts_name_real_formats_and_every_component_once(fmt: str) -> None:
    layout = LAYOUTS[fmt]
    components = sorted(component for plane in layout.planes for _, component in plane.takes)
    assert components == ([0] if layout.model == "grey" else [0, 1, 2])
    frame = VideoFrame(16, 16, fmt)
    assert len(picture_of(frame).planes) == len(layout.planes)
    assert (layout.bits > 8) == (layout.planes[0].itemsize == 2)
    assert max(part.bits for part in frame.format.components) == layout.bits
