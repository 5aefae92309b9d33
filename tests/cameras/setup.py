"""What the cameras need of Debian's packages: installed where that is allowed, else the tests are skipped visibly."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable

import pytest

PACKAGES = (
    "ffmpeg",
    "gir1.2-gst-rtsp-server-1.0",
    "gstreamer1.0-plugins-bad",
    "gstreamer1.0-plugins-base",
    "gstreamer1.0-plugins-good",
    "gstreamer1.0-plugins-ugly",
    "libnginx-mod-rtmp",
    "nginx",
    "python3-gi",
)
_tried: list[bool] = []


def require(missing: Callable[[], str | None]) -> None:
    """Return where nothing is missing. Installs Debian's packages where it may, else skips (fails when CI=true)."""
    reason = missing()
    if reason is not None and _may_install() and not _tried:
        _tried.append(True)
        _install()
        reason = missing()
    if reason is None:
        return
    reason = f"{reason} (apt-get install {' '.join(PACKAGES)})"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def _install() -> None:
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *PACKAGES]
    for command in (["apt-get", "update", "-q"], install):
        subprocess.run(command, check=False, capture_output=True, env=quiet)


def _may_install() -> bool:
    asked = os.environ.get("CI") == "true" or os.environ.get("AFFECT_STREAMER_TEST_SETUP") == "1"
    return asked and hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get") is not None
