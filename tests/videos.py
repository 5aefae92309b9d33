"""Videos made by the tests."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def pattern(target: Path, *, size: tuple[int, int] = (320, 240), n_frames: int = 50, codec: str = "mpeg4") -> Path:
    """A moving pattern without a face."""
    width, height = size
    with av.open(str(target), "w") as out:
        stream = out.add_stream(codec, rate=Fraction(25))
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        rows, columns = np.mgrid[0:height, 0:width]
        for number in range(n_frames):
            picture = ((rows + columns + 5 * number) % 256).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(np.dstack([picture] * 3), format="rgb24")
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return target
