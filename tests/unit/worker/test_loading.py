"""What is loaded on the way to the first record: nothing that it does not need."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = "yaml prometheus_client rich numpy cv2 av kafka onnx jinja2 plotly openvino structlog psutil urllib.request"


@pytest.mark.parametrize(
    ("module", "needed"),
    [
        ("streamer.cli.run", set[str]()),  # comes before the first child is begun
        ("streamer.worker.child", {"numpy", "cv2", "av", "urllib.request"}),  # has no model to open yet
    ],
)
def test_only_what_is_needed_is_loaded(module: str, needed: set[str]) -> None:
    program = f"import sys, {module}; print(*(set({HEAVY!r}.split()) & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= needed
