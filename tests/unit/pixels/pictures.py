"""Frames made by swscale, and what swscale says they look like: the independent reference."""

from __future__ import annotations

from typing import Any

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation
from numpy.typing import NDArray

ACCURATE = (
    Interpolation.BICUBIC | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP | Interpolation.ACCURATE_RND
)
SPACES = {"bt601": Colorspace.ITU601, "bt709": Colorspace.ITU709, "bt2020": Colorspace.BT2020}
IDENTITY = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


def colourful(width: int = 128, height: int = 96) -> NDArray[np.uint8]:
    """(h,w,3) RGB, smooth enough to survive chroma subsampling, unlike itself in any turn, mirror or channel order."""
    y, x = np.mgrid[0:height, 0:width] * (96.0 / height)
    red = 110 + 60 * np.sin(x / 23) + 70 * x / x.max()
    green = 128 + 90 * np.cos(x / 17 + y / 41)
    blue = 60 + 50 * np.sin((x + y) / 29) + 130 * y / y.max()
    return np.stack([red, green, blue], -1).clip(0, 255).astype(np.uint8)


def frame_in(
    fmt: str, matrix: str = "bt601", full_range: bool = False, image: NDArray[Any] | None = None
) -> VideoFrame:
    """`colourful` (or `image`) in a pixel format, tagged with its matrix and range."""
    frame = VideoFrame.from_ndarray(colourful() if image is None else image, "rgb24").reformat(
        format=fmt,
        dst_colorspace=SPACES[matrix],
        dst_color_range=ColorRange.JPEG if full_range else ColorRange.MPEG,
        interpolation=ACCURATE,
        threads=1,
    )
    frame.make_writable()
    return frame


def swscale_rgb(frame: VideoFrame, matrix: str = "bt601") -> NDArray[np.int64]:
    """(h,w,3): what swscale makes of the frame."""
    rgb = frame.reformat(format="rgb24", src_colorspace=SPACES[matrix], interpolation=ACCURATE, threads=1)
    return rgb.to_ndarray().astype(np.int64)


def difference(a: NDArray[Any], b: NDArray[Any]) -> tuple[float, int]:
    """Mean and greatest absolute difference."""
    gap = np.abs(a.astype(np.int64) - b.astype(np.int64))
    return float(gap.mean()), int(gap.max())
