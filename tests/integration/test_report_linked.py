"""The report on real runs in a real browser: pointing, choosing, jumping, comparing, printing, without a network."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pypdf import PdfReader
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait

from engines.zoo.sample import fetch_sample
from streamer.report.page import build_from
from tests.axe import faults
from tests.browser import look_as
from tests.integration.test_report_browser import DRAWN_WITHIN_S, complaints, requested, screenshot, wait_until_drawn
from tests.product import LEAVES, NO_FACE, TWO_FACES, needs_clips, observations, streamer
from tests.unit.report.made_up import HOUR, many

pytestmark = [
    pytest.mark.browser,
    pytest.mark.models,
    pytest.mark.clips,
    pytest.mark.usefixtures("models"),
    needs_clips,
]
A4_POINTS = (595, 842)
RING = """
    const plot = arguments[0], box = plot.getBoundingClientRect();
    const ring = plot.parentElement.querySelector(".here").getBoundingClientRect();
    const { xaxis, yaxis } = plot._fullLayout;
    return [xaxis.p2l(ring.x + ring.width / 2 - box.x - xaxis._offset),
            yaxis.p2l(ring.y + ring.height / 2 - box.y - yaxis._offset)]"""
LINE = """
    const plot = arguments[0], box = plot.getBoundingClientRect();
    const line = plot.parentElement.querySelector(".now").getBoundingClientRect();
    return plot._fullLayout.xaxis.p2l(line.x + line.width / 2 - box.x - plot._fullLayout.xaxis._offset)"""
POINTS = """
    const trace = arguments[0]._fullData.find((one) => one.meta === "points");
    const codes = JSON.parse(document.getElementById("figure-" + arguments[0].dataset.figure).textContent).columns.code;
    const names = ["Neutral", "Angry", "Disgust", "Fear", "Happy", "Sad", "Surprise"];
    return [...trace.x].map((x, k) => [trace.customdata[k], x, trace.y[k], names[codes[k]] ?? "no label"])"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, models: None) -> Path:
    """Four files analysed with the default head and with none, and the page about all eight runs."""
    folder = tmp_path_factory.mktemp("linked")
    (folder / "none.yaml").write_text("models: {head: none}\n")
    sources = (f"carphone={fetch_sample()}", f"two={TWO_FACES}", f"leaves={LEAVES}", f"nobody={NO_FACE}")
    for options in ((), ("--config", "none.yaml")):
        done = streamer("run", *sources, *options, "--quiet", cwd=folder)
        assert done.returncode == 0, done.stderr
    done = streamer("report", "--out", "all.html", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def chrome(chrome: Chrome, folder: Path) -> Iterator[Chrome]:
    """The page, opened afresh in a light window without a network; at the end nothing was complained of or fetched."""
    chrome.execute_cdp_cmd("Network.enable", {})
    chrome.execute_cdp_cmd(
        "Network.emulateNetworkConditions",
        {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0},
    )
    chrome.get((folder / "all.html").as_uri())
    yield chrome
    assert complaints(chrome) == []
    assert requested(chrome) == []


def section(chrome: Chrome, stream: str) -> WebElement:
    """The section of the first run of a stream."""
    return next(
        s
        for s in chrome.find_elements(By.CSS_SELECTOR, "section.source")
        if s.find_element(By.TAG_NAME, "h2").text.split()[0] == stream
    )


def drawn(chrome: Chrome, within: WebElement, kind: str) -> WebElement:
    """The first plot of a kind, in view and drawn."""
    plot = within.find_element(By.CSS_SELECTOR, f".plot.{kind}")
    chrome.execute_script("arguments[0].scrollIntoView({behavior: 'instant', block: 'center'})", plot)
    wait_until_drawn(chrome, plot)
    return plot


def eventually(chrome: Chrome, holds: Any) -> None:
    WebDriverWait(chrome, DRAWN_WITHIN_S).until(lambda _: holds())


def said(article: WebElement) -> str:
    return str(article.find_element(By.TAG_NAME, "output").text)


def choose(within: WebElement, what: str, value: str) -> None:
    Select(within.find_element(By.CSS_SELECTOR, f"select[data-filter={what}]")).select_by_visible_text(value)


def test_a_moment_on_the_timeline_is_shown_on_the_circumplex(chrome: Chrome) -> None:
    article = section(chrome, "carphone").find_element(By.CSS_SELECTOR, ".track")
    timeline, ring = drawn(chrome, article, "timeline"), drawn(chrome, article, "circumplex")
    ActionChains(chrome).move_to_element(timeline).perform()
    eventually(chrome, lambda: said(article).count("·") == 3)
    t_s, label, valence, arousal = said(article).replace("−", "-").split(" · ")
    where = [float(valence.split()[1]), float(arousal.split()[1])]
    assert chrome.execute_script(RING, ring) == pytest.approx(where, abs=0.02)
    near = [point for point in chrome.execute_script(POINTS, ring) if point[0] == t_s]
    assert [label, *where] in [[point[3], round(point[1], 2), round(point[2], 2)] for point in near]
    assert chrome.execute_script(LINE, timeline) == pytest.approx(float(t_s.split()[0]), abs=0.1)


def test_a_point_of_the_circumplex_is_shown_on_the_timeline(chrome: Chrome) -> None:
    article = section(chrome, "carphone").find_element(By.CSS_SELECTOR, ".track")
    timeline, ring = drawn(chrome, article, "timeline"), drawn(chrome, article, "circumplex")
    spot = chrome.execute_script(
        """const plot = arguments[0], trace = plot._fullData.find((one) => one.meta === "points");
        const { xaxis, yaxis } = plot._fullLayout, k = trace.x.length - 1;
        return [xaxis._offset + xaxis.l2p(trace.x[k]), yaxis._offset + yaxis.l2p(trace.y[k])]""",
        ring,
    )
    size = ring.size
    ActionChains(chrome).move_to_element_with_offset(
        ring, round(spot[0] - size["width"] / 2), round(spot[1] - size["height"] / 2)
    ).perform()
    eventually(chrome, lambda: said(article).count("·") == 3)
    t_s = float(said(article).split()[0])
    assert chrome.execute_script(LINE, timeline) == pytest.approx(t_s, abs=0.06)
    lanes = section(chrome, "carphone").find_element(By.CSS_SELECTOR, ".plot.presence")
    wait_until_drawn(chrome, lanes)
    eventually(chrome, lambda: chrome.execute_script(LINE, lanes) == pytest.approx(t_s, abs=0.06))


def test_moments_are_walked_by_keyboard_and_spoken(chrome: Chrome) -> None:
    article = section(chrome, "carphone").find_element(By.CSS_SELECTOR, ".track")
    ring = drawn(chrome, article, "circumplex")
    chrome.execute_script("arguments[0].focus()", ring)
    ring.send_keys(Keys.ARROW_RIGHT)
    assert said(article).startswith("0.0 s")
    ring.send_keys(Keys.ARROW_RIGHT, ".", ".")
    assert said(article).startswith("0.1 s"), "three frames of 30 a second"
    ring.send_keys(Keys.ARROW_LEFT, ",", ",", ",")
    assert said(article).startswith("0.0 s")
    assert article.find_element(By.TAG_NAME, "output").get_attribute("aria-live") == "polite"


def test_an_expression_filters_both_figures_and_the_moments(chrome: Chrome) -> None:
    source = section(chrome, "carphone")
    article = source.find_element(By.CSS_SELECTOR, ".track")
    timeline, ring = drawn(chrome, article, "timeline"), drawn(chrome, article, "circumplex")
    n_all = len(chrome.execute_script(POINTS, ring))
    names = [option.text for option in Select(source.find_element(By.CSS_SELECTOR, "[data-filter=expression]")).options]
    chosen = names[1]
    choose(source, "expression", chosen)
    eventually(chrome, lambda: 0 < len(chrome.execute_script(POINTS, ring)) < n_all)
    eventually(chrome, lambda: len(chrome.execute_script("return arguments[0].data.map((t) => t.name)", timeline)) == 4)
    assert sorted(chrome.execute_script("return arguments[0].data.map((t) => t.name)", timeline)) == sorted(
        [chosen, chosen, "arousal", "valence"]
    )
    seen = chrome.execute_script(
        """return arguments[0].data.filter((t) => t.name === "valence")
            .map((t) => [...t.y].filter((y) => y !== null).length)""",
        timeline,
    )
    assert seen == [len(chrome.execute_script(POINTS, ring))]
    for moment in source.find_elements(By.CSS_SELECTOR, ".moment"):
        assert moment.is_displayed() == (chosen in str(moment.get_attribute("data-expressions")).split())
    source.find_element(By.CSS_SELECTOR, "button[data-filter]").click()
    eventually(chrome, lambda: len(chrome.execute_script(POINTS, ring)) == n_all)


def test_a_track_filters_everything_of_its_source(chrome: Chrome) -> None:
    source = section(chrome, "two")
    lanes = drawn(chrome, source, "presence")
    articles = source.find_elements(By.CSS_SELECTOR, ".track")
    assert len(articles) == 2
    name = articles[1].find_element(By.TAG_NAME, "h3").text
    choose(source, "track", name)
    assert [article.is_displayed() for article in articles] == [False, True]
    lane = "return [...new Set(arguments[0].data.flatMap((bar) => [...bar.y]))]"
    eventually(chrome, lambda: chrome.execute_script(lane, lanes) == [1])
    rows = source.find_elements(By.CSS_SELECTOR, "tr[data-track]")
    assert [row.is_displayed() for row in rows] == [False, True]
    others = section(chrome, "leaves").find_elements(By.CSS_SELECTOR, ".track")
    assert all(article.is_displayed() for article in others), "other sources keep theirs"
    chrome.execute_script("location.hash = arguments[0]", articles[0].get_attribute("id"))
    eventually(chrome, articles[0].is_displayed)


def test_a_salient_moment_is_jumped_to(chrome: Chrome) -> None:
    source = section(chrome, "leaves")
    link = source.find_element(By.CSS_SELECTOR, ".moments .moment a")
    at_s = float(str(link.get_attribute("data-at")))
    article = chrome.find_element(By.ID, str(link.get_attribute("href")).split("#")[1])
    chrome.execute_script("arguments[0].focus()", link)
    link.send_keys(Keys.ENTER)
    timeline = article.find_element(By.CSS_SELECTOR, ".plot.timeline")
    eventually(chrome, lambda: chrome.switch_to.active_element == timeline)
    low, high = chrome.execute_script("return arguments[0].layout.xaxis.range", timeline)
    assert low <= at_s <= high
    assert chrome.execute_script(LINE, timeline) == pytest.approx(at_s, abs=0.05)
    assert said(article).startswith(f"{at_s:.1f} s")
    top = "return arguments[0].getBoundingClientRect().top"
    eventually(chrome, lambda: 0 <= chrome.execute_script(top, timeline) < 500)


def test_the_page_compares_what_the_bus_holds(chrome: Chrome, folder: Path) -> None:
    part = chrome.find_element(By.ID, "compared")
    seen = observations(folder / "affect.db")
    assert len({o.run for o in seen}) == 6, "four files in two ways, one without a face"
    n = len(seen) // 2
    assert f"A saw {n} faces and B {n}; {n} are the same" in part.text
    assert re.search(r"A\s+head \S+", part.text)
    assert re.search(r"B\s+head none", part.text)
    labels: dict[Any, list[str | None]] = {}
    for o in seen:
        labels.setdefault((o.stream, o.media_time_s, o.box_xywh), []).append(o.label)
    both = [pair for pair in labels.values() if None not in pair]
    alike = sum(1 for first, second in both if first == second)
    counts = [cell.text for cell in part.find_elements(By.CSS_SELECTOR, ".agreement tbody td")]
    assert sum(int(text) for text in counts if text != "·") == len(both)
    diagonal = part.find_elements(By.CSS_SELECTOR, ".agreement tbody td.same")
    assert sum(int(cell.text) for cell in diagonal if cell.text != "·") == alike
    assert len(chrome.find_elements(By.CSS_SELECTOR, ".tile")) == 8
    drawn(chrome, part, "difference")


@pytest.mark.parametrize(
    "look", [{}, {"dark": True}, {"width_px": 390, "height_px": 800, "phone": True}], ids=["light", "dark", "phone"]
)
def test_nothing_seriously_inaccessible_is_found(chrome: Chrome, folder: Path, look: dict[str, Any]) -> None:
    look_as(chrome, **look)
    chrome.get((folder / "all.html").as_uri())
    article = section(chrome, "carphone").find_element(By.CSS_SELECTOR, ".track")
    ring = drawn(chrome, article, "circumplex")
    chrome.execute_script("arguments[0].focus()", ring)
    ring.send_keys(Keys.ARROW_RIGHT)
    assert faults(chrome) == []
    assert chrome.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    screenshot(chrome, folder / f"page-{'-'.join(map(str, look))}.png")


def test_it_prints_on_a4_without_what_only_a_screen_can_do(chrome: Chrome, folder: Path) -> None:
    look_as(chrome, dark=True)
    chrome.get((folder / "all.html").as_uri())
    options = {"printBackground": True, "preferCSSPageSize": True}
    printed = base64.b64decode(chrome.execute_cdp_cmd("Page.printToPDF", options)["data"])
    (folder / "all.pdf").write_bytes(printed)
    pages = PdfReader(io.BytesIO(printed)).pages
    assert all((round(float(page.mediabox.width)), round(float(page.mediabox.height))) == A4_POINTS for page in pages)
    texts = [page.extract_text() for page in pages]
    words = " ".join(" ".join(texts).split())
    n_open = len(chrome.find_elements(By.CSS_SELECTOR, "article.track"))
    assert n_open <= len(pages) <= 8 + 2 * n_open
    assert not [k for k, text in enumerate(texts) if len(text.split()) < 10], "no page is nearly empty"
    assert words.count("valence: unpleasant to pleasant") == n_open
    assert words.count("probability") >= n_open
    for unwanted in ("Show all", "Drag to look closer", "Point at a moment", "all tracks", "Skip to the results"):
        assert unwanted not in words
    for wanted in ("At a glance", "The same files, analysed in two ways", "How the run went", "Not for decisions"):
        assert wanted in words


def test_fifty_files_of_hours_stay_readable(chrome: Chrome, folder: Path) -> None:
    page = folder / "fifty.html"
    page.write_text(build_from(*many(50, 2, HOUR)), encoding="utf-8")
    chrome.get(page.as_uri())
    assert len(chrome.find_elements(By.CSS_SELECTOR, ".tile svg.trace path.v")) == 50
    link = chrome.find_elements(By.CSS_SELECTOR, ".source .moment a")[-1]
    chrome.execute_script("arguments[0].click()", link)
    article = chrome.find_element(By.ID, str(link.get_attribute("href")).split("#")[1])
    assert article.tag_name == "details", "the last of fifty lies in a fold"
    timeline = article.find_element(By.CSS_SELECTOR, ".plot.timeline")
    eventually(chrome, lambda: chrome.switch_to.active_element == timeline)
    assert chrome.execute_script("return document.querySelectorAll('.plot[data-drawn]').length") < 20
    assert chrome.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
