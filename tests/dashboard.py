"""`streamer dashboard` in a process of its own, and what tests look for in its pages."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from selenium.common.exceptions import StaleElementReferenceException, TimeoutException
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from tests.browser import log_of
from tests.product import heeding_interrupts, until

WITHIN_S = 120
ENDS_WITHIN_S = 60


class Dashboard:
    """A running dashboard; `said` are its lines on standard error."""

    def __init__(self, folder: Path, *arguments: str | Path, **environment: str) -> None:
        self.said: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "streamer", "dashboard", "--listen", "0", *map(str, arguments)],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
            preexec_fn=heeding_interrupts,
        )
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()
        until(lambda: bool(self.said) or self.process.poll() is not None, "the dashboard tells where it is", WITHIN_S)
        found = re.fullmatch(r"streamer: dashboard at (http://127\.0\.0\.1:\d+)", self.said[0])
        assert found, self.said
        self.url = found[1]

    def _listen(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line.rstrip())

    def end(self) -> int:
        """Interrupt it; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            code = self.process.wait(ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self._reader.join()
        assert self.process.stderr is not None
        self.process.stderr.close()
        return code


def find(chrome: Chrome, selector: str) -> list[WebElement]:
    """The elements that are there now."""
    return chrome.find_elements(By.CSS_SELECTOR, selector)


def wait(chrome: Chrome, holds: Callable[[], Any], what: str) -> Any:
    """What `holds` returns, once it is true; elements that were drawn anew meanwhile are looked for again."""
    waiting = WebDriverWait(chrome, WITHIN_S, 0.1, ignored_exceptions=[StaleElementReferenceException])
    try:
        return waiting.until(lambda _: holds())
    except TimeoutException:
        shown = chrome.execute_script("return document.body.innerText")
        pytest.fail(f"{what} did not come about in {WITHIN_S} s:\n{shown[:3000]}")


def text_of(chrome: Chrome, selector: str) -> str:
    """What the first of these says, or nothing."""
    said: str = chrome.execute_script("return document.querySelector(arguments[0])?.textContent ?? ''", selector)
    return " ".join(said.split())


def row(chrome: Chrome, stream: str) -> str:
    """What the overview says of a stream."""
    return text_of(chrome, f'tr[data-stream="{stream}"]')


def complaints(chrome: Chrome) -> list[str]:
    """What the console holds against us."""
    return [entry["message"] for entry in log_of(chrome, "browser") if entry["level"] in ("SEVERE", "WARNING")]


def requested_elsewhere(chrome: Chrome, url: str) -> list[str]:
    """The addresses outside of the dashboard that the browser was asked for."""
    messages = [json.loads(entry["message"])["message"] for entry in log_of(chrome, "performance")]
    urls = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    urls += [m["params"]["url"] for m in messages if m["method"] == "Network.webSocketCreated"]
    own = (url, url.replace("http:", "ws:"), "data:", "blob:", "about:", "chrome:")
    return [one for one in urls if not one.startswith(own)]
