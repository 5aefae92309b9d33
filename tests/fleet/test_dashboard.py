"""The dashboard on Kafka with a real worker: streams come and go by its buttons, jobs are followed, the broker goes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from streamer.bench.fleet.ground import Ground
from streamer.bench.fleet.site import Site
from tests.axe import BUT_MINOR, faults
from tests.browser import look_as, open_browser
from tests.dashboard import Dashboard, complaints, find, requested_elsewhere, row, text_of, wait

pytestmark = [pytest.mark.kafka, pytest.mark.models, pytest.mark.browser]


@pytest.fixture(scope="module")
def site(stoppable: Ground) -> Iterator[Site]:
    settings = {"fleet.job_slots": 1, "fleet.starts_per_s": 100.0, "fleet.max_streams": 2}
    with stoppable.site("dashboard", [stoppable.camera()], settings) as site:
        site.start("one", {"checkpoint.archive_interval_s": 0.3})
        yield site


@pytest.fixture(scope="module")
def dashboard(site: Site) -> Iterator[Dashboard]:
    dashboard = Dashboard(site.folder, "--config", site.folder / "one.yaml")
    yield dashboard
    assert dashboard.end() == 130


@pytest.fixture
def chrome(tmp_path: Path) -> Iterator[Chrome]:
    with open_browser(tmp_path / "profile") as chrome:
        look_as(chrome)
        yield chrome


def add(chrome: Chrome, name: str, source: object) -> None:
    chrome.find_element(By.ID, "add").click()
    chrome.find_element(By.ID, "add-name").send_keys(name)
    chrome.find_element(By.ID, "add-source").send_keys(str(source))
    chrome.find_element(By.CSS_SELECTOR, "dialog[open] input[type=checkbox]").click()  # again and again
    chrome.find_element(By.ID, "add-now").click()


def press(chrome: Chrome, stream: str, what: str) -> None:
    def button() -> WebElement | None:
        buttons = find(chrome, f'tr[data-stream="{stream}"] button:enabled')
        return next((one for one in buttons if one.text.startswith(what)), None)

    wait(chrome, button, f"{what} {stream}").send_keys(Keys.ENTER)


def state(chrome: Chrome, stream: str) -> str:
    return text_of(chrome, f'tr[data-stream="{stream}"] .chip')


def test_streams_are_added_paused_resumed_and_removed_and_the_fleet_shows_them(
    chrome: Chrome, site: Site, dashboard: Dashboard, stoppable: Ground
) -> None:
    chrome.get(dashboard.url)
    wait(chrome, lambda: find(chrome, "#add"), "a fleet")
    add(chrome, "door", stoppable.camera())
    wait(chrome, lambda: "live" in row(chrome, "door"), "the door is live")
    wait(chrome, lambda: "%" in row(chrome, "door"), "an expression")
    chrome.find_element(By.ID, "add").click()
    assert faults(chrome, BUT_MINOR) == []
    chrome.find_element(By.ID, "add-name").send_keys("door")
    chrome.find_element(By.ID, "add-source").send_keys("rtsp://user:word@camera/live")
    chrome.find_element(By.ID, "add-now").click()
    wait(chrome, lambda: "defined already" in text_of(chrome, "dialog[open] [role=alert]"), "the refusal")
    find(chrome, "dialog[open] button[type=button]")[0].click()

    add(chrome, "secret", "/etc/hostname")
    wait(chrome, lambda: "fleet.roots" in row(chrome, "secret"), "what the worker says to it")
    add(chrome, "yard", "testsrc://160x120@5")
    wait(chrome, lambda: "live" in row(chrome, "yard"), "the yard is live")
    add(chrome, "attic", "testsrc://160x120@5")
    wait(chrome, lambda: "waiting" in row(chrome, "attic"), "no room for the attic")

    press(chrome, "yard", "Pause")
    wait(chrome, lambda: state(chrome, "yard") == "paused", "the pause")
    press(chrome, "yard", "Resume")
    wait(chrome, lambda: "Pause yard" in row(chrome, "yard"), "the wish to resume")
    for stream in ("yard", "attic", "secret"):
        press(chrome, stream, "Remove")
        wait(chrome, lambda: find(chrome, "#remove-now")[0].is_displayed(), "the question")
        chrome.find_element(By.ID, "remove-now").click()
        wait(chrome, lambda s=stream: f"{s} is removed." in text_of(chrome, "#said"), "the removal")  # type: ignore[misc]
        wait(chrome, lambda s=stream: "Remove" not in row(chrome, s), "no button any more")  # type: ignore[misc]

    chrome.get(f"{dashboard.url}/fleet")
    wait(chrome, lambda: "0-7" in text_of(chrome, 'tr[data-worker="one"]'), "the worker with its partitions")
    wait(chrome, lambda: "1 / 2" in text_of(chrome, 'tr[data-worker="one"]'), "its one stream of two")
    assert faults(chrome, BUT_MINOR) == []
    assert complaints(chrome) == []
    assert requested_elsewhere(chrome, dashboard.url) == []


def test_a_job_is_followed_and_another_cancelled(
    chrome: Chrome, site: Site, dashboard: Dashboard, stoppable: Ground
) -> None:
    chrome.get(f"{dashboard.url}/jobs")
    site.submit({"short": stoppable.recording(5.0)}, "day1")
    batch = '[data-batch="day1"]'
    wait(chrome, lambda: "short" in text_of(chrome, f"{batch} table"), "the job")
    wait(chrome, lambda: "1 done" in text_of(chrome, f"{batch} header"), "its end")
    assert find(chrome, f"{batch} > progress")[0].get_property("value") == 1
    assert "100 %" in text_of(chrome, batch)
    site.submit({"long": stoppable.recording(600.0)}, "day2")
    wait(chrome, lambda: find(chrome, '[data-batch="day2"] header button'), "the long one")
    find(chrome, '[data-batch="day2"] header button')[0].click()
    wait(chrome, lambda: "1 cancelled" in text_of(chrome, '[data-batch="day2"] header'), "that it is cancelled")
    assert faults(chrome, BUT_MINOR) == []
    assert complaints(chrome) == []


def test_the_broker_goes_and_comes_back(chrome: Chrome, site: Site, dashboard: Dashboard, stoppable: Ground) -> None:
    assert stoppable.broker is not None
    chrome.get(dashboard.url)
    wait(chrome, lambda: "live" in row(chrome, "door"), "the door")
    stoppable.broker.kill()
    wait(chrome, lambda: "what is shown is old" in text_of(chrome, "#bus-state"), "the banner")
    stoppable.broker.restart()
    wait(chrome, lambda: text_of(chrome, "#bus-state") == "", "that it is back")
    wait(chrome, lambda: "live" in row(chrome, "door"), "the door, live again")
    assert complaints(chrome) == []
