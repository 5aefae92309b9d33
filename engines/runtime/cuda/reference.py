"""The arithmetic of `crops.cu` in numpy, operation by operation in float32: the kernels must give these very bits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engines.runtime.cuda.frames import Border

FloatArray = NDArray[np.float32]


def normalise_crops(crops: NDArray[np.uint8], form: FloatArray) -> FloatArray:
    """(B,3,H,W) of crops (B,H,W,3): (x - mean) / std."""
    values = (crops.astype(np.float32) - form[:3]) / form[3:6]
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2))


def cut_crops(
    frame: NDArray[np.uint8],
    parts: NDArray[np.int32],
    maps: FloatArray,
    colour: FloatArray,
    form: FloatArray,
    width: int,
    height: int,
    border: Border,
) -> FloatArray:
    """(B,3,height,width) of a frame's bytes; `parts` (3,6), `maps` (B,2,6), `colour` (3,4), `form` (9,)."""
    out = np.empty((len(maps), 3, height, width), np.float32)
    for i, crop in enumerate(maps):
        samples = [
            _sample(frame, part, crop[part[5]], width, height, border, form[6 + k]) for k, part in enumerate(parts)
        ]
        for channel, row in enumerate(colour):
            mixed = row[0] * samples[0] + row[1] * samples[1] + row[2] * samples[2] + row[3]
            value = np.minimum(np.maximum(mixed, np.float32(0)), np.float32(255))
            out[i, channel] = (value - form[channel]) / form[3 + channel]
    return out


def _sample(
    frame: NDArray[np.uint8],
    part: NDArray[np.int32],
    to_sample: FloatArray,
    width: int,
    height: int,
    border: Border,
    fill: np.float32,
) -> FloatArray:
    x = np.arange(width, dtype=np.float32)[None, :]
    y = np.arange(height, dtype=np.float32)[:, None]
    limit = np.float32(1_000_000)
    at_x = np.clip(to_sample[0] * x + to_sample[1] * y + to_sample[2], -limit, limit)
    at_y = np.clip(to_sample[3] * x + to_sample[4] * y + to_sample[5], -limit, limit)
    left, top = np.floor(at_x), np.floor(at_y)
    x0, y0 = left.astype(np.int64), top.astype(np.int64)
    right_share, lower_share = at_x - left, at_y - top
    a, b = _tap(frame, part, x0, y0, border, fill), _tap(frame, part, x0 + 1, y0, border, fill)
    c, d = _tap(frame, part, x0, y0 + 1, border, fill), _tap(frame, part, x0 + 1, y0 + 1, border, fill)
    upper = a + (b - a) * right_share
    lower = c + (d - c) * right_share
    sampled: FloatArray = upper + (lower - upper) * lower_share
    return sampled


def _tap(
    frame: NDArray[np.uint8],
    part: NDArray[np.int32],
    x: NDArray[np.int64],
    y: NDArray[np.int64],
    border: Border,
    fill: np.float32,
) -> FloatArray:
    offset, pitch, step, columns, rows = (int(value) for value in part[:5])
    inside_x, inside_y = np.clip(x, 0, columns - 1), np.clip(y, 0, rows - 1)
    values: FloatArray = frame[offset + inside_y * pitch + inside_x * step].astype(np.float32)
    if border == "replicate":
        return values
    inside = (x == inside_x) & (y == inside_y)
    filled: FloatArray = np.where(inside, values, fill).astype(np.float32)
    return filled
