"""`python -m tests.pictures [FOLDER]` makes the pictures of docs/images anew: of a real demo, in a real browser."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from tests.browser import look_as, open_browser
from tests.product import ROOT, streamer

DRAWN_WITHIN_S = 60
WIDTH_PX, HEIGHT_PX = 1180, 640


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


def main(arguments: list[str]) -> int:
    """Run the demo and take the pictures of it."""
    folder = Path(arguments[0]) if arguments else ROOT / "docs" / "images"
    with tempfile.TemporaryDirectory() as made, open_browser(Path(made) / "profile") as chrome:
        done = streamer("demo", "--out", "demo", cwd=Path(made))
        if done.returncode == 0:
            picture_of_report(chrome, Path(made) / "demo" / "report.html", folder / "report.png")
        sys.stderr.write(done.stderr)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
