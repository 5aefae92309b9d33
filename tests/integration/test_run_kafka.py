"""The same main job against a real Kafka: the same records, exactly once through a killed child, typed readers."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest

from streamer.bench.clips import loop_clip
from streamer.client import AffectConsumer
from streamer.messages import Observation, RunRecord, TrackEvent, Window
from tests.product import ONE_FACE, children_of, needs_clips, result_bytes, start, streamer

pytestmark = [
    pytest.mark.kafka, pytest.mark.models, pytest.mark.clips, pytest.mark.usefixtures("models"), needs_clips
]  # fmt: skip


@pytest.fixture
def config(tmp_path: Path, kafka_url: str, prefix: str) -> Path:
    """Eight partitions under a prefix of this test's own, and commits often enough to be killed in between."""
    path = tmp_path / "kafka.yaml"
    path.write_text(
        json.dumps(
            {"bus": kafka_url, "topics": {"prefix": prefix, "partitions": 8}, "checkpoint": {"archive_interval_s": 0.2}}
        )
    )
    return path


def read(url: str, prefix: str, topic: str, kind: type) -> list:  # type: ignore[type-arg]
    with AffectConsumer(url, [topic], prefix=prefix, follow=False, remember=0) as consumer:
        return [record for record in consumer if isinstance(record, kind)]


def test_kafka_holds_the_same_records_as_the_embedded_bus(
    tmp_path: Path, config: Path, kafka_url: str, prefix: str
) -> None:
    done = streamer("run", ONE_FACE, "--config", config, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert streamer("run", ONE_FACE, "--quiet", cwd=tmp_path).returncode == 0
    with AffectConsumer(f"sqlite:///{tmp_path}/affect.db", ["observations", "windows", "tracks"], follow=False) as here:
        embedded: dict[type, list[object]] = {}
        for record in here:
            embedded.setdefault(type(record), []).append(record)
    for kind, topic in ((Observation, "observations"), (Window, "windows"), (TrackEvent, "tracks")):
        assert read(kafka_url, prefix, topic, kind) == embedded[kind]
    [run] = {record.run: record for record in read(kafka_url, prefix, "runs", RunRecord)}.values()
    assert run.state == "done"


def test_a_killed_child_neither_loses_nor_doubles_on_kafka(
    tmp_path: Path, config: Path, kafka_url: str, prefix: str
) -> None:
    clip = tmp_path / "face.mp4"
    loop_clip(ONE_FACE, clip, 24.0)
    assert streamer("topics", "create", "--config", config, cwd=tmp_path).returncode == 0
    # Read as they come: a reader that is made anew for each look would come too late.
    with AffectConsumer(kafka_url, prefix=prefix) as committed:
        process = start("run", clip, "--config", config, "--json", cwd=tmp_path)
        assert len(list(islice(committed, 30))) == 30
        for child in children_of(process):
            child.send_signal(signal.SIGKILL)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert json.loads(out)["sources"][0]["restarts"] == 1
    seen = read(kafka_url, prefix, "observations", Observation)
    assert [one.seq for one in seen] == list(range(len(seen)))
    assert streamer("run", clip, "--quiet", cwd=tmp_path).returncode == 0
    undisturbed = result_bytes(tmp_path / "affect.db")
    assert len(seen) == len(undisturbed["observations"]["face"])
    assert len({one.id for one in seen}) == len(seen)


def test_tail_reads_kafka(tmp_path: Path, config: Path) -> None:
    assert streamer("run", ONE_FACE, "--config", config, "--quiet", cwd=tmp_path).returncode == 0
    done = subprocess.run(
        [sys.executable, "-m", "streamer", "tail", "observations", "--config", str(config)],
        cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == 72
    assert {line["stream"] for line in lines} == {ONE_FACE.stem}
