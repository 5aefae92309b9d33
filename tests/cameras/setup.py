"""What the cameras need of Debian's packages: installed where that is allowed, else the tests are skipped visibly."""

from __future__ import annotations

from collections.abc import Callable

from tests import debian
from tests.setting_up import give_up

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
    give_up(f"{reason} (apt-get install {' '.join(PACKAGES)})")
