"""What only the Kafka home can show: outages, transactions seen from outside, groups that share work."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kafka
import pytest
from kafka import errors

from streamer.bus.checks import record_bytes
from streamer.bus.open import open_bus
from streamer.bus.protocol import Bus, GroupToken, Load, Member, Outgoing, Position, Topic
from streamer.errors import BusUnavailable, DeliveryFailed
from tests.contract.test_bus import WITHIN_S, out, read, texts
from tests.kafka.broker import Broker, start

pytestmark = pytest.mark.kafka


@pytest.fixture
def bus(kafka_url: str, prefix: str) -> Iterator[Bus]:
    bus = open_bus(f"{kafka_url}?commit_timeout_s=3")
    bus.ensure_topics([Topic(f"{prefix}.log", 4), Topic(f"{prefix}.state", 2, "compact")])
    yield bus
    bus.close()


@pytest.fixture
def paused(kafka_broker: Broker) -> Iterator[Callable[[], None]]:
    yield kafka_broker.pause
    kafka_broker.resume()


def test_a_frozen_broker_loses_nothing_and_doubles_nothing(
    bus: Bus, prefix: str, kafka_broker: Broker, paused: Callable[[], None]
) -> None:
    producer = bus.producer()
    producer.send([out(f"{prefix}.log", 0, str(i)) for i in range(50)])
    producer.flush(WITHIN_S)
    paused()
    for i in range(50, 200):
        producer.send([out(f"{prefix}.log", 0, str(i))])
    started_s = time.monotonic()
    with pytest.raises(BusUnavailable, match="150 records are not acknowledged"):
        producer.flush(5.0)
    assert 4.5 <= time.monotonic() - started_s < 20
    assert producer.unacknowledged() == 150
    kafka_broker.resume()
    producer.flush(WITHIN_S)
    assert producer.unacknowledged() == 0
    assert texts(read(bus.consumer([f"{prefix}.log"]))) == [str(i) for i in range(200)]


def test_a_killed_broker_comes_back_to_every_record_in_order_once(tmp_path: Path, kafka_broker: Broker) -> None:
    del kafka_broker  # only so that this is skipped where no broker can be started
    broker = start(tmp_path)
    try:
        bus = open_bus(broker.url)
        bus.ensure_topics([Topic("log", 2)])
        producer, consumer = bus.producer(), bus.consumer(["log"])
        for i in range(300):
            producer.send([out("log", i % 2, str(i))])
            if i == 100:
                broker.kill()
        with pytest.raises(BusUnavailable):
            producer.flush(2.0)
        assert 0 < producer.unacknowledged() <= 300
        broker.restart()
        producer.flush(60.0)
        got = read(consumer, 300, within_s=60.0)
        for partition in (0, 1):
            mine = [r for r in got if r.partition == partition]
            assert texts(mine) == [str(i) for i in range(partition, 300, 2)]
        bus.close()
    finally:
        broker.stop()


def test_a_broker_that_is_away_at_the_start_is_named_in_time_and_waited_for(unused_port: int) -> None:
    bus = open_bus(f"kafka://someone:hush@127.0.0.1:{unused_port}?wait_s=1&security=sasl_plaintext")
    for use in (lambda: bus.ensure_topics([Topic("a", 1)]), lambda: bus.consumer(["a"]), lambda: bus.latest("a", 0)):
        started_s = time.monotonic()
        with pytest.raises(BusUnavailable, match=f"127.0.0.1:{unused_port}") as error:
            use()
        assert time.monotonic() - started_s < 9  # without `wait_s` it would be ten
        assert "hush" not in str(error.value)
    bus.close()


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_what_waits_for_the_broker_is_bounded(kafka_url: str, prefix: str, paused: Callable[[], None]) -> None:
    bus = open_bus(f"{kafka_url}?max_unacknowledged_bytes=10000")
    bus.ensure_topics([Topic(f"{prefix}.log", 1)])
    producer = bus.producer()
    producer.send([out(f"{prefix}.log", 0, "warm up")])
    producer.flush(WITHIN_S)
    paused()
    record = out(f"{prefix}.log", 0, "x" * 500)
    for _ in range(10000 // record_bytes(record)):
        producer.send([record])
    waiting = producer.unacknowledged()
    assert waiting >= 15
    with pytest.raises(BusUnavailable, match="bound is 10000"):
        producer.send([record])
    assert producer.unacknowledged() == waiting
    bus.close()


def test_no_topic_is_created_by_naming_it(bus: Bus, kafka_url: str, prefix: str) -> None:
    with pytest.raises(DeliveryFailed):
        bus.producer().send([out(f"{prefix}.typo", 0, "a")])
    admin = kafka.KafkaAdminClient(bootstrap_servers=kafka_url.removeprefix("kafka://"))
    try:
        names = admin.list_topics()
    finally:
        admin.close()
    assert f"{prefix}.log" in names
    assert f"{prefix}.typo" not in names


def test_an_open_transaction_is_seen_only_by_those_who_ask_for_it(bus: Bus, kafka_url: str, prefix: str) -> None:
    other = kafka.KafkaProducer(
        bootstrap_servers=kafka_url.removeprefix("kafka://"), transactional_id=f"{prefix}-other", linger_ms=0
    )
    other.init_transactions()
    other.begin_transaction()
    other.send(f"{prefix}.log", key=b"k", value=b"uncommitted", partition=0).get(timeout=WITHIN_S)
    committed = bus.consumer([f"{prefix}.log"])
    assert texts(read(bus.consumer([f"{prefix}.log"], isolation="read_uncommitted"), 1)) == ["uncommitted"]
    assert read(committed) == []
    other.abort_transaction()
    other.close()
    bus.producer(f"{prefix}-tx").commit([out(f"{prefix}.log", 0, "committed")])
    assert texts(read(committed)) == ["committed"]
    assert texts(list(bus.latest(f"{prefix}.log", 0).values())) == ["committed"]


def test_a_commit_to_a_frozen_broker_is_refused_in_time_and_can_be_repeated(
    bus: Bus, prefix: str, kafka_broker: Broker, paused: Callable[[], None]
) -> None:
    producer = bus.producer(f"{prefix}-tx")
    producer.commit([out(f"{prefix}.log", 0, "a")])
    batch = [out(f"{prefix}.log", i % 4, f"b{i}") for i in range(8)]
    paused()
    started_s = time.monotonic()
    with pytest.raises(BusUnavailable):
        producer.commit(batch)
    assert time.monotonic() - started_s < 15  # the transaction, then its abort
    kafka_broker.resume()
    deadline_s = time.monotonic() + 60
    while True:  # the broker may need a moment to take its place in the cluster again
        try:
            producer.commit(batch)
            break
        except BusUnavailable:
            assert time.monotonic() < deadline_s
    assert sorted(texts(read(bus.consumer([f"{prefix}.log"])))) == ["a", *(f"b{i}" for i in range(8))]


def test_a_commit_whose_answer_is_lost_is_found_out(bus: Bus, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    producer = bus.producer(f"{prefix}-tx")
    really = kafka.KafkaProducer.commit_transaction

    def answer_lost(client: Any) -> None:
        really(client)
        raise errors.KafkaTimeoutError("lost")

    monkeypatch.setattr(kafka.KafkaProducer, "commit_transaction", answer_lost)
    producer.commit([out(f"{prefix}.log", 0, "a"), out(f"{prefix}.log", 1, "b")])
    monkeypatch.undo()
    producer.commit([out(f"{prefix}.log", 0, "c")])
    assert sorted(texts(read(bus.consumer([f"{prefix}.log"])))) == ["a", "b", "c"]


def test_a_commit_that_never_reached_the_broker_is_found_out(
    bus: Bus, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    producer = bus.producer(f"{prefix}-tx")

    def never_sent(client: Any) -> None:
        raise errors.KafkaTimeoutError("never sent")

    monkeypatch.setattr(kafka.KafkaProducer, "commit_transaction", never_sent)
    with pytest.raises(BusUnavailable):
        producer.commit([out(f"{prefix}.log", 0, "a")])
    monkeypatch.undo()
    assert read(bus.consumer([f"{prefix}.log"])) == []
    producer.commit([out(f"{prefix}.log", 0, "a")])
    assert texts(read(bus.consumer([f"{prefix}.log"]))) == ["a"]


def test_the_members_of_a_group_share_the_partitions(bus: Bus, prefix: str) -> None:
    first = bus.consumer([f"{prefix}.log"], group=f"{prefix}-g")
    second = bus.consumer([f"{prefix}.log"], group=f"{prefix}-g")
    producer = bus.producer()
    seen: dict[str, set[int]] = {"first": set(), "second": set()}
    deadline_s = time.monotonic() + 60
    while not (seen["first"] and seen["second"]) and time.monotonic() < deadline_s:
        producer.send([out(f"{prefix}.log", i, "x") for i in range(4)])
        for name, consumer in (("first", first), ("second", second)):
            seen[name] |= {record.partition for record in consumer.poll(0.3)}
    assert seen["first"]
    assert seen["second"]


def test_gzip_is_read_back(kafka_url: str, prefix: str) -> None:
    bus = open_bus(f"{kafka_url}?compression=gzip&linger_ms=50")
    bus.ensure_topics([Topic(f"{prefix}.log", 1)])
    producer = bus.producer()
    producer.send([out(f"{prefix}.log", 0, str(i) * 50) for i in range(200)])
    producer.flush(WITHIN_S)
    assert texts(read(bus.consumer([f"{prefix}.log"]))) == [str(i) * 50 for i in range(200)]
    bus.close()


def test_a_record_only_the_broker_finds_too_large_is_reported_as_lost(kafka_url: str, prefix: str) -> None:
    bus = open_bus(f"{kafka_url}?max_record_bytes=3000000")
    admin = kafka.KafkaAdminClient(bootstrap_servers=kafka_url.removeprefix("kafka://"))
    try:
        admin.create_topics({f"{prefix}.log": {"num_partitions": 2, "replication_factor": 1}}, wait_for_metadata=True)
    finally:
        admin.close()
    producer = bus.producer()
    records = [out(f"{prefix}.log", i % 2, str(i)) for i in range(20)]
    records.insert(10, Outgoing(f"{prefix}.log", 0, b"k", b"x" * 2_000_000))
    producer.send(records)
    with pytest.raises(DeliveryFailed, match="1 records that were sent are lost"):
        producer.flush(WITHIN_S)
    producer.send([out(f"{prefix}.log", 0, "20")])
    producer.flush(WITHIN_S)
    got = read(bus.consumer([f"{prefix}.log"]))
    assert {int(text) for text in texts(got)} == set(range(21))  # its neighbours are all there, at least once
    bus.close()


def test_topics_are_made_with_the_brokers_clock_and_their_policies(bus: Bus, kafka_url: str, prefix: str) -> None:
    from kafka.admin import ConfigResource, ConfigResourceType

    bus.ensure_topics([Topic(f"{prefix}.kept", 1, "delete", 3600.0)])
    admin = kafka.KafkaAdminClient(bootstrap_servers=kafka_url.removeprefix("kafka://"))
    try:
        names = [f"{prefix}.kept", f"{prefix}.state", f"{prefix}.log"]
        described = admin.describe_configs(
            [ConfigResource(ConfigResourceType.TOPIC, name) for name in names], config_filter="all"
        )["topic"]
    finally:
        admin.close()
    values = {name: {key: entry["value"] for key, entry in described[name].items()} for name in names}
    assert values[names[0]]["retention.ms"] == "3600000"
    assert values[names[2]]["retention.ms"] == "-1"
    assert values[names[1]]["cleanup.policy"] == "compact"
    assert values[names[1]]["segment.bytes"] == str(16 * 1024 * 1024)
    assert values[names[1]]["min.cleanable.dirty.ratio"] == "0.1"
    assert {config["message.timestamp.type"] for config in values.values()} == {"LogAppendTime"}


@pytest.mark.parametrize("ends", ["commit", "abort"])
def test_settled_waits_for_the_transactions_that_are_open(bus: Bus, kafka_url: str, prefix: str, ends: str) -> None:
    topic = f"{prefix}.state"
    bus.producer(f"{prefix}-tx").commit([out(topic, 0, "before")])
    other = kafka.KafkaProducer(
        bootstrap_servers=kafka_url.removeprefix("kafka://"), transactional_id=f"{prefix}-other", linger_ms=0
    )
    other.init_transactions()
    other.begin_transaction()
    other.send(topic, key=b"k", value=b"late", partition=0).get(timeout=WITHIN_S)
    assert texts(list(bus.latest(topic, 0).values())) == ["before"]
    finish = other.commit_transaction if ends == "commit" else other.abort_transaction
    thread = threading.Timer(1.0, finish)
    thread.start()
    started_s = time.monotonic()
    got = texts(list(bus.latest(topic, 0, settled=True).values()))
    assert time.monotonic() - started_s >= 0.9
    assert got == (["late"] if ends == "commit" else ["before"])
    thread.join()
    other.close()


def test_settled_outlasts_a_transaction_that_nobody_ends(bus: Bus, kafka_url: str, prefix: str) -> None:
    topic = f"{prefix}.state"
    other = kafka.KafkaProducer(
        bootstrap_servers=kafka_url.removeprefix("kafka://"),
        transactional_id=f"{prefix}-other",
        transaction_timeout_ms=2000,
        linger_ms=0,
    )
    other.init_transactions()
    other.begin_transaction()
    other.send(topic, key=b"k", value=b"zombie", partition=0).get(timeout=WITHIN_S)
    assert bus.latest(topic, 0, settled=True) == {}
    assert bus.latest(topic, 0) == {}
    other.close(timeout=0)


def test_an_append_to_a_frozen_broker_ends_in_time(
    bus: Bus, prefix: str, kafka_broker: Broker, paused: Callable[[], None]
) -> None:
    producer = bus.producer()
    producer.append([out(f"{prefix}.log", 0, "a")], WITHIN_S)
    paused()
    started_s = time.monotonic()
    with pytest.raises(BusUnavailable):
        producer.append([out(f"{prefix}.log", 0, "b")], 2.0)
    assert time.monotonic() - started_s < 15
    kafka_broker.resume()
    assert producer.append([out(f"{prefix}.log", 0, "c")], 60.0)[0].offset == 2
    assert texts(read(bus.consumer([f"{prefix}.log"]))) == ["a", "b", "c"]


class Heard:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.events: list[tuple[str, frozenset[int]]] = []

    def assigned(self, partitions: frozenset[int]) -> None:
        self.events.append(("assigned", partitions))

    def revoked(self, partitions: frozenset[int], token: GroupToken | None) -> None:
        self.events.append(("revoked", partitions))

    def lost(self, partitions: frozenset[int]) -> None:
        self.events.append(("lost", partitions))


def poll_until(member: Member, condition: Callable[[], bool], within_s: float = 60.0) -> list[str]:
    got: list[str] = []
    deadline_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline_s
        try:
            got += texts(member.poll(0.1))
        except BusUnavailable:
            pass
    return got


def test_a_member_outlives_its_broker_and_reads_on(tmp_path: Path, kafka_broker: Broker) -> None:
    del kafka_broker  # only so that this is skipped where no broker can be started
    broker = start(tmp_path)
    try:
        bus = open_bus(f"{broker.url}?wait_s=2")
        bus.ensure_topics([Topic("log", 2)])
        heard = Heard()
        member = bus.member("log", "g", heard, Load("a", 4), session_timeout_s=6.0)
        poll_until(member, lambda: len(member.owned()) == 2)
        broker.kill()
        started_s = time.monotonic()
        n_polls = 0
        while time.monotonic() - started_s < 3:
            n_polls += 1
            try:
                assert member.poll(0.1) == []
            except BusUnavailable:
                pass
        assert n_polls >= 5  # of thirty: no poll waits for the broker, whatever else keeps this machine
        with pytest.raises(BusUnavailable):
            member.commit({0: 0})
        broker.restart()
        bus.producer().append([out("log", 0, "after")], 60.0)
        got: list[str] = []
        deadline_s = time.monotonic() + 60
        while not got and time.monotonic() < deadline_s:
            try:
                got += texts(member.poll(0.1))
            except BusUnavailable:
                pass
        assert got == ["after"]
        poll_until(member, lambda: commits(member))
        bus.close()
    finally:
        broker.stop()


def commits(member: Member) -> bool:
    try:
        member.commit({0: 1})
    except (BusUnavailable, DeliveryFailed):
        return False
    return True


def test_a_slow_revocation_keeps_its_membership(bus: Bus, prefix: str) -> None:
    class Slow(Heard):
        def revoked(self, partitions: frozenset[int], token: GroupToken | None) -> None:
            super().revoked(partitions, token)
            time.sleep(7.0)  # longer than the session lasts without heartbeats
            producer.commit([], Position(token, tuple((f"{prefix}.log", p, 5) for p in partitions)))  # type: ignore[arg-type]

    producer = bus.producer(f"{prefix}-tx")
    slow, heard = Slow(), Heard()
    first = bus.member(f"{prefix}.log", f"{prefix}.g", slow, Load("a", 4), session_timeout_s=6.0)
    poll_until(first, lambda: len(first.owned()) == 4)
    second = bus.member(f"{prefix}.log", f"{prefix}.g", heard, Load("b", 4), session_timeout_s=6.0)
    stop = threading.Event()
    thread = threading.Thread(target=lambda: poll_until(second, stop.is_set))
    thread.start()
    poll_until(first, lambda: len(first.owned()) == 2 and len(second.owned()) == 2)
    stop.set()
    thread.join()
    assert [what for what, _ in slow.events] == ["assigned", "revoked"]
    assert [what for what, _ in heard.events] == ["assigned"]


def test_a_position_that_is_not_answered_leaves_nothing_and_can_be_given_again(
    bus: Bus, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = bus.member(f"{prefix}.log", f"{prefix}.g", Heard(), Load("a", 4))
    poll_until(member, lambda: len(member.owned()) == 4)
    token = member.token()
    assert token is not None
    position = Position(token, ((f"{prefix}.log", 1, 5),))
    producer = bus.producer(f"{prefix}-tx")
    batch = [out(f"{prefix}.log", 0, "a")]
    monkeypatch.setattr(kafka.KafkaProducer, "send_offsets_to_transaction", lambda *_: threading.Event().wait(20.0))
    started_s = time.monotonic()
    with pytest.raises(BusUnavailable):
        producer.commit(batch, position)
    assert time.monotonic() - started_s < 15
    monkeypatch.undo()
    assert read(bus.consumer([f"{prefix}.log"])) == []
    producer.commit(batch, position)
    assert texts(read(bus.consumer([f"{prefix}.log"]))) == ["a"]
    member.close()
    records = [out(f"{prefix}.log", 1, str(i)) for i in range(6)]
    bus.producer().append(records, WITHIN_S)
    again = bus.member(f"{prefix}.log", f"{prefix}.g", Heard(), Load("a", 4))
    got = poll_until(again, lambda: bool(again.owned()) and all(again.caught_up(p) for p in range(4)))
    assert sorted(got) == ["5", "a"]
