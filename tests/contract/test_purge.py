"""`streamer purge` over both homes of the bus, and what only Kafka does: tombstones, compaction, retention."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import kafka
import pytest
from kafka.admin import ConfigResource, ConfigResourceType

from streamer.bus.open import open_bus
from streamer.bus.protocol import Incoming, Outgoing
from streamer.bus.read import drain
from streamer.bus.topics import outgoing, partition_of, topics
from streamer.config import RetentionSettings, TopicSettings
from streamer.fleet.traces import Traces, jobs_of
from streamer.messages import RunRecord, decode
from streamer.state.codec import stream_key
from tests.golden.records import OBSERVATION
from tests.kafka.broker import Broker, missing, need, start
from tests.purged import BOTH_RUNS, GONE, STAYS, TRACK_STATE, left_behind
from tests.unit.cli.verbs import streamer, told, write

WITHIN_S = 300.0
PARTITIONS = 4
QUICK = {
    "log.cleaner.backoff.ms": "200",
    "log.retention.check.interval.ms": "300",
    "log.initial.task.delay.ms": "200",
    "log.segment.delete.delay.ms": "100",
}


@pytest.fixture
def settings(bus_url: str, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TopicSettings:
    return _site(bus_url, prefix, tmp_path, monkeypatch)


def _site(url: str, prefix: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> TopicSettings:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("STREAMER_BUS", url)
    monkeypatch.setenv("STREAMER_TOPICS__PREFIX", prefix)
    monkeypatch.setenv("STREAMER_TOPICS__PARTITIONS", str(PARTITIONS))
    settings = TopicSettings(prefix=prefix, partitions=PARTITIONS)
    left_behind(url, settings)
    return settings


def everything(url: str, settings: TopicSettings) -> list[Incoming]:
    bus = open_bus(url, create=False)
    try:
        return [record for topic in topics(settings).all() for record in drain(bus, [topic.name], "read_uncommitted")]
    finally:
        bus.close()


def of(stream: str, records: list[Incoming], settings: TopicSettings) -> list[Incoming]:
    """What is the stream's alone, by the judge that `tests/unit/fleet/test_traces.py` holds to account."""
    names = topics(settings)
    jobs = jobs_of((r for r in records if r.topic in (names.jobs.name, names.jobs_status.name)), names, stream)
    judge = Traces(names, stream, None, jobs).judge
    mine = (r for r in records if judge(r) == "forget" and r.key != BOTH_RUNS.encode())
    return sorted(mine, key=lambda r: (r.topic, r.partition, r.offset))


def test_a_stream_is_forgotten_and_no_other(
    bus_url: str, settings: TopicSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    before = of(STAYS, everything(bus_url, settings), settings)
    assert len({r.topic for r in before}) == 14
    said = told(capsys, "purge", GONE, "--yes")
    after = everything(bus_url, settings)
    assert of(STAYS, after, settings) == before
    newest = {(r.topic, r.partition, r.key): r for r in after}
    live = [r for r in newest.values() if r.value is not None]
    both = decode(next(r.value for r in live if r.key == BOTH_RUNS.encode() and r.value), RunRecord)
    assert [source.stream for source in both.sources] == [STAYS]
    by_topic = {row["topic"].removeprefix(f"{settings.prefix}."): row for row in said["topics"]}
    if bus_url.startswith("sqlite"):
        assert said["left"] == 0
        return
    # The streams lie in different partitions, so that theirs may begin behind the last of what is forgotten.
    places = {partition_of(name, PARTITIONS) for name in (GONE, STAYS)}
    assert len(places) == 2
    for name in ("observations", "windows", "tracks", "archive.observations", "archive.windows", "archive.tracks"):
        assert (by_topic[name]["removed"], by_topic[name]["left"]["records"]) == (2, 0), name
    for name in ("state", "archive.state", "status", "jobs.status", "runs"):
        assert by_topic[name]["tombstones_written"] >= 1, name
        assert by_topic[name]["left"]["gone_by_s"] > time.time(), name
    compacted = {topic.name for topic in topics(settings).all() if "compact" in topic.cleanup}
    assert [r.topic for r in live if r.topic in compacted and r.value == TRACK_STATE + stream_key(GONE)] == []
    bus = open_bus(bus_url, create=False)
    state = topics(settings).state.name
    assert bus.latest(state, partition_of(GONE, PARTITIONS)) == {}
    assert len(bus.latest(state, partition_of(STAYS, PARTITIONS))) == 3
    bus.close()


def test_an_sqlite_bus_holds_no_byte_of_it_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path}/site.db"
    settings = _site(url, "affect", tmp_path, monkeypatch)
    known = [r.value for r in everything(url, settings) if r.key == GONE.encode() and r.value is not None]
    assert len(known) > 10
    watching = sqlite3.connect(tmp_path / "site.db")  # another program has the file open, as a worker does
    watching.execute("SELECT count(*) FROM record").fetchall()
    told(capsys, "purge", GONE, "--yes")
    held = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.name.startswith("site.db"))
    watching.close()
    escaped = GONE.replace("/", "%2F")
    for name in (GONE, escaped):  # as a whole: the other stream's name begins with it
        assert held.replace(f"{name}west".encode(), b"").count(name.encode()) == 0
    assert [value for value in known if value in held] == []
    assert STAYS.encode() in held


