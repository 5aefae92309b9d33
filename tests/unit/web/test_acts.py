"""What a page asks for, done on a real SQLite bus."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamer.bus.open import open_bus
from streamer.bus.topics import topics
from streamer.config import Config
from streamer.fleet.retry import first_status
from streamer.messages import Job, JobStatus, StreamDefinition
from streamer.web import acts
from streamer.web.acts import Answer
from streamer.web.changes import Changes
from streamer.web.model import Wanted
from streamer.wishes import records
from streamer.wishes.batches import JobBoard
from streamer.wishes.definitions import definitions, write
from tests.unit.web.feed import SETTINGS, Feed


@pytest.fixture
def config(tmp_path: Path) -> Config:
    config = Config(bus=f"sqlite:///{tmp_path / 'affect.db'}", topics=SETTINGS)
    bus = open_bus(config.bus, settings=SETTINGS)
    bus.ensure_topics(topics(SETTINGS).all())
    write(bus, [records.stream_definition(StreamDefinition(stream="door", source="rtsp://u:word@cam/1"), SETTINGS)])
    bus.close()
    return config


def on_bus(config: Config) -> dict[str, StreamDefinition]:
    bus = open_bus(config.bus, create=False)
    try:
        return definitions(bus, SETTINGS)
    finally:
        bus.close()


def ask(config: Config, message: object, feed: Feed | None = None) -> Answer:
    if feed is None:
        feed = Feed()
        feed.model.connected(Wanted(on_bus(config)))
    return acts.done(message, feed.model, Changes(config, lambda: 5.0))


def test_streams_are_added_paused_resumed_and_removed(config: Config) -> None:
    added = ask(config, {"what": "add", "stream": "yard", "source": "testsrc://64x48@5", "sample_fps": 2.5})
    assert added == Answer(what="add", ok=True, text="yard is added: a worker takes it up as soon as one has room.")
    assert on_bus(config)["yard"] == StreamDefinition(
        stream="yard", source="testsrc://64x48@5", sample_fps=2.5, updated_s=5.0
    )
    assert ask(config, {"what": "pause", "stream": "door"}).ok
    paused = on_bus(config)["door"]
    assert (paused.paused, paused.source) == (True, "rtsp://u:word@cam/1")
    assert ask(config, {"what": "resume", "stream": "door"}).ok
    assert not on_bus(config)["door"].paused
    assert ask(config, {"what": "remove", "stream": "door"}).ok
    assert list(on_bus(config)) == ["yard"]


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ({"what": "add", "stream": "door", "source": "rtsp://cam/2"}, "defined already"),
        ({"what": "add", "stream": "a/b", "source": "rtsp://cam/2"}, "letters, digits"),
        ({"what": "add", "stream": "", "source": "rtsp://cam/2"}, "letters, digits"),
        ({"what": "add", "stream": "x", "source": ""}, "is no source"),
        ({"what": "add", "stream": "x", "source": "relative.mp4"}, "whole path"),
        ({"what": "add", "stream": "x", "source": "rtsp://cam/\n2"}, "is no source"),
        ({"what": "add", "stream": "x", "source": "/v.mp4", "sample_fps": -1.0}, "more than 0"),
        ({"what": "add", "stream": "x", "source": "/v.mp4", "max_faces": -1}, "0 (all) or more"),
        ({"what": "add", "stream": "x", "source": "/v.mp4", "max_faces": 1.5}, "cannot be meant"),
        ({"what": "pause", "stream": "nobody"}, "no stream named nobody"),
        ({"what": "remove", "stream": "nobody"}, "no stream named nobody"),
        ({"what": "cancel", "batch": "nothing"}, "no job or batch nothing"),
        ({"what": "format", "stream": "door"}, "cannot be meant"),
        ({"stream": "door"}, "cannot be meant"),
        ("door", "cannot be meant"),
        (None, "cannot be meant"),
    ],
)
def test_what_cannot_be_meant_is_told_in_a_sentence_and_changes_nothing(
    config: Config, message: object, told: str
) -> None:
    before = on_bus(config)
    answer = ask(config, message)
    assert not answer.ok
    assert told.lower() in answer.text.lower()
    assert answer.text.endswith(".")
    assert on_bus(config) == before


def test_without_a_fleet_it_is_read_only(config: Config) -> None:
    answer = ask(config, {"what": "add", "stream": "x", "source": "/v.mp4"}, Feed())
    assert "no worker of a fleet" in answer.text.lower()
    assert list(on_bus(config)) == ["door"]


def test_a_bus_that_is_away_is_told(config: Config) -> None:
    feed = Feed()
    feed.define("door")
    away = Config(bus="sqlite:////nowhere/affect.db", topics=SETTINGS)
    answer = acts.done({"what": "pause", "stream": "door"}, feed.model, Changes(away))
    assert (answer.ok, "no bus at" in answer.text) == (False, True)


def test_jobs_are_cancelled_by_batch_where_they_lie(config: Config) -> None:
    feed = Feed()
    feed.job("a", partition=3)
    feed.job("b", partition=4, state="done")
    feed.job("c", "day2", partition=5)
    assert ask(config, {"what": "cancel", "batch": "day1"}, feed).text == "1 job to be cancelled."
    assert ask(config, {"what": "cancel", "job": "b"}, feed).text == "All of it is over already."
    bus = open_bus(config.bus, create=False)
    try:
        found = bus.latest(topics(SETTINGS).jobs_status.name, 3)
    finally:
        bus.close()
    board = JobBoard()
    board.take(feed.came(records.job_status(first(), 3, SETTINGS)))
    for record in found.values():
        board.take(record)
    assert board.jobs()["a"].cancelling


def first() -> JobStatus:
    return first_status(Job(job="a", batch="day1", stream="a", source="/a.mp4"))
