"""A PyAV frame as a `Picture`: views on its planes, and what its samples mean."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from av.sidedata.sidedata import SideDataContainer
from av.sidedata.sidedata import Type as SideDataType
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation

from streamer.pixels.colour import ColourSpace, Matrix
from streamer.pixels.geometry import UPRIGHT, Orientation
from streamer.pixels.layouts import LAYOUTS, Layout, Model
from streamer.pixels.picture import Picture
from streamer.pixels.sampling import Plane

HD_HEIGHT_PX = 720
"""A picture that does not name its matrix is taken as BT.709 from this coded height on, below as BT.601."""

# AVColorSpace (ITU-T H.273 matrix coefficients) by number; PyAV hands out the bare number.
_MATRICES: dict[int, Matrix] = {
    1: "bt709",
    4: "fcc",
    5: "bt601",
    6: "bt601",
    7: "smpte240m",
    8: "ycgco",
    9: "bt2020",
    10: "bt2020",
}
_SWSCALE: dict[Matrix, Colorspace] = {
    "bt709": Colorspace.ITU709,
    "fcc": Colorspace.FCC,
    "smpte240m": Colorspace.SMPTE240M,
    "bt2020": Colorspace.BT2020,
}


def _nameless(kind: type[SideDataType], value: object) -> SideDataType:
    """What FFmpeg attaches and PyAV has no name for, as EXIF: otherwise it would refuse all side data of the frame."""
    other = object.__new__(kind)
    other._name_, other._value_ = f"NAMELESS_{value}", value  # type: ignore[assignment]
    return other


SideDataType._missing_ = classmethod(_nameless)  # type: ignore[method-assign, assignment]
_LIMITED, _FULL = int(ColorRange.MPEG), int(ColorRange.JPEG)
_ACCURATE = Interpolation.BILINEAR | Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND
_ABSURD_ASPECT = 8


def picture_of(frame: VideoFrame, sample_aspect_ratio: Fraction | None = None) -> Picture:
    """The frame's picture, over its own buffers wherever `LAYOUTS` knows the format.

    - Display matrix: quarter turns and mirrors, from the frame's side data.
    - `sample_aspect_ratio` is the stream's (PyAV does not tell the frame's): the width is stretched by it. Beyond
      8:1 it is taken for an error and ignored.
    - An interlaced frame gives its top field: every second row, each standing for two lines.
    - Horizontal chroma siting is not told by PyAV: left, as in MPEG-2 and H.264, for limited range; centred, as in
      JPEG, for full range and for 4:1:1. Vertically centred.
    """
    layout = LAYOUTS.get(frame.format.name)
    space = _space(frame, layout)
    planes = _planes(frame, layout, space) if layout is not None else None
    flipped = bool(planes) and frame.planes[0].line_size < 0
    if planes is None:
        planes, space = _converted(frame, space)
    orientation = _orientation(frame)
    if flipped:
        orientation = orientation.after_vertical_flip()
    shown_w = _square_width(frame.width, sample_aspect_ratio)
    width, height = orientation.turned_wh(shown_w, frame.height)
    return Picture(width, height, planes, space, (frame.width, frame.height), orientation)


def _space(frame: VideoFrame, layout: Layout | None) -> ColourSpace:
    matrix = _MATRICES.get(int(frame.colorspace), "bt709" if frame.height >= HD_HEIGHT_PX else "bt601")
    model: Model = layout.model if layout else ("rgb" if frame.format.is_rgb else "yuv")
    full_range = layout.full_range if layout else False
    if model == "rgb":
        return ColourSpace("rgb", "bt601", True, layout.bits if layout else 8)
    if not frame.format.name.startswith("yuvj"):
        full_range = full_range if frame.color_range not in (_LIMITED, _FULL) else frame.color_range == _FULL
    if layout is None:
        return ColourSpace(model, matrix, full_range)
    return ColourSpace(model, matrix, full_range, layout.bits, layout.shift)


def _planes(frame: VideoFrame, layout: Layout, space: ColourSpace) -> tuple[Plane, ...] | None:
    """Views on the frame's memory, or None where a row is too short to be seen as this layout's cells."""
    planes = []
    buffers = frame.planes
    interlaced = frame.interlaced_frame
    for part in layout.planes:
        buffer = buffers[part.index]
        cols = -(-frame.width // part.x_step)
        rows = -(-frame.height // part.y_step)
        stride = abs(buffer.line_size)
        if cols * part.n * part.itemsize > stride or rows * stride > buffer.buffer_size:
            return None
        shape = (rows, cols) if part.n == 1 else (rows, cols, part.n)
        strides = (stride, part.n * part.itemsize, part.itemsize)[: len(shape)]
        kind = np.uint8 if part.itemsize == 1 else np.uint16
        pixels = np.ndarray(shape, kind, memoryview(buffer), strides=strides)
        pixels.flags.writeable = False
        y_step = part.y_step
        if interlaced and buffer.line_size > 0 and rows > 1:
            pixels, y_step = pixels[::2], 2 * y_step
        left_sited = part.x_step == 2 and not space.full_range
        planes.append(Plane(pixels, part.takes, part.x_step, y_step, -(part.x_step - 1) / 2 if left_sited else 0.0))
    return tuple(planes)


def _converted(frame: VideoFrame, space: ColourSpace) -> tuple[tuple[Plane, ...], ColourSpace]:
    """The one full-size conversion there is, for formats that are not in `LAYOUTS`: by swscale, to rgb24."""
    source: dict[str, Any] = {}
    if space.model == "yuv":
        source = {
            "src_colorspace": _SWSCALE.get(space.matrix, Colorspace.ITU601),
            "src_color_range": ColorRange.JPEG if space.full_range else ColorRange.MPEG,
        }
    rgb = frame.reformat(format="rgb24", interpolation=_ACCURATE, threads=1, **source)
    plain = ColourSpace("rgb")
    planes = _planes(rgb, LAYOUTS["rgb24"], plain)
    if planes is None:
        raise AssertionError("swscale gave rows that are too short")
    return planes, plain


def _orientation(frame: VideoFrame) -> Orientation:
    # Not `frame.side_data`: the frame would keep that and that the frame, and all buffers would stay until the garbage
    # collector came by, which for frames that waited in a queue takes thousands of them.
    side_data = SideDataContainer(frame)  # type: ignore[call-arg]  # the stub leaves its constructor out
    if not len(side_data) or SideDataType.DISPLAYMATRIX not in side_data:
        return UPRIGHT
    found = side_data[SideDataType.DISPLAYMATRIX]
    return Orientation.of_display_matrix(np.frombuffer(bytes(found), np.int32).tolist())


def _square_width(width: int, sample_aspect_ratio: Fraction | None) -> int:
    if not sample_aspect_ratio or not Fraction(1, _ABSURD_ASPECT) <= sample_aspect_ratio <= _ABSURD_ASPECT:
        return width
    return max(1, round(width * sample_aspect_ratio))
