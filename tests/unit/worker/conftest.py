"""Logs of these tests go to the standard error of the test that writes them, not to an earlier one's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streamer import log
from tests.unit.worker.fleet_rig import Rig, rigs


@pytest.fixture(autouse=True)
def _logs() -> None:
    log.configure()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Callable[..., Rig]]:
    """Begins workers of a fleet."""
    yield from rigs(tmp_path)
