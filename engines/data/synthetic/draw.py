"""One picture of a drawn face: shapes in face coordinates, turned as a shallow relief, filled, lit and blurred."""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.data.synthetic.expression import Floats
from engines.data.synthetic.face import Part, covering, moving_parts, still_parts
from engines.data.synthetic.identity import Identity
from engines.data.synthetic.timeline import Timeline

_UNIT = 0.45
"""Half a face's height in parts of the side."""
_SHIFT = 4
"""Fractional bits of coordinates: what moves by less than a pixel is seen to move."""
_NOISE: NDArray[np.int16] = np.random.default_rng(7).normal(0, 4.0, (160, 160, 3)).astype(np.int16)


def draw_face(identity: Identity, timeline: Timeline, frame: int, side_px: int, grain: int) -> NDArray[np.uint8]:
    """Frame `frame` of a video as (side_px,side_px,3) RGB; `grain` picks the sensor noise."""
    behind, before = still_parts(identity)
    parts = behind + moving_parts(identity, timeline.channels[frame], timeline.gaze[frame]) + before
    cover = timeline.cover[frame]
    picture = cv2.resize(timeline.background, (side_px, side_px), interpolation=cv2.INTER_LINEAR).astype(np.uint8)
    _fill(picture, parts, timeline.pose[frame], side_px, identity, float(timeline.channels[frame, 4]))
    if cover[0] > 0:
        _fill_flat(picture, covering(identity, cover), side_px)
    return _seen(picture, timeline.light[frame], float(timeline.blur[frame]), grain)


def _fill(
    picture: NDArray[np.uint8], parts: list[Part], pose: Floats, side_px: int, identity: Identity, opened: float
) -> None:
    sizes = [len(part[0]) for part in parts]
    points = np.concatenate([part[0] for part in parts])
    height = np.repeat(np.array([part[1] for part in parts]), sizes)
    x, y = points[:, 0], points[:, 1]
    jaw = np.maximum(y - 0.62, 0) * (height >= 0)
    y = y + min(max(opened, 0.0), 1.0) * 0.25 * np.minimum(jaw, 0.4)  # the jaw drops
    roll, yaw, pitch, right, down, scale = (float(one) for one in pose)
    z = height * (1 - 0.5 * np.minimum(x * x, 1))
    x = x * math.cos(yaw) + z * math.sin(yaw)
    y = y * math.cos(pitch) + z * math.sin(pitch)
    whole = side_px * (1 << _SHIFT)
    cos, sin = _UNIT * scale * whole * math.cos(roll), _UNIT * scale * whole * math.sin(roll)
    fixed = np.empty((len(points), 2), np.int32)
    fixed[:, 0] = x * cos - y * sin + whole * (0.5 + right)
    fixed[:, 1] = x * sin + y * cos + whole * (0.49 + down)
    begin = 0
    for size, (_, _, colour) in zip(sizes, parts, strict=True):
        cv2.fillPoly(picture, [fixed[begin : begin + size]], colour, cv2.LINE_AA, _SHIFT)
        begin += size


def _fill_flat(picture: NDArray[np.uint8], parts: list[Part], side_px: int) -> None:
    for points, _, colour in parts:
        fixed = np.rint((points * _UNIT + 0.5) * side_px * (1 << _SHIFT)).astype(np.int32)
        cv2.fillPoly(picture, [fixed], colour, cv2.LINE_AA, _SHIFT)


def _seen(picture: NDArray[np.uint8], light: Floats, blur: float, grain: int) -> NDArray[np.uint8]:
    """The picture under its light, out of focus by `blur`, with the sensor's grain, which darkness makes coarser."""
    side = len(picture)
    if blur > 0.05:
        picture = cv2.GaussianBlur(picture, (0, 0), 0.085 * side * blur).astype(np.uint8)
    slope = np.linspace(-0.5, 0.5, side, dtype=np.float32)
    bright = float(light[0])
    gain = (bright * (1 + light[1] * slope[None, :] + light[2] * slope[:, None])).astype(np.float32)
    dx, dy = grain % 97, grain // 97 % 97
    noise = _tiled(side)[dy : dy + side, dx : dx + side]
    lit = picture * gain[:, :, None] + noise * np.float32(1.6 - 0.6 * min(bright, 1.0))
    seen: NDArray[np.uint8] = np.minimum(np.maximum(lit, 0), 255).astype(np.uint8)
    return seen


@lru_cache(maxsize=4)
def _tiled(side: int) -> NDArray[np.float32]:
    n = -(-(side + 97) // len(_NOISE))
    return np.tile(_NOISE, (n, n, 1)).astype(np.float32)
