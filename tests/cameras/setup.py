"""What the cameras need of Debian's packages: installed where that is allowed, else the tests are skipped visibly."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from tests import debian

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
    if reason is not None and not _tried:
        _tried.append(True)
        if debian.install(*PACKAGES):
            reason = missing()
    if reason is None:
        return
    reason = f"{reason} (apt-get install {' '.join(PACKAGES)})"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
