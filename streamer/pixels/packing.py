"""Pictures in memory that two processes share: the planes copied one after the other, and the words to find them by."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamer.pixels.colour import ColourSpace
from streamer.pixels.geometry import Orientation
from streamer.pixels.picture import Picture
from streamer.pixels.sampling import Plane

ALIGNMENT = 64


class PackedPlane(msgspec.Struct, frozen=True, kw_only=True):
    """A plane of `dtype` and `shape` from byte `offset` on; the rest is `Plane`'s."""

    offset: int
    dtype: str
    shape: tuple[int, ...]
    takes: tuple[tuple[int, int], ...]
    x_step: float
    y_step: float
    x_shift: float


class PackedPicture(msgspec.Struct, frozen=True, kw_only=True):
    """A picture whose planes lie in shared memory; the fields are `Picture`'s."""

    width: int
    height: int
    planes: tuple[PackedPlane, ...]
    space: ColourSpace
    coded_wh: tuple[int, int]
    orientation: Orientation


def packed_bytes(picture: Picture) -> int:
    """How much memory `pack` takes."""
    return sum(_aligned(plane.pixels.nbytes) for plane in picture.planes)


def pack(picture: Picture, memory: NDArray[np.uint8], at: int) -> PackedPicture:
    """Copy the planes into `memory` (bytes,) from `at` on, a multiple of `ALIGNMENT`."""
    planes = []
    for plane in picture.planes:
        pixels = plane.pixels
        target = memory[at : at + pixels.nbytes].view(pixels.dtype).reshape(pixels.shape)
        np.copyto(target, pixels)
        planes.append(
            PackedPlane(
                offset=at,
                dtype=pixels.dtype.str,
                shape=pixels.shape,
                takes=plane.takes,
                x_step=plane.x_step,
                y_step=plane.y_step,
                x_shift=plane.x_shift,
            )
        )
        at += _aligned(pixels.nbytes)
    return PackedPicture(
        width=picture.width,
        height=picture.height,
        planes=tuple(planes),
        space=picture.space,
        coded_wh=picture.coded_wh,
        orientation=picture.orientation,
    )


def unpack(packed: PackedPicture, memory: NDArray[np.uint8]) -> Picture:
    """The picture over `memory`, without a copy: good until the memory is written again."""
    planes = []
    for plane in packed.planes:
        dtype = np.dtype(plane.dtype)
        n_bytes = int(np.prod(plane.shape)) * dtype.itemsize
        pixels = memory[plane.offset : plane.offset + n_bytes].view(dtype).reshape(plane.shape)
        planes.append(Plane(pixels, plane.takes, plane.x_step, plane.y_step, plane.x_shift))
    return Picture(packed.width, packed.height, tuple(planes), packed.space, packed.coded_wh, packed.orientation)


def _aligned(n_bytes: int) -> int:
    return -(-n_bytes // ALIGNMENT) * ALIGNMENT
