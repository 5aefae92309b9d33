"""Programs in other languages read every topic by the published schema alone, and see what was written."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kafka
import msgspec
import pytest

from streamer.bus.open import open_bus
from streamer.bus.protocol import Bus, Outgoing
from streamer.bus.topics import CONTENT_TYPE_HEADER, Topics, topics
from streamer.config import TopicSettings
from streamer.messages import CONTENT_TYPE, Format, encode
from streamer.schema.words import LIES_IN
from tests.golden.records import FORMATS, OBSERVATION, RECORDS
from tests.readers import setup

pytestmark = pytest.mark.kafka
END_KEY = "the end of this partition"
Seen = dict[tuple[str, int], list[dict[str, Any]]]


class Written:
    """What a reader of committed records must see, partition by partition, in order."""

    def __init__(self, bus: Bus, names: Topics) -> None:
        self.names = names
        self.expected: Seen = defaultdict(list)
        self._producer = bus.producer(f"{names.runs.name}-tx")

    def write(
        self, field: str, record: msgspec.Struct, format: Format, *, key: str = "k", more: dict[str, Any] | None = None
    ) -> None:
        """A record in the topic of this field, in the archive in a transaction; `more` are fields nobody knows yet."""
        tree = msgspec.to_builtins(record, builtin_types=(bytes,)) | (more or {})
        value = msgspec.json.encode(tree) if format == "json" else msgspec.msgpack.encode(tree)
        self.bytes(field, value, format, key)
        told = {"key": key, "kind": type(record).__name__, "value": json.loads(encode(record, "json")), "faults": []}
        self.expected[getattr(self.names, field).name, 0].append(told)

    def bytes(self, field: str, value: bytes | None, format: Format = "msgpack", key: str = "k") -> None:
        """Some bytes, or a tombstone."""
        headers = () if value is None else ((CONTENT_TYPE_HEADER, CONTENT_TYPE[format]),)
        outgoing = Outgoing(getattr(self.names, field).name, 0, key.encode(), value, headers)
        if field.startswith("archive"):
            self._producer.commit([outgoing])
        else:
            self._producer.send([outgoing])

    def tombstone(self, field: str) -> None:
        self.bytes(field, None)
        told: dict[str, Any] = {"key": "k", "kind": None, "value": None, "faults": []}
        self.expected[getattr(self.names, field).name, 0].append(told)

    def end(self) -> None:
        """Mark the end of every partition."""
        self._producer.flush(20.0)
        for topic in self.names.all():
            self._producer.send(
                [Outgoing(topic.name, partition, END_KEY.encode(), None) for partition in range(topic.partitions)]
            )
        self._producer.flush(20.0)


def write_aborted(kafka_url: str, topic: str) -> None:
    """Records that no reader of committed ones may see."""
    producer = kafka.KafkaProducer(
        bootstrap_servers=kafka_url.removeprefix("kafka://"), transactional_id=f"{topic}-aborted"
    )
    producer.init_transactions()
    producer.begin_transaction()
    producer.send(topic, key=b"k", value=encode(OBSERVATION), partition=0).get(timeout=20)
    producer.abort_transaction()
    producer.close()


@pytest.fixture(scope="module")
def written(kafka_url: str) -> tuple[str, Seen]:
    """The prefix, and what was written under it: every kind in both formats, uncompressed and compressed."""
    prefix = "readers"
    names = topics(TopicSettings(prefix=prefix, partitions=1))
    expected: Seen = defaultdict(list)
    for compression in ("none", "gzip"):
        bus = open_bus(f"{kafka_url}?compression={compression}")
        bus.ensure_topics(names.all())
        written = Written(bus, names)
        written.expected = expected
        for form in FORMATS:
            for field, kinds in LIES_IN.items():
                for record in RECORDS.values():
                    if isinstance(record, kinds):
                        written.write(field, record, form, key="Eingang/Süd" if field == "observations" else "k")
            written.write("observations", OBSERVATION, form, more={"something_new": {"deep": [1, None, b"x"]}})
        written.tombstone("streams")
        written.tombstone("jobs_status")
        write_aborted(kafka_url, names.archive_observations.name)
        written.write("archive_observations", OBSERVATION, "msgpack", key="after the aborted ones")
        if compression == "gzip":
            damaged = msgspec.to_builtins(OBSERVATION) | {"seq": "many", "quality": "fine"}
            del damaged["label"]
            written.bytes("deadletter", msgspec.msgpack.encode({"v": 1}))
            written.bytes("observations", msgspec.msgpack.encode(damaged))
            written.end()
        bus.close()
    return prefix, expected


READERS: dict[str, Callable[[Path], setup.Reader]] = {
    "javascript": lambda _folder: setup.javascript(),
    "java": setup.java,
}


@pytest.mark.parametrize("language", READERS)
def test_every_topic_is_read_by_the_published_schema(
    kafka_url: str, written: tuple[str, Seen], tmp_path: Path, language: str
) -> None:
    prefix, expected = written
    reader = READERS[language](tmp_path)
    seen: Seen = defaultdict(list)
    offsets: dict[tuple[str, int], list[int]] = defaultdict(list)
    for line in reader.read(kafka_url.removeprefix("kafka://"), prefix, END_KEY):
        place = (line.pop("topic"), line.pop("partition"))
        offsets[place].append(line.pop("offset"))
        seen[place].append(line)
    damaged = seen[f"{prefix}.observations", 0].pop()
    unreadable = seen[f"{prefix}.deadletter", 0].pop()
    assert dict(seen) == dict(expected)
    assert all(of_place == sorted(set(of_place)) for of_place in offsets.values())
    assert {place[0].removeprefix(f"{prefix}.") for place in seen} == {
        "observations", "windows", "tracks", "archive.observations", "archive.windows", "archive.tracks", "status",
        "streams", "state", "jobs", "jobs.status", "runs", "deadletter",
    }  # fmt: skip
    faults = "; ".join(damaged["faults"])
    assert "Observation: lacks label" in faults
    assert "Observation.seq: is no integer" in faults
    assert "Observation.quality" in faults
    assert "DeadLetter: lacks topic" in unreadable["faults"]
