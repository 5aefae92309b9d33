from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from streamer.bus import sqlite_upkeep
from streamer.bus.protocol import Outgoing, Topic
from streamer.bus.sqlite import SqliteBus
from streamer.bus.topics import topics
from streamer.clock import FakeClock
from streamer.config import RetentionSettings, TopicSettings


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def bus(tmp_path: Path, clock: FakeClock) -> Iterator[SqliteBus]:
    bus = SqliteBus(tmp_path / "bus.db", clock=clock)
    bus.ensure_topics(
        [
            Topic("log", 2, "delete", 100.0),
            Topic("kept", 1, "delete", None),
            Topic("table", 2, "compact"),
            Topic("both", 1, "delete,compact", 1000.0),
        ]
    )
    yield bus
    bus.close()


def send(bus: SqliteBus, topic: str, *texts: str, key: bytes = b"k", partition: int = 0) -> None:
    producer = bus.producer()
    producer.send([Outgoing(topic, partition, key, text.encode()) for text in texts])
    producer.close()


def values(bus: SqliteBus, topic: str) -> list[bytes | None]:
    consumer = bus.consumer([topic])
    records = consumer.poll(0.0, 100_000)
    consumer.close()
    return [record.value for record in records]


def test_what_is_older_than_its_topic_keeps_goes_oldest_first(bus: SqliteBus, clock: FakeClock) -> None:
    send(bus, "log", *map(str, range(1200)))
    send(bus, "kept", "old")
    clock.advance(99)
    send(bus, "log", "young")
    bus.maintain()
    assert len(values(bus, "log")) == 1201
    clock.advance(2)
    bus.maintain()
    assert values(bus, "log") == [b"young"]
    assert values(bus, "kept") == [b"old"]
    send(bus, "log", "next")
    consumer = bus.consumer(["log"])
    assert [record.offset for record in consumer.poll(0.0)] == [1200, 1201]


def test_offsets_go_on_after_everything_is_gone(bus: SqliteBus, clock: FakeClock) -> None:
    follower = bus.consumer(["log"], group="g")
    send(bus, "log", "a", "b")
    assert len(follower.poll(0.0)) == 2
    follower.commit()
    clock.advance(1000)
    bus.maintain()
    send(bus, "log", "c")
    again = bus.consumer(["log"], group="g")
    assert [(record.offset, record.value) for record in again.poll(0.0)] == [(2, b"c")]


def test_compaction_keeps_the_newest_of_each_key_and_partition(bus: SqliteBus, clock: FakeClock) -> None:
    for partition in (0, 1):
        for key in (b"a", b"b"):
            send(bus, "table", "1", "2", "3", key=key, partition=partition)
    before = {partition: bus.latest("table", partition) for partition in (0, 1)}
    bus.maintain()
    assert len(values(bus, "table")) == 12  # young: who follows the topic still sees each change
    clock.advance(sqlite_upkeep.COMPACT_AFTER_S + 1)
    bus.maintain()
    assert values(bus, "table") == [b"3"] * 4
    assert {partition: bus.latest("table", partition) for partition in (0, 1)} == before


def test_a_tombstone_stays_for_its_grace_and_then_goes_with_its_key(bus: SqliteBus, clock: FakeClock) -> None:
    send(bus, "table", "1")
    producer = bus.producer()
    producer.send([Outgoing("table", 0, b"k", None)])
    clock.advance(sqlite_upkeep.COMPACT_AFTER_S + 1)
    bus.maintain()
    assert values(bus, "table") == [None]
    clock.advance(sqlite_upkeep.TOMBSTONE_GRACE_S)
    bus.maintain()
    assert values(bus, "table") == []


def test_a_tombstone_that_was_followed_by_a_record_takes_nothing_with_it(bus: SqliteBus, clock: FakeClock) -> None:
    bus.producer().send([Outgoing("table", 0, b"k", None)])
    send(bus, "table", "back")
    clock.advance(sqlite_upkeep.TOMBSTONE_GRACE_S + 1)
    bus.maintain()
    assert values(bus, "table") == [b"back"]


def test_delete_and_compact_do_both(bus: SqliteBus, clock: FakeClock) -> None:
    send(bus, "both", "1", "2")
    clock.advance(100)
    bus.maintain()
    assert values(bus, "both") == [b"2"]
    clock.advance(1000)
    bus.maintain()
    assert values(bus, "both") == []


def test_space_is_given_back(bus: SqliteBus, clock: FakeClock) -> None:
    for _ in range(20):
        send(bus, "log", *["x" * 50_000] * 20)
    bus.maintain()
    full_bytes = bus.path.stat().st_size
    clock.advance(1000)
    for _ in range(5):
        bus.maintain()
    assert full_bytes > 15_000_000
    assert bus.path.stat().st_size < 3_000_000


def test_writers_get_their_turn_while_a_lot_is_dropped(bus: SqliteBus, clock: FakeClock) -> None:
    send(bus, "log", *map(str, range(5000)))
    clock.advance(1000)
    statements: list[str] = []
    bus._connection.set_trace_callback(statements.append)
    bus.maintain()
    bus._connection.set_trace_callback(None)
    assert values(bus, "log") == []
    assert statements.count("BEGIN IMMEDIATE") >= 5000 // sqlite_upkeep.ROWS_PER_STEP


def test_each_topic_keeps_its_records_as_long_as_its_settings_say(tmp_path: Path, clock: FakeClock) -> None:
    retention = RetentionSettings(observations_s=60.0, archive_windows_s=7200.0, status_s=60.0, deadletter_s=60.0)
    names = topics(TopicSettings(partitions=1, retention_s=3600.0, retention=retention))
    bus = SqliteBus(tmp_path / "fleet.db", clock=clock)
    assert bus.ensure_topics(names.all()) == []
    by_age = {topic.name for topic in names.all() if "delete" in topic.cleanup}
    for topic in by_age:
        send(bus, topic, "old")

    def left() -> set[str]:
        bus.maintain()
        return {topic for topic in by_age if values(bus, topic)}

    short = {names.observations.name, names.status.name, names.deadletter.name}
    assert left() == by_age
    clock.advance(61)
    assert left() == by_age - short
    clock.advance(3600)
    assert left() == {names.archive_windows.name}
    later = topics(TopicSettings(partitions=1, retention_s=3600.0))
    assert set(bus.ensure_topics(later.all())) == short | {names.archive_windows.name}
    assert left() == set()
    bus.close()
