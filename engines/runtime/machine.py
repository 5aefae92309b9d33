"""What this machine is and which software runs on it: for run records, benchmarks and whatever else is kept."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from importlib import metadata

from engines.runtime.cpu import this_cpu


def n_cores() -> int:
    """The cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def machine_facts() -> dict[str, str]:
    """The machine: processor, cores, memory, system."""
    return {
        "cpu": this_cpu().name,
        "cores": str(n_cores()),
        "memory_gib": str(round(_memory_bytes() / 2**30, 1)),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }


def versions_of(packages: Iterable[str]) -> dict[str, str]:
    """The versions of Python and of those of the packages that are installed."""
    found = {"python": platform.python_version()}
    for name in packages:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _memory_bytes() -> int:
    import psutil

    return int(psutil.virtual_memory().total)