@pytest.fixture(scope="module")
def quick_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """One that compacts and deletes as soon as it may."""
    need(missing())
    broker = start(tmp_path_factory.mktemp("quick-kafka"), QUICK)
    yield broker
    broker.stop()


def _alter(url: str, names: list[str], configs: dict[str, str]) -> None:
    admin = kafka.KafkaAdminClient(bootstrap_servers=url.removeprefix("kafka://"))
    try:
        answers = admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, configs) for name in names])
        assert set(answers["topic"].values()) == {"OK"}
    finally:
        admin.close()


def _until(holds: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + WITHIN_S
    while not holds():
        assert time.monotonic() < deadline_s, f"{what} did not happen in {WITHIN_S:.0f} s"
        time.sleep(0.2)


@pytest.mark.kafka
@pytest.mark.timeout(600)
def test_the_check_finds_nothing_once_kafka_has_compacted(
    quick_broker: Broker,
    prefix: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    url = quick_broker.url
    settings = _site(url, prefix, tmp_path, monkeypatch)
    names = topics(settings)
    told(capsys, "purge", GONE, "--yes")
    code, out, _ = streamer(capsys, "purge", "--check", GONE, "--json")
    first = json.loads(out)
    assert (code, first["left"] > 0) == (1, True)
    compacted = [topic.name for topic in names.all() if "compact" in topic.cleanup]
    impatient = {
        "segment.ms": "100",
        "min.cleanable.dirty.ratio": "0.0",
        "delete.retention.ms": "0",
        "max.compaction.lag.ms": "100",
    }
    _alter(url, compacted, impatient)
    by_age = [topic.name for topic in names.all() if topic.cleanup == "delete"]
    _alter(url, by_age, {"retention.ms": "100", "segment.ms": "100"})
    known = [(r.topic, r.partition) for r in everything(url, settings) if r.topic in compacted]

    def forgotten() -> bool:
        # Only closed segments are compacted: others go on to write.
        bus = open_bus(url)
        producer = bus.producer()
        producer.send([Outgoing(topic, partition, b"of-others", b"x") for topic, partition in set(known)])
        producer.flush(30.0)
        bus.close()
        return streamer(capsys, "purge", "--check", GONE)[0] == 0

    _until(forgotten, "compaction")


@pytest.mark.kafka
def test_each_topic_keeps_its_records_as_long_as_is_set(
    quick_broker: Broker,
    prefix: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    url = quick_broker.url
    settings = TopicSettings(prefix=prefix, partitions=2, retention=RetentionSettings(observations_s=1.0))
    names = topics(settings)
    bus = open_bus(url, settings=settings)
    bus.ensure_topics(names.all())
    write(url, outgoing(OBSERVATION, settings), outgoing(OBSERVATION, settings, "archive"))
    assert _kept(url, names.observations.name, names.windows.name) == ["1000", "604800000"]

    def left() -> set[str]:
        return {record.topic for record in drain(bus, [names.observations.name, names.archive_observations.name])}

    _until(lambda: left() == {names.archive_observations.name}, "retention")
    bus.close()
    (tmp_path / "other.yaml").write_text(
        f"topics: {{prefix: {prefix}, partitions: 2, retention: {{archive_observations_s: 1, windows_s: 60}}}}\n"
    )
    monkeypatch.chdir(tmp_path)
    rows = told(capsys, "topics", "create", "--bus", url, "--config", "other.yaml")
    changed = {row["name"].removeprefix(f"{prefix}.") for row in rows if row["changed"]}
    assert changed == {"observations", "archive.observations", "windows"}
    assert _kept(url, names.observations.name, names.windows.name) == ["604800000", "60000"]
    bus = open_bus(url, settings=settings)
    _until(lambda: left() == set(), "the retention that was changed")
    bus.close()


def _kept(url: str, *names: str) -> list[str]:
    admin = kafka.KafkaAdminClient(bootstrap_servers=url.removeprefix("kafka://"))
    try:
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
        found = admin.describe_configs(resources, config_filter="all")["topic"]
        return [found[name]["retention.ms"]["value"] for name in names]
    finally:
        admin.close()
