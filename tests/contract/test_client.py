"""The reader for other programs, over both homes."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from streamer.bus.open import open_bus
from streamer.bus.protocol import Bus
from streamer.bus.topics import outgoing, topics
from streamer.client import AffectConsumer
from streamer.config import TopicSettings
from streamer.messages import Observation
from streamer.tail import lines
from tests.golden.records import OBSERVATION, STATUS


@pytest.fixture
def settings(prefix: str) -> TopicSettings:
    return TopicSettings(prefix=prefix, partitions=2)


@pytest.fixture
def bus(bus_url: str, settings: TopicSettings) -> Iterator[Bus]:
    bus = open_bus(bus_url)
    names = topics(settings)
    bus.ensure_topics([names.observations, names.archive_observations, names.status])
    yield bus
    bus.close()


def observation(number: int, stream: str) -> Observation:
    return msgspec.structs.replace(OBSERVATION, id=f"{stream}-{number}", seq=number, stream=stream)


def test_live_and_archive_records_of_each_stream_come_in_order(
    bus: Bus, bus_url: str, prefix: str, settings: TopicSettings
) -> None:
    producer = bus.producer(f"{prefix}-tx")
    producer.send([outgoing(observation(i, stream), settings) for i in range(150) for stream in ("a", "b")])
    producer.flush(20.0)
    producer.commit([outgoing(observation(i, "c"), settings, "archive") for i in range(150)])
    seen: dict[str, list[int]] = {"a": [], "b": [], "c": []}
    with AffectConsumer(bus_url, prefix=prefix, follow=False) as consumer:
        for record in consumer:
            assert isinstance(record, Observation)
            seen[record.stream].append(record.seq)
    assert seen == {stream: list(range(150)) for stream in ("a", "b", "c")}


def test_a_group_misses_nothing_when_its_member_dies_between_commits(
    bus: Bus, bus_url: str, prefix: str, settings: TopicSettings
) -> None:
    producer = bus.producer()
    producer.send([outgoing(observation(i, "a"), settings) for i in range(250)])
    producer.flush(20.0)
    dealt_with: set[int] = set()
    for stop_after in (130, 1000):
        with AffectConsumer(bus_url, prefix=prefix, group=f"{prefix}-g", follow=False) as consumer:
            for n, record in enumerate(consumer):
                assert isinstance(record, Observation)
                dealt_with.add(record.seq)
                consumer.commit()
                if n == stop_after:
                    break
    assert dealt_with == set(range(250))


def test_tail_prints_what_is_there(bus: Bus, prefix: str, settings: TopicSettings) -> None:
    producer = bus.producer()
    producer.send([outgoing(STATUS, settings)])
    producer.flush(20.0)
    (line,) = lines(bus, "status", prefix=prefix)
    assert msgspec.json.decode(line, type=type(STATUS)) == STATUS
