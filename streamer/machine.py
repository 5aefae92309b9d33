"""What this machine is, and which software runs on it: for run records, benchmarks and `doctor`."""

from __future__ import annotations

from engines.runtime.machine import machine_facts as facts
from engines.runtime.machine import n_cores, versions_of

__all__ = ["PACKAGES", "facts", "n_cores", "versions"]

PACKAGES = ("affect-streamer", "av", "numpy", "onnx", "opencv-python-headless", "openvino", "kafka-python", "msgspec")


def versions() -> dict[str, str]:
    """The versions of Python and of the packages whose behaviour shows in results."""
    return versions_of(PACKAGES)
