from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from streamer import log


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    log.configure()


def test_events_carry_their_names_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("info", "json", child=3)
    log.warning("source.stalled", stream="door", frame_age_s=5.5)
    line = json.loads(capsys.readouterr().err)
    assert line["event"] == "source.stalled"
    assert (line["stream"], line["frame_age_s"], line["child"], line["level"]) == ("door", 5.5, 3, "warning")


def test_events_below_the_level_are_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("warning", "json")
    log.info("child.started")
    log.debug("batch.taken")
    assert capsys.readouterr().err == ""


def test_structlog_is_loaded_by_the_first_written_event_only() -> None:
    program = (
        "import sys; from streamer import log; log.configure('error'); log.info('x'); "
        "assert 'structlog' not in sys.modules; log.error('y'); assert 'structlog' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
