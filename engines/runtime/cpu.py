"""What this machine's processor is and can do, as far as the choice of precision and kernels depends on it."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from engines.errors import EngineError

NATIVE_BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})
_FIELDS = ("vendor_id", "cpu family", "model", "model name", "stepping", "cache size", "flags")


@dataclass(frozen=True)
class Cpu:
    """`flags` as the kernel lists them (empty where it does not); `fingerprint` differs where kernels may differ."""

    name: str
    flags: frozenset[str]
    fingerprint: str


def this_cpu(cpuinfo: Path = Path("/proc/cpuinfo")) -> Cpu:
    """The processor this runs on."""
    fields: dict[str, str] = {}
    try:
        first = cpuinfo.read_text(encoding="utf-8", errors="replace").split("\n\n")[0]
    except OSError:
        first = ""
    for line in first.splitlines():
        key, _, text = line.partition(":")
        fields[key.strip()] = text.strip()
    name = fields.get("model name") or platform.processor() or platform.machine()
    told = [platform.machine(), name, *(fields.get(key, "") for key in _FIELDS)]
    return Cpu(name, frozenset(fields.get("flags", "").split()), hashlib.sha256("\n".join(told).encode()).hexdigest())


def choose_precision(requested: str, *, engine_can: Collection[str], cpu: Cpu, quantised: bool = False) -> str:
    """`fp32`, `bf16`, `fp16` or `int8` for a request of one of them or `auto`.

    bf16 is taken only where the CPU computes in it: engines also offer an emulated one, slower than fp32.
    `quantised` says that the model's own weights are int8. Raises `EngineError` for what cannot be had.
    """
    native_bf16 = "BF16" in engine_can and bool(NATIVE_BF16_FLAGS & cpu.flags)
    if requested == "auto":
        if quantised:
            return "int8"
        return "bf16" if native_bf16 else "fp32"
    if requested == "fp32":
        return "fp32"
    if requested == "bf16" and native_bf16:
        return "bf16"
    if requested == "fp16" and "FP16" in engine_can:
        return "fp16"
    if requested == "int8" and quantised:
        return "int8"
    if requested == "int8":
        raise EngineError("precision int8 needs a quantised model and this one is not; ask for auto or fp32")
    if requested in ("bf16", "fp16"):
        raise EngineError(f"this CPU ({cpu.name}) has no {requested} arithmetic; ask for precision auto or fp32")
    raise EngineError(f"no precision is called {requested!r}; ask for auto, fp32, bf16, fp16 or int8")
