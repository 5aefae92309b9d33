"""What the cameras of the rig show: a clip made into H.264 as cameras send it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av

from streamer.errors import NotAVideo


def camera_clip(
    clip: Path, target: Path, *, rate: int = 10, n_frames: int = 60, every: int = 3, height_px: int | None = None
) -> Path:
    """Every so-many-th frame of `clip`, forth and back, at `rate` frames a second: a key frame each second, no
    B-frames, and no jump where it begins anew."""
    with av.open(str(clip)) as source:
        pictures = [frame for k, frame in enumerate(source.decode(video=0)) if k % every == 0][: n_frames // 2 + 1]
        if not pictures:
            raise NotAVideo(f"{clip} has no pictures: choose another clip")
        scale = 1.0 if height_px is None else height_px / pictures[0].height
        width, height = (2 * round(side * scale / 2) for side in (pictures[0].width, pictures[0].height))
        there_and_back = pictures + pictures[-2:0:-1]
        with av.open(str(target), "w") as out:
            stream = out.add_stream("libx264", rate=Fraction(rate))
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.options = {"preset": "veryfast", "crf": "20", "x264-params": "bframes=0:scenecut=0:threads=1"}
            stream.gop_size = rate
            for number in range(n_frames):
                shown = there_and_back[number % len(there_and_back)].reformat(width, height, "yuv420p")
                shown.pts, shown.time_base = number, Fraction(1, rate)
                out.mux(stream.encode(shown))
            out.mux(stream.encode(None))
    return target
