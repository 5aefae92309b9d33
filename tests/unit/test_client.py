from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from streamer.bus.open import open_bus
from streamer.bus.protocol import Bus, Incoming, Outgoing
from streamer.bus.topics import outgoing, topics
from streamer.client import AffectConsumer, topic_names
from streamer.config import TopicSettings
from streamer.errors import BusUnavailable, TopicMissing, UndecodableRecord, UsageError
from streamer.messages import Observation, RunRecord, Status
from streamer.types import Mode
from tests.golden.records import OBSERVATION, RUN, STATUS, TRACK_LEFT, WINDOW

SETTINGS = TopicSettings(partitions=4)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/bus.db"


@pytest.fixture
def bus(url: str) -> Iterator[Bus]:
    bus = open_bus(url)
    bus.ensure_topics(topics(SETTINGS).all())
    yield bus
    bus.close()


def observation(number: int, stream: str = "a", **changes: object) -> Observation:
    fields: dict[str, object] = {"id": f"{stream}-{number}", "seq": number, "stream": stream, **changes}
    return msgspec.structs.replace(OBSERVATION, **fields)


def write(bus: Bus, *records: Observation | Status | RunRecord, mode: Mode = "live") -> None:
    producer = bus.producer()
    producer.send([outgoing(record, SETTINGS, mode) for record in records])
    producer.close()


def ids(consumer: AffectConsumer) -> list[str]:
    return [record.id for record in consumer if isinstance(record, Observation)]


def test_it_reads_typed_records_to_the_end(bus: Bus, url: str) -> None:
    write(bus, *(observation(i) for i in range(250)))
    with AffectConsumer(url, follow=False) as consumer:
        assert [r.seq for r in consumer if isinstance(r, Observation)] == list(range(250))
        assert list(consumer) == []


def test_an_empty_bus_ends_at_once(bus: Bus, url: str) -> None:
    with AffectConsumer(url, follow=False) as consumer:
        assert list(consumer) == []


def test_live_and_archive_come_together_and_a_full_name_alone(bus: Bus, url: str) -> None:
    write(bus, observation(1), mode="archive")
    write(bus, observation(1), observation(2))
    with AffectConsumer(url, follow=False) as consumer:
        assert sorted(ids(consumer)) == ["a-1", "a-1", "a-2"]  # ids are unique within a topic, not across
    with AffectConsumer(url, topics=["affect.archive.observations"], follow=False) as consumer:
        assert ids(consumer) == ["a-1"]


def test_each_topic_has_its_type(bus: Bus, url: str) -> None:
    producer = bus.producer()
    records = (OBSERVATION, WINDOW, TRACK_LEFT, STATUS, RUN)
    producer.send([outgoing(record, SETTINGS) for record in records])
    with AffectConsumer(url, ["observations", "windows", "tracks", "status", "runs"], follow=False) as consumer:
        assert tuple(consumer) == records


def test_both_formats_are_read(bus: Bus, url: str) -> None:
    producer = bus.producer()
    producer.send([outgoing(observation(1), TopicSettings(partitions=4, format="json"))])
    producer.send([outgoing(observation(2), SETTINGS)])
    with AffectConsumer(url, follow=False) as consumer:
        assert ids(consumer) == ["a-1", "a-2"]


def test_only_the_wanted_streams(bus: Bus, url: str) -> None:
    write(bus, observation(1), observation(1, "b"), observation(2), RUN)
    with AffectConsumer(url, ["observations", "runs"], streams={"b"}, follow=False) as consumer:
        assert [record.id for record in consumer if isinstance(record, Observation)] == ["b-1"]
    with AffectConsumer(url, ["runs"], streams={"camera-1/entrance"}, follow=False) as consumer:
        assert list(consumer) == [RUN]


def test_a_repeated_record_is_dropped_within_the_last_few(bus: Bus, url: str) -> None:
    write(bus, observation(1), observation(2), observation(1), observation(3), observation(1))
    with AffectConsumer(url, follow=False) as consumer:
        assert ids(consumer) == ["a-1", "a-2", "a-3"]
        assert consumer.duplicates == 2
    with AffectConsumer(url, follow=False, remember=0) as consumer:
        assert len(ids(consumer)) == 5
    with AffectConsumer(url, follow=False, remember=1) as consumer:
        assert ids(consumer) == ["a-1", "a-2", "a-1", "a-3", "a-1"]


