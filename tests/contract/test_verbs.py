"""`streamer streams` and `streamer jobs` over both homes of the bus, with the statuses a worker would write."""

from __future__ import annotations

import json
import time
from pathlib import Path

import msgspec
import pytest

from streamer.bus.open import open_bus
from streamer.bus.read import drain
from streamer.bus.topics import outgoing, topics
from streamer.config import TopicSettings
from streamer.fleet.jobs import JobBook
from streamer.fleet.retry import begun, over
from streamer.wishes import records
from tests.golden.records import STATUS
from tests.unit.cli.verbs import told, watched, write
from tests.unit.fleet.control import admission


@pytest.fixture
def settings(bus_url: str, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TopicSettings:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STREAMER_BUS", bus_url)
    monkeypatch.setenv("STREAMER_TOPICS__PREFIX", prefix)
    monkeypatch.setenv("STREAMER_TOPICS__PARTITIONS", "4")
    return TopicSettings(prefix=prefix, partitions=4)


def test_streams_are_added_heard_of_watched_and_removed(
    bus_url: str, settings: TopicSettings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told(capsys, "streams", "add", "a=testsrc://64x64@5", "b=testsrc://64x64@5", "--fps", "2")
    live = msgspec.structs.replace(STATUS, stream="a", state="live", cause=None, message=None)
    write(bus_url, records.claim("a", "worker-1", settings), outgoing(live, settings))
    a, b = told(capsys, "streams", "list", "--workers")
    assert (a["state"], a["worker"], a["sample_fps"]) == ("live", "worker-1", 2.0)
    assert (b["state"], b["worker"]) == (None, None)

    def work() -> None:
        for state in ("waiting", "waiting", "live", "live"):
            write(bus_url, outgoing(msgspec.structs.replace(live, stream="b", state=state), settings))

    lines = watched(capsys, monkeypatch, 4, work, "--json")
    assert [(one["stream"], one["what"]) for one in map(json.loads, lines)] == [("b", "waiting"), ("b", "live")]
    told(capsys, "streams", "remove", "a")
    assert [one["stream"] for one in told(capsys, "streams", "list")] == ["b"]


def test_jobs_are_submitted_followed_and_cancelled(
    bus_url: str, settings: TopicSettings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        (tmp_path / name).touch()
    (tmp_path / "list.m3u").write_text("a.mp4\nb.mp4\n")
    assert told(capsys, "jobs", "submit", "list.m3u", "--batch", "day")["submitted"] == 2
    assert told(capsys, "jobs", "submit", "list.m3u", "c.mp4", "--batch", "day")["known"] == 2
    bus = open_bus(bus_url, create=False)
    names = topics(settings)
    book = JobBook(admission(tmp_path))
    for record in drain(bus, [names.jobs.name]):
        assert book.take(record) is None
    bus.close()
    a, b, c = sorted(book.due(time.time(), 9), key=lambda entry: entry.job.stream)
    running = msgspec.structs.replace(begun(a.job, None, "w", time.time() - 5.0), media_time_s=2.0, duration_s=4.0)
    done = over(begun(b.job, None, "w", time.time()), "done", time.time())
    write(
        bus_url,
        records.job_status(running, a.partition, settings),
        records.job_status(done, b.partition, settings),
    )
    [batch] = told(capsys, "jobs", "status", "day")
    assert batch["counts"] == {"done": 1, "running": 1, "waiting": 1}
    assert told(capsys, "jobs", "cancel", "day") == {"cancelling": sorted([a.job.job, c.job.job]), "over": 1}
    bus = open_bus(bus_url, create=False)
    for partition in (a.partition, c.partition):
        for record in bus.latest(names.jobs_status.name, partition).values():
            book.take_status(record)
    bus.close()
    assert {entry.job.stream for entry in book.cancelled()} == {"a", "c"}
    assert told(capsys, "jobs", "status", "day")[0]["counts"] == {"cancelling": 2, "done": 1}
