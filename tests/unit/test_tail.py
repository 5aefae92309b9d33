from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import msgspec
import pytest

from streamer.bus.open import open_bus
from streamer.bus.protocol import Bus, Outgoing
from streamer.bus.topics import outgoing, state_record, topics
from streamer.config import TopicSettings
from streamer.errors import UsageError
from streamer.messages import Job, JobCancel, JobStatus, StreamDefinition, encode
from streamer.tail import lines
from tests.golden.records import OBSERVATION, RUN, STATUS

SETTINGS = TopicSettings(partitions=4)


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Bus]:
    bus = open_bus(f"sqlite:///{tmp_path}/bus.db")
    bus.ensure_topics(topics(SETTINGS).all())
    yield bus
    bus.close()


def write(bus: Bus, *records: Outgoing) -> None:
    producer = bus.producer()
    producer.send(records)
    producer.close()


def read(bus: Bus, name: str, **options: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines(bus, name, **options)]


def test_a_line_is_the_record_with_its_own_names(bus: Bus) -> None:
    write(bus, outgoing(OBSERVATION, SETTINGS), outgoing(RUN, TopicSettings(partitions=4, format="json")))
    (line,) = read(bus, "observations")
    assert msgspec.convert(line, type(OBSERVATION)) == OBSERVATION
    assert list(line)[:3] == ["v", "id", "stream"]
    assert msgspec.convert(read(bus, "runs")[0], type(RUN)) == RUN


def test_observations_are_live_and_archive_and_a_full_name_is_one_topic(bus: Bus) -> None:
    write(bus, outgoing(OBSERVATION, SETTINGS), outgoing(OBSERVATION, SETTINGS, "archive"))
    assert len(read(bus, "observations")) == 2
    (line,) = read(bus, "affect.archive.observations", meta=True)
    meta = line.pop("_meta")
    assert meta.pop("time_s") > 1_700_000_000
    partition = outgoing(OBSERVATION, SETTINGS).partition
    assert meta == {
        "topic": "affect.archive.observations",
        "partition": partition,
        "offset": 0,
        "key": "camera-1/entrance",
    }
    assert msgspec.convert(line, type(OBSERVATION)) == OBSERVATION


def test_one_stream_only(bus: Bus) -> None:
    other = msgspec.structs.replace(STATUS, stream="camera-1")
    write(bus, outgoing(STATUS, SETTINGS), outgoing(other, SETTINGS))
    assert [line["stream"] for line in read(bus, "status", stream="camera-1")] == ["camera-1"]
    assert [line["stream"] for line in read(bus, "status", stream="camera-1/entrance")] == ["camera-1/entrance"]


def test_state_shows_its_maps_its_bytes_and_its_tombstones(bus: Bus) -> None:
    value = msgpack.packb({"kind": "track", "body": b"\x00\xff", "rings": [msgpack.ExtType(7, b"\x01")]})
    write(
        bus,
        state_record(SETTINGS, "live", "a/b", value, key=b"a%2Fb/5.1"),
        state_record(SETTINGS, "live", "a/b", None, key=b"a%2Fb", epoch=5),
        state_record(SETTINGS, "live", "a", value, key=b"a"),
    )
    shown = read(bus, "state", stream="a/b")
    assert shown == [
        {"kind": "track", "body": "AP8=", "rings": [{"ext": 7, "data": "AQ=="}]},
        {"tombstone": "a%2Fb"},
    ]


def test_bytes_that_are_no_record_are_shown_with_their_place(bus: Bus) -> None:
    good = outgoing(OBSERVATION, SETTINGS)
    write(bus, Outgoing(good.topic, good.partition, b"k\xff", b"\xc1", good.headers), good)
    first, second = read(bus, "observations")
    assert "Observation" in first["undecodable"]
    assert (first["_meta"]["partition"], first["_meta"]["offset"], first["_meta"]["key"]) == (
        good.partition,
        0,
        "k\\xff",
    )
    assert second["id"] == OBSERVATION.id
    write(bus, Outgoing("affect.state", 0, b"k", b"\xc1"), Outgoing("affect.state", 1, b"k", b"\x05"))
    assert ["undecodable" in line for line in read(bus, "state")] == [True, False]


def test_streams_and_jobs_are_shown_without_secrets_and_by_stream(bus: Bus) -> None:
    camera = "http://user:secret@127.0.0.1/a"
    job = JobStatus(job="j", batch="b", stream="a", source=camera, state="done")
    write(
        bus,
        Outgoing("affect.streams", 0, b"a", encode(StreamDefinition(stream="a", source=camera))),
        Outgoing("affect.jobs", 0, b"j", encode(Job(job="j", batch="b", stream="a", source=camera))),
        Outgoing("affect.jobs.status", 0, b"j", encode(job)),
        Outgoing("affect.jobs.status", 0, b"j/cancel", encode(JobCancel(job="j"))),
    )
    for name in ("streams", "jobs", "jobs.status"):
        first = read(bus, name, stream="a")[0]
        assert first["stream"] == "a"
        assert "secret" not in first["source"]
        assert read(bus, name, stream="b") == []
    assert [line.get("state") for line in read(bus, "jobs.status")] == ["done", None]


def test_following_goes_on_and_latest_skips_what_is_there(bus: Bus) -> None:
    write(bus, outgoing(STATUS, SETTINGS))
    following = lines(bus, "status", follow=True)
    assert json.loads(next(following))["seq"] == 300
    write(bus, outgoing(msgspec.structs.replace(STATUS, seq=301), SETTINGS))
    assert [json.loads(line)["seq"] for line in itertools.islice(following, 1)] == [301]
    assert read(bus, "status", start="latest") == []


def test_an_unknown_name_says_which_there_are(bus: Bus) -> None:
    with pytest.raises(UsageError, match="observations, windows"):
        read(bus, "observation")
