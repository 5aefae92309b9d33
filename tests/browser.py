"""A headless Chromium from the system, for tests that look at pages. Nothing is downloaded by selenium."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

from tests import debian
from tests.setting_up import give_up

SWITCHES = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)


def require_browser() -> tuple[str, str]:
    """Paths of Chromium and ChromeDriver; installs Debian's where it may, else skips (fails when CI=true)."""
    found = _find()
    if found is None and debian.install("chromium", "chromium-driver"):
        found = _find()
    if found is None:
        give_up("Chromium and ChromeDriver are not installed (apt-get install chromium chromium-driver)")
    return found


@contextlib.contextmanager
def open_browser(profile: Path) -> Iterator[webdriver.Chrome]:
    """A browser with an empty profile that keeps the page's console and network log."""
    chromium, driver = require_browser()
    options = Options()
    options.binary_location = chromium
    for switch in (*SWITCHES, f"--user-data-dir={profile}"):
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = webdriver.Chrome(options=options, service=Service(executable_path=driver))
    try:
        chrome.set_page_load_timeout(60)
        yield chrome
    finally:
        chrome.quit()


def look_as(
    chrome: webdriver.Chrome,
    *,
    width_px: int = 1280,
    height_px: int = 900,
    dark: bool = False,
    phone: bool = False,
) -> None:
    """Give the browser a window size and a preferred colour scheme, and forget what it logged so far."""
    chrome.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width_px, "height": height_px, "deviceScaleFactor": 1, "mobile": phone},
    )
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    log_of(chrome, "browser")
    log_of(chrome, "performance")


def log_of(chrome: webdriver.Chrome, kind: str) -> list[dict[str, Any]]:
    """The entries of a log (`browser` is the console, `performance` has the network) since it was last read."""
    entries: list[dict[str, Any]] = chrome.get_log(kind)  # type: ignore[no-untyped-call]  # selenium has no type here
    return entries


def _find() -> tuple[str, str] | None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    return (chromium, driver) if chromium and driver else None
