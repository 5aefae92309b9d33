"""The page of the demo, from a real run, in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from selenium.webdriver.common.by import By

from tests.browser import log_of, look_as, open_browser
from tests.integration.test_report_browser import MARKS, show_all
from tests.product import streamer

pytestmark = [pytest.mark.browser, pytest.mark.models, pytest.mark.usefixtures("models")]


def test_the_demo_page_is_drawn_and_silent(tmp_path: Path) -> None:
    done = streamer("demo", "--out", tmp_path / "demo-output", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with open_browser(tmp_path / "profile") as chrome:
        look_as(chrome)
        chrome.get((tmp_path / "demo-output" / "report.html").as_uri())
        plots = show_all(chrome)
        assert len(plots) >= 3
        for plot in plots:
            assert plot.find_elements(By.CSS_SELECTOR, MARKS[str(plot.get_attribute("data-kind"))])
        assert "carphone" in chrome.find_element(By.TAG_NAME, "body").text
        assert log_of(chrome, "browser") == []
        chrome.execute_script("window.scrollTo(0, 0)")
        (tmp_path / "demo.png").write_bytes(chrome.get_screenshot_as_png())
