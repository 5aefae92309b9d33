"""The report in a real browser: drawn, silent, and asking nothing of any network."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from streamer.report import build
from tests.browser import log_of, look_as
from tests.synthetic_run import SyntheticRun, make_run

pytestmark = pytest.mark.browser

DRAWN_WITHIN_S = 60
MARKS = {
    "presence": ".barlayer .bars .point path",
    "timeline": ".barlayer .bars .point path, .scatterlayer .trace path.js-line, .scatterlayer .fills path",
    "circumplex": ".scatterlayer .points path",
}


def write_page(folder: Path, run: SyntheticRun, name: str = "report.html") -> Path:
    page = folder / name
    page.write_text(build([run.run], run.observations, run.tracks, run.windows), encoding="utf-8")
    return page


def show_all(chrome: Chrome) -> list[WebElement]:
    """Bring every figure into view, wait until it is drawn, and return the figures."""
    plots = chrome.find_elements(By.CSS_SELECTOR, ".plot")
    for plot in plots:
        chrome.execute_script("arguments[0].scrollIntoView({behavior: 'instant', block: 'center'})", plot)
        wait_until_drawn(chrome, plot)
    return plots


def wait_until_drawn(chrome: Chrome, plot: WebElement) -> None:
    WebDriverWait(chrome, DRAWN_WITHIN_S).until(lambda _: plot.get_attribute("data-drawn") == "yes")


def complaints(chrome: Chrome) -> list[str]:
    return [entry["message"] for entry in log_of(chrome, "browser") if entry["level"] in ("SEVERE", "WARNING")]


def requested(chrome: Chrome) -> list[str]:
    """Every address the browser was asked for, except the page itself and what is inline."""
    messages = [json.loads(entry["message"])["message"] for entry in log_of(chrome, "performance")]
    urls = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    return [url for url in urls if not url.startswith(("file:", "data:", "blob:", "about:", "chrome:"))]


def screenshot(chrome: Chrome, path: Path) -> None:
    """The whole page, not only what the window shows."""
    height = chrome.execute_script("return document.documentElement.scrollHeight")
    width = chrome.execute_script("return window.innerWidth")
    picture = chrome.execute_cdp_cmd(
        "Page.captureScreenshot",
        {"captureBeyondViewport": True, "clip": {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}},
    )
    path.write_bytes(base64.b64decode(picture["data"]))


@pytest.mark.parametrize(
    ("name", "look"),
    [
        ("light", {}),
        ("dark", {"dark": True}),
        ("phone", {"width_px": 390, "height_px": 800, "phone": True}),
    ],
)
def test_every_figure_is_drawn_and_nothing_is_fetched(
    chrome: Chrome, tmp_path: Path, name: str, look: dict[str, Any]
) -> None:
    page = write_page(tmp_path, make_run())
    look_as(chrome, **look)
    chrome.get(page.as_uri())
    plots = show_all(chrome)
    assert len(plots) == 2 + 2 * 3
    for plot in plots:
        kind = str(plot.get_attribute("data-kind"))
        marks = plot.find_elements(By.CSS_SELECTOR, MARKS[kind])
        assert len(marks) >= {"presence": 5, "timeline": 12, "circumplex": 300}[kind], kind
        assert plot.size["width"] > 250
    screenshot(chrome, tmp_path / f"{name}.png")
    assert (tmp_path / f"{name}.png").stat().st_size > 20_000
    assert chrome.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    assert complaints(chrome) == []
    assert requested(chrome) == []
    assert chrome.execute_script("return performance.getEntriesByType('resource').map(e => e.name)") == []


def test_time_runs_forward_in_longer_runs_too(chrome: Chrome, tmp_path: Path) -> None:
    page = write_page(tmp_path, make_run(n_frames=2000))
    chrome.get(page.as_uri())
    show_all(chrome)
    backwards = """
        return [...document.querySelectorAll(".plot.timeline")].flatMap((plot) => plot.calcdata)
            .filter((trace) => trace[0].trace.type === "scatter")
            .filter((trace) => trace.some((p, k) => k && p.x !== undefined && p.x < trace[k - 1].x)).length"""
    assert chrome.execute_script(backwards) == 0
    ticks = chrome.find_elements(By.CSS_SELECTOR, ".plot.timeline .xtick text")
    assert "01:00" in [tick.text for tick in ticks]
    assert complaints(chrome) == []


def test_figures_follow_a_change_of_theme(chrome: Chrome, tmp_path: Path) -> None:
    page = write_page(tmp_path, make_run(n_frames=100))
    grid = "return getComputedStyle(document.querySelector('.plot.circumplex .shapelayer path')).stroke"
    chrome.get(page.as_uri())
    ring = next(plot for plot in show_all(chrome) if plot.get_attribute("data-kind") == "circumplex")
    chrome.execute_script("arguments[0].scrollIntoView({behavior: 'instant', block: 'center'})", ring)
    light = chrome.execute_script(grid)
    dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
    WebDriverWait(chrome, DRAWN_WITHIN_S).until(lambda _: chrome.execute_script(grid) != light)
    assert complaints(chrome) == []


def test_hostile_names_run_nothing(chrome: Chrome, tmp_path: Path) -> None:
    name = "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
    page = write_page(tmp_path, make_run(streams=(name, "plain"), n_frames=60))
    chrome.get(page.as_uri())
    show_all(chrome)
    assert chrome.title.startswith("Three face tracks")
    assert name in chrome.find_element(By.TAG_NAME, "body").text
    assert complaints(chrome) == []
    assert requested(chrome) == []


def test_the_policy_of_the_page_stops_what_is_slipped_in(chrome: Chrome, tmp_path: Path) -> None:
    """Were a name ever to become markup, it still could neither run nor call home."""
    page = write_page(tmp_path, make_run(n_frames=60))
    slipped = "<script>document.title='owned'</script><img src='http://192.0.2.1/x.png'>"
    page.write_text(page.read_text("utf-8").replace("<main", slipped + "<main", 1), encoding="utf-8")
    chrome.get(page.as_uri())
    assert chrome.title != "owned"
    assert len(complaints(chrome)) >= 2


def test_folded_tracks_are_drawn_when_opened(chrome: Chrome, tmp_path: Path) -> None:
    run = make_run()
    lobby = [o for o in run.observations if o.stream == "lobby camera.mp4" and o.track.number == 1]
    tracks = [
        type(o)(**{**{f: getattr(o, f) for f in o.__struct_fields__}, "track": type(o.track)(epoch=0, number=k // 40)})
        for k, o in enumerate(lobby)
    ]
    page = tmp_path / "report.html"
    page.write_text(build([run.run], tracks), encoding="utf-8")
    chrome.get(page.as_uri())
    fold = chrome.find_element(By.CSS_SELECTOR, "details.track")
    plot = fold.find_element(By.CSS_SELECTOR, ".plot.timeline")
    assert plot.get_attribute("data-drawn") is None
    summary = fold.find_element(By.TAG_NAME, "summary")
    chrome.execute_script("arguments[0].focus()", summary)
    summary.send_keys(Keys.ENTER)
    wait_until_drawn(chrome, plot)
    assert plot.find_elements(By.CSS_SELECTOR, MARKS["timeline"])


def test_time_is_zoomed_by_keyboard(chrome: Chrome, tmp_path: Path) -> None:
    page = write_page(tmp_path, make_run())
    chrome.get(page.as_uri())
    show_all(chrome)
    plot = chrome.find_element(By.CSS_SELECTOR, ".plot.timeline")
    chrome.execute_script("arguments[0].focus()", plot)

    def span() -> list[float]:
        found: list[float] = chrome.execute_script("return arguments[0].layout.xaxis.range", plot)
        return found

    assert span() == [0, 20]
    plot.send_keys("+")
    assert span() == pytest.approx([4, 16])
    plot.send_keys(Keys.ARROW_RIGHT)
    assert span() == pytest.approx([6.4, 18.4])
    plot.send_keys(Keys.ARROW_RIGHT)
    assert span() == pytest.approx([8, 20])
    plot.send_keys("0")
    assert span() == [0, 20]


def test_it_prints_with_every_figure(chrome: Chrome, tmp_path: Path) -> None:
    page = write_page(tmp_path, make_run())
    look_as(chrome, dark=True)
    chrome.get(page.as_uri())
    printed = base64.b64decode(chrome.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"])
    (tmp_path / "report.pdf").write_bytes(printed)
    assert printed.startswith(b"%PDF")
    drawn = chrome.execute_script("return document.querySelectorAll('.plot .main-svg').length")
    assert drawn >= 8
    assert complaints(chrome) == []


def test_a_page_without_faces_is_quiet_too(chrome: Chrome, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(build([make_run().run], []), encoding="utf-8")
    chrome.get(page.as_uri())
    assert "No faces were found in two sources." in chrome.find_element(By.TAG_NAME, "h1").text
    assert complaints(chrome) == []
