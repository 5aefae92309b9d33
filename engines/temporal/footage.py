"""Real clips made worse for a while, again and again: what a camera does to a face whose expression is known.

The copies go through the whole real pipeline, so that the network's answers to them are its own: no noise model.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from engines.errors import BadData

UInt8Array = NDArray[np.uint8]
Harm = Callable[[UInt8Array, float, np.random.Generator], UInt8Array]
EPISODES_HZ = 0.6
EPISODE_S = (0.5, 2.0)


def write_degraded(clip: Path, target: Path, rng: np.random.Generator) -> None:
    """Write `clip` with episodes of blur, darkness, coarseness, tilt or a bar across it, without loss (FFV1).

    Raises `BadData` when it cannot be decoded.
    """
    try:
        with av.open(str(clip)) as source:
            video = source.streams.video[0]
            rate = video.average_rate or video.guessed_rate or 25
            pictures = [np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in source.decode(video)]
    except (av.FFmpegError, IndexError, OSError) as error:
        raise BadData(f"{clip} cannot be read as a video: {error}") from error
    height, width = pictures[0].shape[:2]
    with av.open(str(target), "w") as out:
        stream = out.add_stream("ffv1", rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "bgr0"
        for picture in degraded(pictures, float(rate), rng):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode())


def degraded(pictures: list[UInt8Array], rate_hz: float, rng: np.random.Generator) -> list[UInt8Array]:
    """The pictures with episodes put over them, which come and go within 0.2 s."""
    times_s = np.arange(len(pictures)) / rate_hz
    worse = list(pictures)
    for begin_s in rng.uniform(-0.5, times_s[-1], 1 + rng.poisson(EPISODES_HZ * times_s[-1])):
        length_s = rng.uniform(*EPISODE_S)
        rise = ((times_s - begin_s) / 0.2).clip(0, 1) * ((begin_s + length_s - times_s) / 0.2).clip(0, 1)
        harm, how_much = _HARMS[int(rng.integers(len(_HARMS)))], rng.uniform(0.3, 1.0)
        fixed = int(rng.integers(2**31))  # the same bar, the same side of the tilt through the whole episode
        for i in np.flatnonzero(rise > 0):
            worse[i] = harm(worse[i], float(rise[i] * how_much), np.random.default_rng(fixed))
    return worse


def _blur(picture: UInt8Array, much: float, rng: np.random.Generator) -> UInt8Array:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 0.3 + 5.0 * much), np.uint8)


def _dark(picture: UInt8Array, much: float, rng: np.random.Generator) -> UInt8Array:
    return np.asarray((picture * (1.0 - 0.85 * much)).clip(0, 255), np.uint8)


def _coarse(picture: UInt8Array, much: float, rng: np.random.Generator) -> UInt8Array:
    height, width = picture.shape[:2]
    by = 1.0 + 4.0 * much
    small = cv2.resize(picture, (round(width / by), round(height / by)), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8)


def _tilt(picture: UInt8Array, much: float, rng: np.random.Generator) -> UInt8Array:
    """Turned and squeezed across, the nearest a flat picture comes to a turned head."""
    height, width = picture.shape[:2]
    side = float(rng.choice([-1.0, 1.0]))
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), side * 25.0 * much, 1.0)
    turn[0] *= 1.0 - 0.45 * much
    turn[0, 2] += 0.45 * much * width / 2
    return np.asarray(cv2.warpAffine(picture, turn, (width, height), borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _bar(picture: UInt8Array, much: float, rng: np.random.Generator) -> UInt8Array:
    """A grey bar as a hand or a microphone would be, across the lower or the upper half."""
    height = len(picture)
    middle = height * rng.uniform(0.3, 0.7)
    half = height * 0.07 * much
    covered = picture.copy()
    covered[max(0, int(middle - half)) : int(middle + half)] = 110
    return covered


_HARMS: tuple[Harm, ...] = (_blur, _dark, _coarse, _tilt, _bar)
