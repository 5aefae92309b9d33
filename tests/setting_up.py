"""What tests need of the machine: whether they may set it up, and what becomes of a test without it."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def may_set_up() -> bool:
    """Whether whoever runs the tests wants what is missing to be fetched: `make test` does, and CI."""
    return os.environ.get("CI") == "true" or os.environ.get("AFFECT_STREAMER_TEST_SETUP") == "1"


def give_up(reason: str) -> NoReturn:
    """Skip the test for this reason; in CI that is a failure."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