def test_a_former_owners_record_stays_when_it_is_late_and_goes_when_it_is_a_zombies(bus: Bus, url: str) -> None:
    def at(number: int, epoch: int, captured_s: float | None, *, stream: str = "a") -> Observation:
        began_s = {5: 100.0, 9: 200.0}[epoch]
        return observation(number, stream, epoch=epoch, epoch_time_s=began_s, capture_time_s=captured_s)

    write(bus, at(1, 5, 110.0), at(2, 9, 205.0), at(3, 5, 199.0), at(4, 5, 201.0), at(5, 5, None), at(6, 9, 206.0))
    write(bus, at(1, 5, 300.0, stream="b"))
    with AffectConsumer(url, follow=False) as consumer:
        assert ids(consumer) == ["a-1", "a-2", "a-3", "a-6", "b-1"]
        assert consumer.superseded == 2


def test_what_is_no_record_is_counted_told_and_passed_over(bus: Bus, url: str) -> None:
    good = outgoing(observation(1), SETTINGS)
    garbage = Outgoing(good.topic, good.partition, good.key, b"\xc1garbage", good.headers)
    tombstone = Outgoing(good.topic, good.partition, good.key, None)
    bus.producer().send([garbage, tombstone, good])
    told: list[tuple[Incoming, UndecodableRecord]] = []
    with AffectConsumer(url, follow=False, on_undecodable=lambda *what: told.append(what)) as consumer:
        assert ids(consumer) == ["a-1"]
        assert consumer.undecodable == 1
    assert told[0][0].value == b"\xc1garbage"


def test_a_group_resumes_after_what_was_dealt_with(bus: Bus, url: str) -> None:
    write(bus, *(observation(i) for i in range(250)))
    with AffectConsumer(url, group="g", follow=False) as consumer:
        for _ in range(150):
            next(consumer)
            consumer.commit()
    with AffectConsumer(url, group="g", follow=False) as consumer:
        rest = ids(consumer)
        consumer.commit()
    assert rest[0] == "a-100"  # the fetch that was begun comes again
    assert len(rest) == 150
    with AffectConsumer(url, group="g", follow=False) as consumer:
        assert ids(consumer) == []


def test_without_a_commit_everything_comes_again(bus: Bus, url: str) -> None:
    write(bus, observation(1))
    for _ in range(2):
        with AffectConsumer(url, group="g", follow=False) as consumer:
            assert ids(consumer) == ["a-1"]


def test_following_waits_for_what_comes(bus: Bus, url: str) -> None:
    write(bus, observation(1))
    with AffectConsumer(url, start="latest") as consumer:
        assert consumer.poll(0.0) is None
        write(bus, observation(2))
        assert next(consumer).seq == 2  # type: ignore[union-attr]  # an observation
        assert consumer.poll(0.01) is None


@pytest.mark.parametrize(
    ("names", "words"),
    [(["observation"], "there is no topic"), (["jobs"], "cannot be read as typed"), ([], "no topic")],
)
def test_a_wrong_topic_is_wrong_use(url: str, names: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        AffectConsumer(url, names)


def test_a_missing_bus_or_topic_is_said(url: str, tmp_path: Path) -> None:
    with pytest.raises(BusUnavailable, match="there is no bus"):
        AffectConsumer(url)
    open_bus(url).close()
    with pytest.raises(TopicMissing, match="topics create"):
        AffectConsumer(url)


def test_names_of_another_prefix() -> None:
    assert topic_names("observations", "fleet2") == ("fleet2.observations", "fleet2.archive.observations")
    assert topic_names("fleet2.observations", "fleet2") == ("fleet2.observations",)
    assert topic_names("jobs.status", "fleet2") == ("fleet2.jobs.status",)
    with pytest.raises(UsageError, match=r"fleet2\.observations"):
        topic_names("affect.observations", "fleet2")
