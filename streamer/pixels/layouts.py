"""How FFmpeg's pixel formats lie in memory: one table says which can be viewed as planes and which are converted.

Names are FFmpeg's. A format that is not in the table (palettes, bit streams, 5/6-bit packed RGB, big-endian and
float samples, Bayer, hardware surfaces) is converted once to rgb24 by swscale: see `streamer.pixels.frames`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Model = Literal["yuv", "rgb", "grey"]
Pixels = NDArray[np.unsignedinteger[Any]]


@dataclass(frozen=True, slots=True)
class PlaneLayout:
    """One view on the memory of one FFmpeg plane.

    `n` interleaved samples of `itemsize` bytes make one cell, which covers `x_step` x `y_step` pixels of the coded
    picture. `takes` lists (channel of the cell, component): component 0, 1, 2 is Y, U, V or R, G, B.
    """

    index: int
    n: int
    takes: tuple[tuple[int, int], ...]
    x_step: int = 1
    y_step: int = 1
    itemsize: int = 1


@dataclass(frozen=True, slots=True)
class Layout:
    """A pixel format: its planes, its colour model, the bits of a sample and how far it is shifted up in its word."""

    planes: tuple[PlaneLayout, ...]
    model: Model
    bits: int = 8
    shift: int = 0
    full_range: bool = False


_SUBSAMPLING = {"420": (2, 2), "422": (2, 1), "444": (1, 1), "411": (4, 1), "440": (1, 2), "410": (4, 4)}
_DEPTHS = dict.fromkeys(("420", "422", "444"), (9, 10, 12, 14, 16)) | {"440": (10, 12)}
_ALPHA_DEPTHS = {"420": (8, 9, 10, 16), "422": (8, 9, 10, 12, 16), "444": (8, 9, 10, 12, 16)}


def _planar_yuv(x_step: int, y_step: int, bits: int = 8, full_range: bool = False) -> Layout:
    itemsize = 1 if bits == 8 else 2
    chroma = [PlaneLayout(i, 1, ((0, i),), x_step, y_step, itemsize) for i in (1, 2)]
    luma = PlaneLayout(0, 1, ((0, 0),), itemsize=itemsize)
    return Layout((luma, *chroma), "yuv", bits, full_range=full_range)


def _semi_planar(x_step: int, y_step: int, u: int = 0, bits: int = 8, shift: int = 0) -> Layout:
    itemsize = 1 if bits == 8 else 2
    luma = PlaneLayout(0, 1, ((0, 0),), itemsize=itemsize)
    return Layout((luma, PlaneLayout(1, 2, ((u, 1), (1 - u, 2)), x_step, y_step, itemsize)), "yuv", bits, shift)


def _packed_yuv(order: str) -> Layout:
    """4:2:2 in one plane, seen twice: as pairs for the luma and as quadruples for the chroma."""
    luma = PlaneLayout(0, 2, ((order.index("y"), 0),))
    return Layout((luma, PlaneLayout(0, 4, ((order.index("u"), 1), (order.index("v"), 2)), 2, 1)), "yuv")


def _packed_rgb(order: str, bits: int = 8) -> Layout:
    takes = tuple((order.index(letter), component) for component, letter in enumerate("rgb"))
    return Layout((PlaneLayout(0, len(order), takes, itemsize=bits // 8),), "rgb", bits, full_range=True)


def _planar_rgb(bits: int = 8) -> Layout:
    itemsize = 1 if bits == 8 else 2
    planes = (PlaneLayout(i, 1, ((0, c),), itemsize=itemsize) for i, c in enumerate((1, 2, 0)))
    return Layout(tuple(planes), "rgb", bits, full_range=True)


def _grey(bits: int = 8, n: int = 1) -> Layout:
    """FFmpeg's grey formats are full range unless the frame says otherwise."""
    return Layout((PlaneLayout(0, n, ((0, 0),), itemsize=1 if bits == 8 else 2),), "grey", bits, full_range=True)


def _table() -> dict[str, Layout]:
    table = {"gray": _grey(), "ya8": _grey(n=2), "ya16le": _grey(16, 2), "gbrp": _planar_rgb(), "gbrap": _planar_rgb()}
    for name, (x_step, y_step) in _SUBSAMPLING.items():
        table[f"yuv{name}p"] = _planar_yuv(x_step, y_step)
        table[f"yuvj{name}p"] = _planar_yuv(x_step, y_step, full_range=True)
        for bits in _DEPTHS.get(name, ()):
            table[f"yuv{name}p{bits}le"] = _planar_yuv(x_step, y_step, bits)
        for bits in _ALPHA_DEPTHS.get(name, ()):
            table[f"yuva{name}p" + (f"{bits}le" if bits > 8 else "")] = _planar_yuv(x_step, y_step, bits)
    del table["yuvj410p"]  # FFmpeg has no such format
    for bits in (9, 10, 12, 14, 16):
        table[f"gbrp{bits}le"] = _planar_rgb(bits)
        table[f"gray{bits}le"] = _grey(bits)
    for bits in (10, 12, 14, 16):
        table[f"gbrap{bits}le"] = _planar_rgb(bits)
    for name, digits in (("420", "0"), ("422", "2"), ("444", "4")):
        for bits in (10, 12, 16):
            table[f"p{digits}{bits}le"] = _semi_planar(*_SUBSAMPLING[name], bits=bits, shift=16 - bits)
    table |= {
        "nv12": _semi_planar(2, 2),
        "nv21": _semi_planar(2, 2, u=1),
        "nv16": _semi_planar(2, 1),
        "nv24": _semi_planar(1, 1),
        "nv42": _semi_planar(1, 1, u=1),
        "nv20le": _semi_planar(2, 1, bits=10),
        "yuyv422": _packed_yuv("yuyv"),
        "uyvy422": _packed_yuv("uyvy"),
        "yvyu422": _packed_yuv("yvyu"),
    }
    for name, order in (("rgb24", "rgb"), ("bgr24", "bgr"), ("rgb0", "rgb0"), ("bgr0", "bgr0")):
        table[name] = _packed_rgb(order)
    for order in ("rgba", "bgra", "argb", "abgr", "0rgb", "0bgr"):
        table[order] = _packed_rgb(order)
    for name, order in (("rgb48le", "rgb"), ("bgr48le", "bgr"), ("rgba64le", "rgba"), ("bgra64le", "bgra")):
        table[name] = _packed_rgb(order, 16)
    return table


LAYOUTS: dict[str, Layout] = _table()
"""Every format whose planes are read in place. Alpha is ignored everywhere, as swscale does."""
