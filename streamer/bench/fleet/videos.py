"""Short videos for the fleet, out of any clip: at a low rate they cost next to nothing to decode."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av

from streamer.errors import NotAVideo


def slowed(clip: Path, target: Path, *, rate: int, n_frames: int, every: int = 5) -> Path:
    """Every so-many-th frame of `clip`, forth and back until there are `n_frames`, at `rate` frames a second."""
    with av.open(str(clip)) as source:
        pictures = [
            frame.to_ndarray(format="rgb24") for k, frame in enumerate(source.decode(video=0)) if k % every == 0
        ]
    if not pictures:
        raise NotAVideo(f"{clip} has no pictures: choose another clip")
    there_and_back = pictures + pictures[-2:0:-1]  # no jump at the turn, so that faces stay the same tracks
    height, width = pictures[0].shape[:2]
    with av.open(str(target), "w") as out:
        stream = out.add_stream("mpeg4", rate=Fraction(rate))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.bit_rate = 2_000_000
        for number in range(n_frames):
            picture = there_and_back[number % len(there_and_back)]
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode(None))
    return target
