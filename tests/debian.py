"""Debian's packages for tests: installed where that is allowed, by one test run at a time."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.setting_up import may_set_up

LOCK = Path(tempfile.gettempdir()) / "affect-streamer-tests-apt.lock"


def install(*packages: str) -> bool:
    """Install what is named, where this user may. Says whether it was tried; whether it helped, the caller sees."""
    if not _may_install():
        return False
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # apt-get itself gives up where another one is at work
        for arguments in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
            subprocess.run(["apt-get", "-q", *arguments], check=False, capture_output=True, env=quiet)
    return True


def _may_install() -> bool:
    return may_set_up() and hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get") is not None
