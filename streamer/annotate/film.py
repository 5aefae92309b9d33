"""The mp4 that is written: H.264 by x264, the source's own times, its sound."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Final, Literal

import av
import numpy as np
from av.video.frame import VideoFrame

from streamer.annotate.canvas import Canvas
from streamer.pixels.colour import ColourSpace

CODEC: Final = "libx264"
_OPTIONS = {"preset": "veryfast", "crf": "20"}
_KEY_FRAME_S = 2
_LEAST_TICKS_PER_S = 10_000
_MOST_TICKS_PER_S = 1 << 30
# ITU-T H.273 matrix coefficients.
_MATRIX_CODES = {"bt709": 1, "fcc": 4, "bt601": 6, "smpte240m": 7, "ycgco": 8, "bt2020": 9}


class Film:
    """An mp4 at `path` whose pictures are of `size_wh` (even) in `space`.

    `primaries` and `transfer` are H.273 codes, 2 where nothing is known. Times are in `time_base`, which is that of the
    source or a whole part of it, so that none is rounded.
    """

    def __init__(
        self,
        path: Path,
        size_wh: tuple[int, int],
        space: ColourSpace,
        time_base: Fraction,
        fps: float,
        *,
        primaries: int = 2,
        transfer: int = 2,
    ) -> None:
        self.time_base = _fine(time_base)
        self._path, self._space = path, space
        self._size_wh = size_wh
        # An edit list says when a film begins: in these ticks, else in milliseconds.
        scale = self.time_base.denominator // self.time_base.numerator
        options = {"movflags": "+faststart", "movie_timescale": str(max(1000, scale))}
        self.container = av.open(str(path), "w", format="mp4", options=options)
        fps = min(max(fps, 1.0), 240.0)
        self._stream = self.container.add_stream(CODEC, rate=Fraction(fps).limit_denominator(1001), options=_OPTIONS)
        self._stream.width, self._stream.height = size_wh
        self._stream.pix_fmt = "yuv420p"
        context = self._stream.codec_context
        context.time_base = self.time_base
        context.gop_size = max(1, round(_KEY_FRAME_S * fps))
        context.colorspace = _MATRIX_CODES[space.matrix]
        context.color_range = 2 if space.full_range else 1
        context.color_primaries, context.color_trc = primaries, transfer
        self._last: int | None = None

    def blank(self) -> tuple[VideoFrame, Canvas]:
        """A new picture and the canvas that paints into it; what is in it is not defined."""
        width, height = self._size_wh
        frame = VideoFrame(width, height, "yuv420p")
        luma, blue, red = (
            np.ndarray((plane.height, plane.width), np.uint8, memoryview(plane), strides=(plane.line_size, 1))
            for plane in frame.planes
        )
        return frame, Canvas(luma, blue, red, self._space)

    def write(self, frame: VideoFrame, time: Fraction) -> None:
        """Add the picture that is shown from `time` (seconds) on; one that would share a tick comes a tick later."""
        pts = round(time / self.time_base)
        self._last = pts if self._last is None else max(pts, self._last + 1)
        frame.pts, frame.time_base = self._last, self.time_base
        self.container.mux(self._stream.encode(frame))

    def finish(self) -> None:
        """Write what the encoder holds back; the file is whole once it is closed."""
        self.container.mux(self._stream.encode(None))

    def __enter__(self) -> Film:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        if error is not None:  # then nothing of it is wanted, and moving its index to the front would take a while
            self._path.unlink(missing_ok=True)
        try:
            self.container.close()
        except (av.FFmpegError, OSError):
            if error is None:
                raise
        return False


def _fine(time_base: Fraction) -> Fraction:
    """`time_base` or a whole part of it, as mp4 would choose: fine enough that frames that share a tick can be told."""
    fine = time_base / time_base.numerator
    while 1 / fine < _LEAST_TICKS_PER_S:
        fine /= 2
    return fine if 1 / fine <= _MOST_TICKS_PER_S else Fraction(1, _LEAST_TICKS_PER_S * 9)
