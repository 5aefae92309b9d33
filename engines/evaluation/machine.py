"""What this machine is and which software ran: for results that are kept."""

from __future__ import annotations

import os
import platform
from importlib import metadata

from engines.runtime.cpu import this_cpu

PACKAGES = ("affect-streamer", "numpy", "opencv-python-headless", "torch")


def machine_facts() -> dict[str, str]:
    """Processor, cores that may be used, and system."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {
        "cpu": this_cpu().name,
        "cores": str(cores),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }


def versions() -> dict[str, str]:
    """Of Python and of the packages whose behaviour shows in results."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
