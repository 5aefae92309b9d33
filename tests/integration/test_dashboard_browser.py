"""The dashboard in a real browser against a real run on SQLite: looked at, sorted, filtered, gone into."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

from streamer.bench.clips import loop_clip
from streamer.bus.open import open_bus
from streamer.bus.topics import topics
from streamer.config import TopicSettings
from tests.axe import BUT_MINOR, faults
from tests.browser import look_as
from tests.dashboard import (
    Dashboard,
    complaints,
    find,
    requested_elsewhere,
    row,
    text_of,
    wait,
)
from tests.product import ONE_FACE, needs_clips, start

pytestmark = pytest.mark.browser
PHONE = {"width_px": 390, "height_px": 844, "phone": True}
# Pixels that are not the background: a chart that was drawn has many.
INK = """
    const canvas = arguments[0].querySelector("canvas");
    if (!canvas || !canvas.width) return 0;
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let n = 0;
    for (let k = 3; k < data.length; k += 4) n += data[k] > 60;
    return n;"""


@pytest.fixture(scope="module")
def running(models: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    """A run that goes on, with a face in one stream and none in two others, and a dashboard that shows it."""
    folder = tmp_path_factory.mktemp("run")
    loop_clip(ONE_FACE, folder / "door.mp4", 1800.0)
    sources = ("door=door.mp4", "yard=testsrc://160x120@5", "lobby=testsrc://160x120@5")
    run = start("run", *sources, "--mode", "live", "--sample-fps", "4", "--quiet", "--children", "1", cwd=folder)
    dashboard = Dashboard(folder)
    yield dashboard
    assert dashboard.end() == 130
    assert dashboard.said[1:] == []
    stop(run)


def stop(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


@pytest.mark.models
@needs_clips
def test_streams_are_seen_sorted_filtered_and_gone_into(chrome: Chrome, running: Dashboard) -> None:
    chrome.get(running.url)
    for stream in ("door", "yard", "lobby"):
        wait(chrome, lambda s=stream: "live" in row(chrome, s), f"{stream} is live")  # type: ignore[misc]
    wait(chrome, lambda: "door" in row(chrome, "door") and "%" in row(chrome, "door"), "an expression at the door")
    assert names(chrome) == ["door", "lobby", "yard"]
    assert "Read only" in text_of(chrome, "#read-only")
    assert find(chrome, "#add") == []
    assert faults(chrome, BUT_MINOR) == []

    by_name = chrome.find_element(By.ID, "sort-stream")
    by_name.send_keys(Keys.ENTER)
    wait(chrome, lambda: names(chrome) == ["yard", "lobby", "door"], "the names the other way round")
    assert find(chrome, 'th[aria-sort="descending"]')[0].text.startswith("Stream")
    chrome.find_element(By.ID, "sort-faces").click()
    wait(chrome, lambda: names(chrome)[0] == "door", "most faces first")

    chrome.find_element(By.ID, "filter").send_keys("YA")
    wait(chrome, lambda: names(chrome) == ["yard"], "the filter")
    assert text_of(chrome, "#shown-count").startswith("1 of 3 streams")
    chrome.find_element(By.ID, "filter").send_keys("rd-not")
    wait(chrome, lambda: "No stream fits the filter." in text_of(chrome, "main"), "nothing fits")
    chrome.find_element(By.ID, "filter").send_keys(Keys.CONTROL, "a")
    chrome.find_element(By.ID, "filter").send_keys(Keys.DELETE)
    Select(chrome.find_element(By.ID, "state-filter")).select_by_value("live")
    wait(chrome, lambda: len(names(chrome)) == 3, "all that live")

    chrome.find_element(By.LINK_TEXT, "door").send_keys(Keys.ENTER)
    wait(chrome, lambda: find(chrome, ".face .plot canvas"), "a face with its charts")
    assert chrome.current_url.endswith("/stream/door")
    assert text_of(chrome, "h1") == "door"
    wait(chrome, lambda: chrome.execute_script(INK, find(chrome, ".plot")[0]) > 500, "probabilities are drawn")
    wait(chrome, lambda: chrome.execute_script(INK, find(chrome, ".plot.round")[0]) > 200, "the circumplex is drawn")
    wait(chrome, lambda: find(chrome, ".stat li"), "the newest block")
    wait(chrome, lambda: find(chrome, ".chip.warm"), "a warm state")
    Select(find(chrome, ".face select")[0]).select_by_value("Happy")
    assert complaints(chrome) == []
    assert requested_elsewhere(chrome, running.url) == []


@pytest.mark.models
@needs_clips
@pytest.mark.parametrize("look", [{}, {"dark": True}, PHONE, PHONE | {"dark": True}], ids=str)
def test_every_page_fits_and_has_no_serious_fault(
    chrome: Chrome, running: Dashboard, look: dict[str, Any], tmp_path: Path
) -> None:
    look_as(chrome, **look)
    pages = {"/": "tr[data-stream]", "/stream/door": ".face .plot canvas", "/fleet": "#no-fleet", "/jobs": "#no-jobs"}
    for path, sign in pages.items():
        chrome.get(running.url + path)
        wait(chrome, lambda s=sign: find(chrome, s), f"{path} is there")  # type: ignore[misc]
        assert chrome.execute_script("return document.documentElement.scrollWidth <= window.innerWidth"), path
        assert faults(chrome, BUT_MINOR) == [], path
        shot = tmp_path / f"{path.strip('/').replace('/', '-') or 'streams'}.png"
        assert chrome.save_screenshot(str(shot))
    assert complaints(chrome) == []
    assert requested_elsewhere(chrome, running.url) == []


@pytest.mark.models
@needs_clips
def test_a_name_that_is_no_stream_and_one_that_is_markup_are_told(chrome: Chrome, running: Dashboard) -> None:
    chrome.get(f"{running.url}/stream/%3Cimg%20src=x%20onerror=%22document.title='owned'%22%3E")
    wait(chrome, lambda: "There is no stream <img" in text_of(chrome, "#missing"), "the sentence")
    assert chrome.title.startswith("<img")
    assert complaints(chrome) == []


def test_the_bus_is_waited_for_lost_and_found(chrome: Chrome, tmp_path: Path) -> None:
    database = tmp_path / "affect.db"
    dashboard = Dashboard(tmp_path)
    try:
        chrome.get(dashboard.url)
        wait(chrome, lambda: "Waiting for the bus" in text_of(chrome, "#bus-state"), "that it waits")
        assert "there is no bus at" in text_of(chrome, "#bus-state")
        bus = open_bus(f"sqlite:///{database}")
        bus.ensure_topics(topics(TopicSettings()).all())
        bus.close()
        wait(chrome, lambda: "No streams on this bus yet" in text_of(chrome, "main"), "that it is empty")
        assert text_of(chrome, "#bus-state") == ""
        moved = tmp_path / "moved.db"
        database.rename(moved)
        wait(chrome, lambda: "what is shown is old" in text_of(chrome, "#bus-state"), "that it is away")
        moved.rename(database)
        wait(chrome, lambda: text_of(chrome, "#bus-state") == "", "that it is back")
        chrome.get(f"{dashboard.url}/stream/nobody")
        wait(chrome, lambda: "There is no stream nobody" in text_of(chrome, "#missing"), "that there is none")
        assert complaints(chrome) == []
    finally:
        assert dashboard.end() == 130


def test_a_half_written_database_is_told(chrome: Chrome, tmp_path: Path) -> None:
    (tmp_path / "affect.db").write_bytes(b"SQLite format 3\x00" + b"\x00" * 60)
    dashboard = Dashboard(tmp_path)
    try:
        chrome.get(dashboard.url)
        wait(chrome, lambda: "Waiting for the bus" in text_of(chrome, "#bus-state"), "the sentence")
        assert "affect.db" in text_of(chrome, "#bus-state")
    finally:
        dashboard.end()


def test_a_token_is_asked_for_and_opens_the_pages(chrome: Chrome, tmp_path: Path) -> None:
    dashboard = Dashboard(tmp_path, STREAMER_DASHBOARD_TOKEN="correct-horse-battery")
    try:
        chrome.get(f"{dashboard.url}/fleet")
        assert chrome.current_url.endswith("/login")
        assert faults(chrome, BUT_MINOR) == []
        chrome.find_element(By.ID, "token").send_keys("wrong-horse-battery", Keys.ENTER)
        wait(chrome, lambda: "not the token" in text_of(chrome, "main"), "that it is wrong")
        wait(chrome, lambda: chrome.execute_script("return document.readyState") == "complete", "the page")
        complaints(chrome)  # the browser notes the refusal
        chrome.find_element(By.ID, "token").send_keys("correct-horse-battery", Keys.ENTER)
        wait(chrome, lambda: "Waiting for the bus" in text_of(chrome, "#bus-state"), "the page, told over its socket")
        assert complaints(chrome) == []
    finally:
        dashboard.end()


def names(chrome: Chrome) -> list[str]:
    found: list[str] = chrome.execute_script(
        "return [...document.querySelectorAll('tr[data-stream]')].map((row) => row.dataset.stream)"
    )
    return found
