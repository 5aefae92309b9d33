"""`crops.cu` compiled by NVRTC for one GPU architecture, kept for the next start. Needs no GPU and no driver."""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path
from typing import Any

from engines.errors import EngineError, WrongUse
from engines.runtime.cuda.devices import sm_of
from engines.zoo.cache import write_atomically

NAMES = ("normalise_crops_float", "normalise_crops_half", "cut_crops_float", "cut_crops_half")
SIGNATURES = dict(zip(NAMES, ("PPPii", "PPPii", "PPPPPPiii", "PPPPPPiii"), strict=True))
"""The kinds of their arguments, P for an address and i for an int, as pycuda wants them."""
BLOCK_WH = (32, 8)
_OPTIONS = ("--fmad=false", "--std=c++17")  # the same bits as the reference, whatever the GPU


def source() -> str:
    """The text of `crops.cu`."""
    return resources.files("engines.runtime.cuda").joinpath("crops.cu").read_text(encoding="utf-8")


def grid_of(width: int, height: int, n: int) -> tuple[int, int, int]:
    """How many blocks of `BLOCK_WH` cover n crops."""
    return -(-width // BLOCK_WH[0]), -(-height // BLOCK_WH[1]), n


def kernels_for(capability: str, cache: Path) -> bytes:
    """The cubin for GPUs of that compute capability (`8.6`), from `cache` where an earlier start left it.

    Raises `WrongUse` where the compiler is not installed, `EngineError` when it refuses.
    """
    nvrtc = _nvrtc()
    version = ".".join(str(part) for part in _call(nvrtc.nvrtcVersion()))
    told = "\n".join([source(), version, capability, *_OPTIONS])
    path = cache / "compiled" / f"crops-{sm_of(capability)}-{hashlib.sha256(told.encode()).hexdigest()[:32]}.cubin"
    try:
        content = path.read_bytes()
        if hashlib.sha256(content[32:]).digest() == content[:32]:
            return content[32:]
    except OSError:
        pass
    cubin = compiled(capability)
    try:
        write_atomically(path, hashlib.sha256(cubin).digest() + cubin)
    except OSError:
        pass  # compiled again at the next start
    return cubin


def compiled(capability: str, *, ptx: bool = False) -> bytes:
    """The cubin, or the PTX, for a compute capability. Errors as `kernels_for`."""
    nvrtc = _nvrtc()
    number = capability.replace(".", "")
    options = [f"--gpu-architecture={'compute' if ptx else 'sm'}_{number}", *_OPTIONS]
    (program,) = _call(nvrtc.nvrtcCreateProgram(source().encode(), b"crops.cu", 0, [], []))
    try:
        (status,) = nvrtc.nvrtcCompileProgram(program, len(options), [option.encode() for option in options])
        if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
            raise EngineError(f"NVRTC cannot compile the crop kernels for {capability}: {_log(nvrtc, program, status)}")
        size, get = (
            (nvrtc.nvrtcGetPTXSize, nvrtc.nvrtcGetPTX) if ptx else (nvrtc.nvrtcGetCUBINSize, nvrtc.nvrtcGetCUBIN)
        )
        (n_bytes,) = _call(size(program))
        content: bytes = b" " * n_bytes
        _call(get(program, content))
        return content
    finally:
        nvrtc.nvrtcDestroyProgram(program)


def _nvrtc() -> Any:
    try:
        from cuda.bindings import nvrtc

        nvrtc.nvrtcVersion()  # the library itself is loaded at the first call
    except (ImportError, OSError, RuntimeError) as error:
        raise WrongUse(
            f"the GPU's kernels cannot be compiled here ({error}): install affect-streamer[gpu], or run `make engines`"
        ) from error
    return nvrtc


def _call(answer: tuple[Any, ...]) -> tuple[Any, ...]:
    status, *values = answer
    if int(status) != 0:
        raise EngineError(f"NVRTC failed: {status.name}")
    return tuple(values)


def _log(nvrtc: Any, program: Any, status: Any) -> str:
    (n_bytes,) = _call(nvrtc.nvrtcGetProgramLogSize(program))
    text = b" " * n_bytes
    _call(nvrtc.nvrtcGetProgramLog(program, text))
    lines = [line for line in text.decode(errors="replace").strip("\0 \n").splitlines() if line.strip()]
    return lines[0] if lines else str(status.name)
