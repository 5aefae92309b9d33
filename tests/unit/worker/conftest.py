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
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Rig]]:
    """Begins workers of a fleet, which wait less long than others between two tries."""
    for pause in ("follower.POLL_S", "job_ends.PAUSE_S", "job_duty.BEGIN_AGAIN_S"):
        monkeypatch.setattr(f"streamer.worker.{pause}", 0.1)
    monkeypatch.setattr("streamer.fleet.starts.FIRST_PAUSE_S", 0.2)
    yield from rigs(tmp_path)
