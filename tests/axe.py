"""Deque's axe-core, run inside a page: the accessibility faults it finds."""

from __future__ import annotations

import fcntl
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from selenium.webdriver import Chrome

from engines.zoo.clients import ClientFailed, node_package_files
from tests.kafka.broker import REPOSITORY
from tests.setting_up import give_up

VERSION = "4.14.1"
_KEPT = REPOSITORY / ".cache" / "axe" / f"axe-core-{VERSION}.min.js"
SERIOUS = ("serious", "critical")
BUT_MINOR = ("moderate", *SERIOUS)


def faults(chrome: Chrome, impacts: Sequence[str] = SERIOUS) -> list[str]:
    """What axe finds of these impacts in the page as it stands: the rule, and where."""
    chrome.execute_cdp_cmd("Runtime.evaluate", {"expression": _script()})  # a page's own policy would refuse it
    chrome.set_script_timeout(120)
    found: dict[str, Any] = chrome.execute_async_script(
        "const done = arguments[arguments.length - 1];"
        "axe.run(document, {resultTypes: ['violations']}).then(done, e => done({error: String(e)}))"
    )
    assert "error" not in found, found["error"]
    assert found["passes"], "axe looked at something"
    return [
        f"{fault['id']}: {node['target']} {node['failureSummary']}"
        for fault in found["violations"]
        if fault["impact"] in impacts
        for node in fault["nodes"]
    ]


def _script() -> str:
    """The text of axe-core, fetched once by npm; without it a test is skipped, in CI it fails."""
    _KEPT.parent.mkdir(parents=True, exist_ok=True)
    with (_KEPT.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _KEPT.exists():
            _fetch(_KEPT)
    return _KEPT.read_text(encoding="utf-8")


def _fetch(kept: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            [script] = node_package_files(f"axe-core@{VERSION}", ["axe.min.js"], Path(folder)).values()
        except ClientFailed as error:
            give_up(f"axe-core cannot be had: {error}")
    part = kept.with_suffix(".part")
    part.write_bytes(script)
    part.replace(kept)
