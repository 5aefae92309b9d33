"""As JSON, every line that a run and its children write to standard error is an event of the list."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streamer.log_events import EVENTS
from tests.product import streamer

pytestmark = [pytest.mark.models, pytest.mark.usefixtures("models")]


def test_every_line_of_a_run_is_json(tmp_path: Path) -> None:
    done = streamer(
        "run", "short=testsrc://160x120@20?duration=1", "--children", "1", "--quiet",
        "--log-level", "debug", "--log-format", "json", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert {"child.started", "child.ended"} <= {line["event"] for line in lines}
    for line in lines:
        assert line["event"] in EVENTS
        assert line["level"] in EVENTS[line["event"]][0]
        assert line["timestamp"].endswith("Z")


@pytest.mark.kafka
def test_a_child_logs_as_its_supervisor_does(kafka_url: str, prefix: str, tmp_path: Path) -> None:
    config = tmp_path / "one.yaml"
    config.write_text(f"bus: {kafka_url}\ntopics: {{prefix: {prefix}, partitions: 8}}\n")
    done = streamer(
        "run", "lost=http://127.0.0.1:9/none.mp4", "--children", "1", "--quiet", "--config", config,
        "--log-level", "info", "--log-format", "json", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 1
    said = done.stderr.splitlines()
    assert said[-1].startswith("streamer: ")  # how it ended is a sentence, for whoever typed it
    assert all(json.loads(line)["event"] in EVENTS for line in said[:-1])
