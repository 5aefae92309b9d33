"""The kernels' own source, run on the CPU."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import engines.runtime.cuda.kernels as kernels
from engines.runtime.cuda.kernels import BLOCK_WH, grid_of

_SHIM = Path(__file__).with_name("kernels_on_cpu.cpp")


class KernelsOnCpu:
    """`crops.cu` behind ctypes; arguments as the kernels have them."""

    def __init__(self, folder: Path) -> None:
        library = folder / "kernels.so"
        source = [f"-I{Path(kernels.__file__).parent}", str(_SHIM)]
        subprocess.run(
            ["g++", "-std=c++17", "-O1", "-ffp-contract=off", "-shared", "-fPIC", "-o", str(library), *source],
            check=True,
        )
        self._library = ctypes.CDLL(str(library))

    def normalise(self, crops: NDArray[np.uint8], form: NDArray[np.float32], half: bool) -> NDArray[np.floating]:
        n, height, width, _ = crops.shape
        out = np.full((n, 3, height, width), np.nan, np.float16 if half else np.float32)
        self._library.normalise_on_cpu(*_shape(width, height, n), _at(crops), _at(form), _at(out), width, height, half)
        return out

    def cut(
        self,
        frame: NDArray[np.uint8],
        parts: NDArray[np.int32],
        maps: NDArray[np.float32],
        colour: NDArray[np.float32],
        form: NDArray[np.float32],
        width: int,
        height: int,
        replicate: bool,
        half: bool = False,
    ) -> NDArray[np.floating]:
        out = np.full((len(maps), 3, height, width), np.nan, np.float16 if half else np.float32)
        arrays = [_at(one) for one in (frame, parts, maps, colour, form, out)]
        self._library.cut_on_cpu(*_shape(width, height, len(maps)), *arrays, width, height, replicate, half)
        return out


def kernels_on_cpu(folder: Path) -> KernelsOnCpu:
    """Compiled into `folder`; skipped where there is no g++, which fails in CI."""
    if shutil.which("g++") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("g++ is missing: the kernels' arithmetic cannot be checked")
        pytest.skip("g++ is missing: install it to check the kernels' arithmetic")
    return KernelsOnCpu(folder)


def _shape(width: int, height: int, n: int) -> tuple[ctypes.Array[ctypes.c_int], ctypes.Array[ctypes.c_int]]:
    return (ctypes.c_int * 3)(*grid_of(width, height, n)), (ctypes.c_int * 2)(*BLOCK_WH)


def _at(array: NDArray[np.generic]) -> ctypes.c_void_p:
    assert array.flags.c_contiguous
    return ctypes.c_void_p(array.ctypes.data)
