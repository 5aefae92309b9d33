"""The browser that tests of pages share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from selenium.webdriver import Chrome

from tests.browser import look_as, open_browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """One for all tests of a file, since starting one takes seconds."""
    with open_browser(tmp_path_factory.mktemp("browser") / "profile") as chrome:
        yield chrome


@pytest.fixture
def chrome(browser: Chrome) -> Chrome:
    """The browser as each test finds it: a light window on a blank page."""
    browser.get("about:blank")
    look_as(browser)
    return browser
