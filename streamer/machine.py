"""What this machine is, and which software runs on it: for run records, benchmarks and `doctor`."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path

PACKAGES = ("affect-streamer", "av", "numpy", "onnx", "opencv-python-headless", "openvino", "kafka-python", "msgspec")


def n_cores() -> int:
    """The cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_name() -> str:
    """The processor's name as the system gives it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def facts() -> dict[str, str]:
    """The machine: processor, cores, memory, system."""
    return {
        "cpu": cpu_name(),
        "cores": str(n_cores()),
        "memory_gib": str(round(_memory_bytes() / 2**30, 1)),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }


def versions() -> dict[str, str]:
    """The versions of Python and of the packages whose behaviour shows in results."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _memory_bytes() -> int:
    import psutil

    return int(psutil.virtual_memory().total)
