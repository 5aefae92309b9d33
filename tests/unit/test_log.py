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


def test_as_json_every_line_is_an_event_also_what_others_say() -> None:
    program = """
import logging, threading, warnings
from streamer import log
log.configure("warning", "json", child=2)
logging.getLogger("some.library").warning("it is %s", "slow")
logging.getLogger("some.library").info("not told")
warnings.warn("old", DeprecationWarning)
thread = threading.Thread(target=lambda: 1 / 0, name="t")
thread.start(); thread.join()
try:
    1 / 0
except ZeroDivisionError:
    log.error("child.broke", exc_info=True)
raise ValueError("nobody catches it")
"""
    done = subprocess.run([sys.executable, "-W", "always", "-c", program], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["event"] for line in lines] == [
        "library.said", "library.said", "process.broke", "child.broke", "process.broke",
    ]  # fmt: skip
    assert (lines[0]["logger"], lines[0]["reason"], lines[0]["child"]) == ("some.library", "it is slow", 2)
    assert (lines[1]["logger"], lines[2]["thread"]) == ("py.warnings", "t")
    assert "ZeroDivisionError" in lines[3]["exception"]
    assert "nobody catches it" in lines[4]["exception"]


def test_structlog_is_loaded_by_the_first_written_event_only() -> None:
    program = (
        "import sys; from streamer import log; log.configure('error'); log.info('x'); "
        "assert 'structlog' not in sys.modules; log.error('y'); assert 'structlog' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
