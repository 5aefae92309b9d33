"""Prometheus and promtool of Debian: taken as they are found, else fetched by apt and unpacked, never installed.

Installed, the package would start a server of its own on every address of the machine.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.debian import LOCK
from tests.setting_up import give_up, may_set_up

ROOT = Path(__file__).parents[2]
UNPACKED = ROOT / ".cache" / "prometheus"


@dataclass(frozen=True, slots=True)
class Tools:
    """Where the programs are."""

    prometheus: str
    promtool: str


def tools() -> Tools:
    """The programs; skipped visibly where they cannot be had, a failure in CI."""
    found = _found()
    if found is None and _may_fetch():
        _fetch()
        found = _found()
    if found is None:
        give_up("prometheus is not on this machine (apt-get install prometheus)")
    return found


def _found() -> Tools | None:
    path = os.pathsep.join((os.environ.get("PATH", ""), str(UNPACKED / "usr" / "bin")))
    prometheus, promtool = (shutil.which(name, path=path) for name in ("prometheus", "promtool"))
    return None if prometheus is None or promtool is None else Tools(prometheus, promtool)


def _may_fetch() -> bool:
    return may_set_up() and all(shutil.which(name) is not None for name in ("apt-get", "dpkg-deb"))


def _fetch() -> None:
    UNPACKED.mkdir(parents=True, exist_ok=True)
    download = ["apt-get", "download", "-q", "prometheus"]
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for command in (download, ["apt-get", "update", "-q"], download):
            if not list(UNPACKED.glob("prometheus_*.deb")):
                subprocess.run(command, check=False, capture_output=True, cwd=UNPACKED)
    for package in UNPACKED.glob("prometheus_*.deb"):
        subprocess.run(["dpkg-deb", "-x", package, UNPACKED], check=False, capture_output=True)
