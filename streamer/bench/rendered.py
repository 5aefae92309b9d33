"""Clips made of others by a camera that moves: pans, zooms and rolls over their pictures, encoded anew.

Faces in them move, tilt and change size more than in what they are made of. They say how far two ways of looking at the
same pictures agree, and nothing about people.
"""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

FPS = 25
SIZE_WH = (640, 360)
MOVES = {"pan": (0.10, 1.0, 0.0), "zoom": (0.03, 1.6, 0.0), "roll": (0.04, 1.1, 18.0)}
"""How far the camera goes to the sides (shares of the width), how near it comes (times), how far it rolls (degrees)."""
MOST_PICTURES = 300


def rendered(clip: Path, folder: Path, move: str, n_frames: int) -> Path:
    """`n_frames` of `clip`, forward and backward again and again, seen by a camera that moves in one of `MOVES`."""
    target = folder / f"{clip.stem}, {move}.mp4"
    pictures = _pictures(clip)
    turn = [*range(len(pictures)), *range(len(pictures) - 2, 0, -1)]
    with av.open(str(target), "w") as out:
        stream = out.add_stream("mpeg4", rate=Fraction(FPS))
        stream.width, stream.height = SIZE_WH
        stream.pix_fmt, stream.bit_rate = "yuv420p", 2_000_000
        for number in range(n_frames):
            seen = _seen(pictures[turn[number % len(turn)]], move, number / FPS)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(seen, format="rgb24")))
        out.mux(stream.encode(None))
    return target


def _pictures(clip: Path) -> list[NDArray[np.uint8]]:
    with av.open(str(clip)) as source:
        found = []
        for frame in source.decode(video=0):
            found.append(np.asarray(frame.to_ndarray(format="rgb24"), np.uint8))
            if len(found) == MOST_PICTURES:
                break
    return found


def _seen(picture: NDArray[np.uint8], move: str, at_s: float) -> NDArray[np.uint8]:
    """The picture, whole at first, as the camera sees it after so many seconds; what lies outside repeats the edge."""
    sideways, nearest, degrees = MOVES[move]
    swing = math.sin(at_s * 1.7), math.sin(at_s * 1.1 + 0.5)
    height, width = picture.shape[:2]
    scale = min(SIZE_WH[0] / width, SIZE_WH[1] / height) * nearest ** ((1 + swing[1]) / 2)
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees * swing[0], scale)
    matrix[0, 2] += (SIZE_WH[0] - width) / 2 + sideways * SIZE_WH[0] * swing[0]
    matrix[1, 2] += (SIZE_WH[1] - height) / 2
    seen = cv2.warpAffine(picture, matrix, SIZE_WH, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(seen, np.uint8)
