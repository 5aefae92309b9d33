"""The reader for other programs, over both homes."""

from __future__ import annotations

import time
from collections.abc import Iterator

import msgspec
import pytest

from streamer.bench.checker import check_archive, check_live, compare
from streamer.bus.open import open_bus
from streamer.bus.protocol import Bus
from streamer.bus.topics import outgoing, topics
from streamer.client import AffectConsumer, Gap
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


def claimed(number: int, stream: str = "a") -> Observation:
    return msgspec.structs.replace(
        observation(number, stream), epoch=5, epoch_time_s=1.0, prev_epoch=None, prev_seq=None, capture_time_s=2.0
    )


def test_a_hole_is_told_and_the_checker_finds_it_too(
    bus: Bus, bus_url: str, prefix: str, settings: TopicSettings
) -> None:
    bus.ensure_topics(topics(settings).all())
    producer = bus.producer(f"{prefix}-tx")
    producer.commit([outgoing(observation(i, "c"), settings, "archive") for i in range(3)])
    producer.commit([outgoing(observation(i, "c"), settings, "archive") for i in range(3, 5)])
    producer.send([outgoing(claimed(i), settings) for i in (0, 1, 1, 2)])
    producer.flush(20.0)
    assert check_live(bus, prefix).good
    assert check_archive(bus, prefix).good
    assert compare(bus, bus, reference_prefix=prefix, prefix=prefix).records == 5
    producer.send([outgoing(claimed(4), settings)])
    producer.flush(20.0)
    gaps: list[Gap] = []
    with AffectConsumer(bus_url, prefix=prefix, follow=False, on_gap=gaps.append) as consumer:
        assert len(list(consumer)) == 9
        assert (consumer.gaps, consumer.duplicates) == (1, 1)
    assert [(gap.first_missing, gap.last_missing) for gap in gaps] == [(3, 3)]
    assert check_live(bus, prefix).lost == 1


@pytest.mark.kafka
def test_partitions_that_move_between_members_and_back_are_no_gap(kafka_url: str, prefix: str) -> None:
    settings = TopicSettings(prefix=prefix, partitions=2)
    streams = ("a", "b", "c", "d")
    bus = open_bus(kafka_url)
    names = topics(settings)
    bus.ensure_topics([names.observations, names.archive_observations])
    producer = bus.producer()
    seen: set[tuple[str, int]] = set()

    def write_and_read(numbers: range, *members: AffectConsumer) -> None:
        producer.send([outgoing(claimed(i, stream), settings) for i in numbers for stream in streams])
        wanted = {(stream, i) for stream in streams for i in numbers}
        deadline_s = time.monotonic() + 60.0
        while wanted - seen and time.monotonic() < deadline_s:
            for member in members:
                while (record := member.poll(0.1)) is not None:
                    assert isinstance(record, Observation)
                    seen.add((record.stream, record.seq))
                    member.commit()
        assert not wanted - seen

    group = f"{prefix}-g"
    with AffectConsumer(kafka_url, prefix=prefix, group=group) as first:
        write_and_read(range(10), first)
        with AffectConsumer(kafka_url, prefix=prefix, group=group) as second:
            deadline_s = time.monotonic() + 60.0
            n = 10
            while not shares(second) and time.monotonic() < deadline_s:
                write_and_read(range(n, n + 5), first, second)
                n += 5
            assert shares(second)
            write_and_read(range(n, n + 20), first, second)
            n += 20
        write_and_read(range(n, n + 20), first)
        assert (first.gaps, second.gaps) == (0, 0)
    bus.close()


def shares(consumer: AffectConsumer) -> bool:
    """Whether the group has given this member partitions."""
    client = getattr(consumer._consumer, "_client")  # noqa: B009  # the contract has no word for it
    return bool(client.assignment())


def test_tail_prints_what_is_there(bus: Bus, prefix: str, settings: TopicSettings) -> None:
    producer = bus.producer()
    producer.send([outgoing(STATUS, settings)])
    producer.flush(20.0)
    (line,) = lines(bus, "status", prefix=prefix)
    assert msgspec.json.decode(line, type=type(STATUS)) == STATUS
