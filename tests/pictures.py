"""`python -m tests.pictures [FOLDER]` makes the pictures of docs/images anew: of a real demo, in a real browser."""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from pathlib import Path

from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from engines.zoo.sample import fetch_sample
from streamer.bench.clips import loop_clip
from tests.browser import look_as, open_browser
from tests.dashboard import Dashboard, find, row, wait
from tests.product import ROOT, start, streamer

DRAWN_WITHIN_S = 60
WIDTH_PX, HEIGHT_PX, IN_DEPTH_PX = 1180, 640, 1040
SHOWN_S, DRAWN_ANEW_S = 60.0, 3.0


def picture_of_report(chrome: Chrome, report: Path, to: Path) -> None:
    """The first track of a report: what it showed over time, and the circumplex."""
    look_as(chrome, width_px=WIDTH_PX, height_px=HEIGHT_PX)
    chrome.get(report.as_uri())
    track = chrome.find_element(By.CSS_SELECTOR, ".track")
    chrome.execute_script("arguments[0].scrollIntoView({behavior: 'instant', block: 'start'})", track)
    plots = track.find_elements(By.CSS_SELECTOR, ".plot")
    drawn = WebDriverWait(chrome, DRAWN_WITHIN_S)
    drawn.until(lambda _: all(plot.get_attribute("data-drawn") == "yes" for plot in plots))
    to.write_bytes(chrome.get_screenshot_as_png())


def pictures_of_dashboard(chrome: Chrome, folder: Path, to: Path) -> None:
    """Streams at a glance, and one with a face in depth, after a minute of a real run of the sample clip."""
    loop_clip(fetch_sample(), folder / "door.mp4", 600.0)
    sources = ("door=door.mp4", "yard=testsrc://160x120@5", "lobby=testsrc://160x120@5")
    run = start("run", *sources, "--mode", "live", "--sample-fps", "10", "--quiet", cwd=folder)
    dashboard = Dashboard(folder)
    try:
        look_as(chrome, width_px=WIDTH_PX, height_px=HEIGHT_PX)
        chrome.get(dashboard.url)
        wait(chrome, lambda: "%" in row(chrome, "door"), "an expression at the door")
        time.sleep(SHOWN_S)
        to.joinpath("dashboard.png").write_bytes(chrome.get_screenshot_as_png())
        look_as(chrome, width_px=WIDTH_PX, height_px=IN_DEPTH_PX)
        chrome.get(f"{dashboard.url}/stream/door")
        wait(chrome, lambda: find(chrome, ".face .plot canvas"), "a face with its charts")
        time.sleep(DRAWN_ANEW_S)
        to.joinpath("dashboard-stream.png").write_bytes(chrome.get_screenshot_as_png())
    finally:
        dashboard.end()
        run.send_signal(signal.SIGINT)
        run.communicate(timeout=60)


def main(arguments: list[str]) -> int:
    """Run the demo and take the pictures of it."""
    folder = Path(arguments[0]) if arguments else ROOT / "docs" / "images"
    with tempfile.TemporaryDirectory() as made, open_browser(Path(made) / "profile") as chrome:
        done = streamer("demo", "--out", "demo", cwd=Path(made))
        if done.returncode == 0:
            picture_of_report(chrome, Path(made) / "demo" / "report.html", folder / "report.png")
            pictures_of_dashboard(chrome, Path(made), folder)
        sys.stderr.write(done.stderr)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
