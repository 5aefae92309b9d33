"""The site of docs/: made without a warning, asking nothing of any network, readable on a phone and in the dark."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from tests.browser import log_of, look_as
from tests.product import ROOT

WITHIN_S = 60
# One of each kind: the front page, wide tables, long code, many links.
PAGES = ("index.html", "configuration.html", "commands.html", "decisions/README.html")


def make(pages: Path, to: Path) -> subprocess.CompletedProcess[str]:
    """As `make docs` does it."""
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", str(pages), str(to)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = make(ROOT / "docs", folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_is_in_it_and_every_command(site: Path) -> None:
    pages = [path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts]
    assert all((site / page).with_suffix(".html").exists() for page in pages)
    commands = (site / "commands.html").read_text(encoding="utf-8")
    for name in ("streamer run", "streamer jobs submit", "streamer bench live", "engines data check"):
        assert f"Usage: {name}" in commands


def test_links_and_pages_that_lead_nowhere_are_errors(tmp_path: Path) -> None:
    """With the settings of the site, so that the check is known to fail where it should."""
    pages = tmp_path / "docs"
    pages.mkdir()
    for name in ("conf.py", "_site", "_static"):
        (pages / name).symlink_to(ROOT / "docs" / name)
    links = "[a](no-page.md) [b](faq.md#no-heading) [c](#nor-here) ![d](no-picture.png) [e](no-file.json)"
    (pages / "index.md").write_text(f"# Here\n\n{links}\n", encoding="utf-8")
    (pages / "faq.md").write_text("# Other\n", encoding="utf-8")
    (pages / "not-in-the-menu.md").write_text("# Lost\n", encoding="utf-8")
    done = make(pages, tmp_path / "site")
    assert done.returncode != 0
    for wrong in ("no-page", "no-heading", "nor-here", "no-picture.png", "no-file.json", "not-in-the-menu"):
        assert wrong in done.stderr


@pytest.mark.browser
@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize(("width_px", "dark"), [(1280, False), (390, True)], ids=["desk", "phone"])
def test_a_page_is_whole_and_silent(site: Path, chrome: Chrome, page: str, width_px: int, dark: bool) -> None:
    look_as(chrome, width_px=width_px, height_px=844, phone=width_px < 500, dark=dark)
    chrome.get((site / page).as_uri())
    assert chrome.find_element(By.TAG_NAME, "h1").is_displayed()
    wider = chrome.execute_script("return document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wider <= 0, "the page scrolls to the side"
    background = chrome.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") is not dark
    assert [entry for entry in log_of(chrome, "browser") if entry["level"] == "SEVERE"] == []
    assert all(address.startswith(("file:", "data:")) for address in asked_for(chrome))


@pytest.mark.browser
def test_the_search_finds_a_setting(site: Path, chrome: Chrome) -> None:
    look_as(chrome)
    chrome.get((site / "search.html").as_uri() + "?q=retention_s")
    found = WebDriverWait(chrome, WITHIN_S).until(lambda one: one.find_elements(By.CSS_SELECTOR, "ul.search li a"))
    assert any("configuration.html" in (link.get_attribute("href") or "") for link in found)
    assert all(address.startswith(("file:", "data:")) for address in asked_for(chrome))


def asked_for(chrome: Chrome) -> list[str]:
    """The addresses of everything that the page has asked for."""
    messages = [json.loads(entry["message"])["message"] for entry in log_of(chrome, "performance")]
    return [
        message["params"]["request"]["url"] for message in messages if message["method"] == "Network.requestWillBeSent"
    ]
