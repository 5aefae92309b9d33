from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.partitioner.default import murmur2 as reference

from streamer.bus.topics import (
    content_type,
    dead_letter,
    key_of,
    murmur2,
    outgoing,
    partition_of,
    state_record,
    topics,
)
from streamer.config import RetentionSettings, TopicSettings
from streamer.errors import UsageError
from streamer.messages import DeadLetter, Observation, RunRecord, Status, TrackEvent, Window, decode
from tests.golden.records import OBSERVATION, RUN, STATUS, TRACK_LEFT, WINDOW


# From Apache Kafka's own test of its hash (signed there).
@pytest.mark.parametrize(
    ("text", "signed"),
    [
        ("21", -973932308),
        ("foobar", -790332482),
        ("a-little-bit-long-string", -985981536),
        ("a-little-bit-longer-string", -1486304829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        ("abc", 479470107),
    ],
)
def test_murmur2_is_the_one_of_the_java_client(text: str, signed: int) -> None:
    assert murmur2(text.encode()) == signed & 0xFFFFFFFF


@given(st.binary(max_size=70))
def test_murmur2_equals_the_client_librarys(data: bytes) -> None:
    assert murmur2(data) == reference(data)


def test_a_stream_has_one_partition_in_every_stream_topic() -> None:
    settings = TopicSettings(partitions=8)
    wanted = partition_of("camera-1", 8)
    for record in (OBSERVATION, WINDOW, TRACK_LEFT, STATUS):
        moved = msgspec.structs.replace(record, stream="camera-1")
        assert outgoing(moved, settings).partition == wanted
        assert outgoing(moved, settings, "archive").partition == wanted
    assert state_record(settings, "live", "camera-1", b"x", key=b"camera-1/5-17").partition == wanted
    assert 0 <= partition_of("Tür\udcff", 8) < 8


def test_the_partition_is_the_positive_remainder() -> None:
    assert [partition_of(name, 10) for name in ("21", "foobar", "abc")] == [
        1173551340 % 10,
        1357151166 % 10,
        479470107 % 10,
    ]


def test_names_and_shapes_follow_the_settings() -> None:
    names = topics(TopicSettings(prefix="fleet2", partitions=8, retention_s=3600.0))
    results = ["observations", "windows", "tracks"]
    archive = ["archive.observations", "archive.windows", "archive.tracks", "archive.state"]
    others = ["status", "streams", "state", "jobs", "jobs.status", "runs", "deadletter"]
    assert [topic.name for topic in names.all()] == [f"fleet2.{name}" for name in results + archive + others]
    assert (names.observations.partitions, names.jobs.partitions, names.jobs_status.partitions) == (8, 64, 64)
    assert (names.observations.cleanup, names.observations.retention_s) == ("delete", 3600.0)
    assert (names.state.cleanup, names.state.retention_s) == ("compact", None)
    assert (names.status.cleanup, names.status.retention_s) == ("delete,compact", 3600.0)


def test_each_topic_that_forgets_by_age_may_have_a_time_of_its_own() -> None:
    own = {name: float(n) for n, name in enumerate(RetentionSettings.__struct_fields__, 1)}
    names = topics(TopicSettings(retention_s=3600.0, retention=RetentionSettings(**own)))
    kept = {topic.name.removeprefix("affect."): topic.retention_s for topic in names.all() if topic.retention_s}
    assert {f"{name.replace('.', '_')}_s": kept_s for name, kept_s in kept.items()} == own
    assert {topic.name for topic in names.all() if "delete" in topic.cleanup} == {f"affect.{name}" for name in kept}
    some = topics(TopicSettings(retention_s=3600.0, retention=RetentionSettings(windows_s=86400.0)))
    assert (some.observations.retention_s, some.windows.retention_s) == (3600.0, 86400.0)


@pytest.mark.parametrize("prefix", ["", "two words", "ä", "x" * 200, "a/b"])
def test_a_prefix_kafka_would_not_take_is_refused(prefix: str) -> None:
    with pytest.raises(UsageError, match=r"topics\.prefix"):
        topics(TopicSettings(prefix=prefix))


@pytest.mark.parametrize(
    ("record", "live", "archive"),
    [
        (OBSERVATION, "affect.observations", "affect.archive.observations"),
        (WINDOW, "affect.windows", "affect.archive.windows"),
        (TRACK_LEFT, "affect.tracks", "affect.archive.tracks"),
        (STATUS, "affect.status", "affect.status"),
        (RUN, "affect.runs", "affect.runs"),
    ],
)
@pytest.mark.parametrize("format", ["msgpack", "json"])
def test_each_record_goes_to_its_topic_in_the_set_format(
    record: Observation | Window | TrackEvent | Status | RunRecord, live: str, archive: str, format: str
) -> None:
    settings = msgspec.convert({"format": format}, TopicSettings)
    for mode, name in (("live", live), ("archive", archive)):
        out = outgoing(record, settings, "archive" if mode == "archive" else "live")
        assert out.topic == name
        assert out.key == (record.run if isinstance(record, RunRecord) else record.stream).encode()
        assert out.value is not None
        assert decode(out.value, type(record), content_type(out.headers)) == record


def test_snapshots_and_their_tombstones_carry_key_and_epoch() -> None:
    settings = TopicSettings(partitions=8)
    snapshot = state_record(settings, "archive", "cam", b"bytes", key=key_of("cam", "0-3"))
    assert (snapshot.topic, snapshot.key, snapshot.value) == ("affect.archive.state", b"cam/0-3", b"bytes")
    gone = state_record(settings, "live", "cam", None, key=b"cam", epoch=7)
    assert (gone.topic, gone.key, gone.value, gone.headers) == ("affect.state", b"cam", None, (("epoch", b"7"),))
    assert key_of("cam", 0) == b"cam/0"


def test_a_dead_letter_keeps_its_key() -> None:
    letter = DeadLetter(topic="affect.jobs", partition=3, offset=9, cause="undecodable", message="?", value=b"\xff\x00")
    out = dead_letter(letter, b"key", TopicSettings(format="json"))
    assert (out.topic, out.key) == ("affect.deadletter", b"key")
    assert out.value is not None
    assert decode(out.value, DeadLetter, content_type(out.headers)) == letter


def test_headers_that_say_nothing_mean_messagepack() -> None:
    assert content_type(()) == b"application/msgpack"
