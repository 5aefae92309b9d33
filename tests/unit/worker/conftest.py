"""Logs of these tests go to the standard error of the test that writes them, not to an earlier one's."""

from __future__ import annotations

import pytest

from streamer import log


@pytest.fixture(autouse=True)
def _logs() -> None:
    log.configure()
