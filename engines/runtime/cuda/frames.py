"""How a decoded frame lies in one buffer, and the maps that lead from a crop's pixels to its samples.

Coordinates of frames and crops are continuous (the first pixel covers [0, 1)), as everywhere in this software; the
kernel counts samples, whose centres are at whole numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from engines.errors import EngineError
from engines.spec import CropGeometry, Normalisation

Affine = NDArray[np.float64]
Border = Literal["constant", "replicate"]


@dataclass(frozen=True)
class Component:
    """One of a frame's three kinds of sample, 8 bits each: Y, U, V or R, G, B.

    `offset`, `pitch` and `step` are bytes: to the first sample, from row to row, from sample to sample. A sample
    covers `x_step` by `y_step` frame pixels; sample (0, 0) begins at (`x_shift`, 0).
    """

    offset: int
    pitch: int
    step: int
    width: int
    height: int
    x_step: float = 1.0
    y_step: float = 1.0
    x_shift: float = 0.0

    @property
    def grid(self) -> tuple[float, float, float]:
        """Components on one grid share a map."""
        return self.x_step, self.y_step, self.x_shift


@dataclass(frozen=True)
class FrameLayout:
    """A frame in one buffer of `n_bytes`. `to_rgb` (3,4) takes its samples to 0..255 RGB; `black` are those of black.

    Raises `EngineError` when a component reaches beyond the buffer or there are more than two grids.
    """

    components: tuple[Component, Component, Component]
    to_rgb: tuple[tuple[float, float, float, float], ...]
    black: tuple[float, float, float]
    n_bytes: int

    def __post_init__(self) -> None:
        for part in self.components:
            last = part.offset + (part.height - 1) * part.pitch + (part.width - 1) * part.step
            if min(part.offset, part.width - 1, part.height - 1) < 0 or last >= self.n_bytes:
                raise EngineError(f"a component of the frame reaches byte {last} of {self.n_bytes}")
        if len({part.grid for part in self.components}) > 2:
            raise EngineError("a frame has at most two grids of samples: luma's and chroma's")

    @property
    def grids(self) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
        """The grid of the first component, and the other one (the same again where there is none)."""
        first = self.components[0].grid
        return first, next((part.grid for part in self.components if part.grid != first), first)

    def table(self) -> NDArray[np.int32]:
        """(3,6) as the kernel reads it."""
        first = self.components[0].grid
        rows = [
            (one.offset, one.pitch, one.step, one.width, one.height, int(one.grid != first)) for one in self.components
        ]
        return np.array(rows, np.int32)

    def colour(self, order: Literal["rgb", "bgr"]) -> NDArray[np.float32]:
        """(3,4) from samples to 0..255 in the network's channel order."""
        matrix = np.array(self.to_rgb, np.float32)
        return np.ascontiguousarray(matrix if order == "rgb" else matrix[::-1])


_IDENTITY = ((1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0))


def rgb_layout(width: int, height: int, *, planar: bool = False) -> FrameLayout:
    """Packed RGB (height,width,3), or planar (3,height,width), rows without gaps."""
    area = width * height
    parts = [
        Component(i * area, width, 1, width, height) if planar else Component(i, 3 * width, 3, width, height)
        for i in range(3)
    ]
    return FrameLayout((parts[0], parts[1], parts[2]), _IDENTITY, (0.0, 0.0, 0.0), 3 * area)


def yuv420_layout(
    width: int,
    height: int,
    to_rgb: Sequence[Sequence[float]],
    *,
    black: tuple[float, float, float] = (16.0, 128.0, 128.0),
    interleaved: bool = False,
    chroma_left: bool = True,
) -> FrameLayout:
    """8-bit 4:2:0, rows without gaps: I420, or NV12 when `interleaved`. Chroma left of its luma pair as in H.264."""
    chroma_w, chroma_h = -(-width // 2), -(-height // 2)
    shift = -0.5 if chroma_left else 0.0
    area, chroma = width * height, chroma_w * chroma_h
    if interleaved:
        parts = [Component(area + i, 2 * chroma_w, 2, chroma_w, chroma_h, 2.0, 2.0, shift) for i in range(2)]
    else:
        parts = [Component(area + i * chroma, chroma_w, 1, chroma_w, chroma_h, 2.0, 2.0, shift) for i in range(2)]
    rows = tuple((float(a), float(b), float(c), float(d)) for a, b, c, d in to_rgb)
    return FrameLayout((Component(0, width, 1, width, height), parts[0], parts[1]), rows, black, area + 2 * chroma)


def crop_maps(frame_to_crop: Affine, layout: FrameLayout) -> NDArray[np.float32]:
    """(B,2,6): for the affine maps (B,2,3) from frame to crop pixels, those from crop to sample indices on both grids.

    Raises `EngineError` for a map that cannot be turned around.
    """
    maps = np.asarray(frame_to_crop, np.float64)
    if maps.ndim != 3 or maps.shape[1:] != (2, 3):
        raise EngineError(f"crops are given by maps of the shape (B,2,3), not {maps.shape}")
    linear = maps[:, :, :2]
    if not (np.isfinite(maps).all() and (np.abs(np.linalg.det(linear)) > 1e-12).all()):
        raise EngineError("a map from frame to crop is not finite or flattens the picture")
    back = np.linalg.inv(linear)
    shift = -np.einsum("bij,bj->bi", back, maps[:, :, 2])
    centre = shift + back.sum(2) * 0.5  # what the centre of the crop's first pixel shows, in frame pixels
    out = np.empty((len(maps), 2, 2, 3), np.float64)
    for i, (x_step, y_step, x_shift) in enumerate(layout.grids):
        steps = np.array([x_step, y_step])
        out[:, i, :, :2] = back / steps[:, None]
        out[:, i, :, 2] = (centre - (x_shift, 0.0)) / steps - 0.5
    return np.ascontiguousarray(out.reshape(-1, 2, 6), np.float32)


def normalising(form: Normalisation, black: Sequence[float] = (0.0, 0.0, 0.0)) -> NDArray[np.float32]:
    """(9,) as the kernels read it: mean, std, and the samples of black."""
    if form.colour == "grey" or form.layout != "nchw":
        raise EngineError("the GPU's kernels feed colour pictures in NCHW; fold other forms into the network")
    mean, std = np.broadcast_to(form.mean, 3), np.broadcast_to(form.std, 3)
    return np.concatenate([mean, std, black]).astype(np.float32)


def check_cut(crop: CropGeometry) -> None:
    """Raises `EngineError` for a crop that the kernel cannot cut."""
    if crop.interpolation != "linear":
        raise EngineError(
            f"the GPU cuts crops with linear interpolation, not {crop.interpolation}: cut them on the CPU"
        )
