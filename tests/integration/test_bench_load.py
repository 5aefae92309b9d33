"""`streamer bench streams`, `latency` and `startup` in short: the same programs, with a stream or one start."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from engines.zoo.sample import fetch_sample
from streamer.bench import latency, load, marks, startup, streams
from streamer.bench.document import fill, known
from streamer.cli import cli
from streamer.config import Config
from streamer.errors import UsageError

pytestmark = [pytest.mark.models, pytest.mark.usefixtures("models")]
SHORT = load.Plan(1, fps=4, measure_s=1.5, warm_s=1.2)


def documented(result: dict[str, Any]) -> None:
    """It is what a document takes, after a way through JSON."""
    again = json.loads(json.dumps(result))
    assert known.tables(again)
    assert fill.pictures({again["bench"]: again})


def test_latency_is_measured_stage_by_stage() -> None:
    found = latency.run(fetch_sample(), Config(), SHORT, repeats=1)
    [held] = found["rounds"]["sqlite"]
    assert held["frames_due"] == 6
    assert held["latency_s"]["n"] > 0
    assert held["latency_s"]["p50"] > 0
    assert all(held["stages_s"][stage]["n"] == held["latency_s"]["n"] for stage in marks.STAGES)
    assert 0 < held["cpu"]["children_s"] < 60
    assert 0 < held["publish_share"] < 1
    assert held["frames_per_batch"] >= 1
    documented(found)


def test_streams_are_searched_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The parts alone are what the test of `throughput` measures."""
    monkeypatch.setattr(streams, "best_batch", lambda *_: {"batch": 1, "cpu_s_per_frame": 0.01})
    found = streams.run(fetch_sample(), Config(), SHORT, first=1, most=1)
    [round_] = found["rounds"]
    [trial] = round_["trials"]
    assert trial["streams"] == 1
    assert found["median"]["held"] == (1 if trial["held"] else 0)
    assert found["median"]["bound_streams"] > 0
    documented(found)


def test_a_start_is_measured_part_by_part() -> None:
    model = Config().models.expression
    found = startup.run(fetch_sample(), [model], repeats=1)
    [start] = found["starts"][model]
    assert sum(start[part] for part in startup.PARTS) == pytest.approx(start["total"])
    assert all(start[part] > 0 for part in startup.PARTS)
    documented(found)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["latency", "--clip", "absent.mp4"], "no clip"),
        (["streams", "--clip", "absent.mp4"], "no clip"),
        (["startup", "--clip", "absent.mp4"], "no clip"),
        (["startup", "--model", "face-api", "--model", "face-api"], "named twice"),
    ],
)
def test_what_cannot_be_measured_is_said_before_the_work(arguments: list[str], says: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["bench", *arguments, "--out", str(tmp_path / "out")], standalone_mode=False)
    assert isinstance(done.exception, UsageError)
    assert says in str(done.exception)
