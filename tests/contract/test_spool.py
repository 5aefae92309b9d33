"""Live records and a real broker that dies, freezes, throttles, or is not there yet."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import kafka
import pytest

from streamer.bus.kafka import KafkaBus
from streamer.bus.open import open_bus
from streamer.bus.protocol import Outgoing, Topic
from streamer.bus.spool import Spool
from streamer.bus.spool_producer import SpooledProducer
from tests.kafka.broker import Broker, fetch, missing, start

pytestmark = [
    pytest.mark.kafka,
    # kafka-python leaves what it opened for a broker that did not answer to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]
N_STREAMS = 4
WITHIN_S = 90.0


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker of our own: it is killed and frozen."""
    reason = missing()
    if reason is not None:
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    broker = start(tmp_path_factory.mktemp("broker"))
    yield broker
    broker.stop()


@pytest.fixture
def bus(broker: Broker, prefix: str) -> Iterator[KafkaBus]:
    bus = open_bus(broker.url)
    assert isinstance(bus, KafkaBus)
    bus.ensure_topics([Topic(f"{prefix}.log", N_STREAMS), Topic(f"{prefix}.state", 1)])
    yield bus
    bus.close()
    gc.collect()


class Load(threading.Thread):
    """Sends for N streams, each record with its number, until told to stop; `accepted` is its own count."""

    def __init__(self, producer: SpooledProducer, topic: str, pause_s: float = 0.02, size: int = 300) -> None:
        super().__init__(daemon=True)
        self.producer = producer
        self.topic = topic
        self.pause_s = pause_s
        self.size = size
        self.accepted = 0
        self.longest_s = 0.0
        self.rss: list[tuple[float, int]] = []
        self.stopping = threading.Event()

    def run(self) -> None:
        while not self.stopping.wait(self.pause_s):
            records = [
                Outgoing(self.topic, stream, b"s%d" % stream, b"%d " % self.accepted + b"x" * self.size)
                for stream in range(N_STREAMS)
            ]
            begun_s = time.monotonic()
            self.producer.send(records)
            self.longest_s = max(self.longest_s, time.monotonic() - begun_s)
            self.accepted += 1
            if self.accepted % 25 == 0:
                self.rss.append((begun_s, _rss_bytes()))

    def end(self) -> None:
        self.stopping.set()
        self.join(30)
        assert not self.is_alive()


def _rss_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def until(holds: Callable[[], bool], within_s: float = WITHIN_S) -> None:
    deadline_s = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def written(broker: Broker, topic: str) -> dict[int, list[int]]:
    """The numbers on the topic by stream, read by a client that knows nothing of ours."""
    consumer = kafka.KafkaConsumer(bootstrap_servers=f"127.0.0.1:{broker.port}", auto_offset_reset="earliest")
    found: dict[int, list[int]] = defaultdict(list)
    try:
        places = [kafka.TopicPartition(topic, partition) for partition in range(N_STREAMS)]
        consumer.assign(places)
        ends = consumer.end_offsets(places)
        deadline_s = time.monotonic() + WITHIN_S
        while any(consumer.position(place) < ends[place] for place in places):
            assert time.monotonic() < deadline_s
            for place, records in consumer.poll(timeout_ms=500).items():
                found[place.partition] += [int(record.value.split()[0]) for record in records]
    finally:
        consumer.close()
    return found


def check(broker: Broker, topic: str, accepted: int) -> int:
    """Nothing is missing and every stream is in order, repetitions aside; returns how many there are of those."""
    repeated = 0
    for stream, numbers in written(broker, topic).items():
        first = list(dict.fromkeys(numbers))
        assert first == list(range(accepted)), f"stream {stream}"
        repeated += len(numbers) - len(first)
    return repeated


def test_a_broker_that_is_killed_three_times_under_load_loses_nothing(
    broker: Broker, bus: KafkaBus, prefix: str, tmp_path: Path
) -> None:
    topic = f"{prefix}.log"
    producer = SpooledProducer(bus.producer(), Spool(tmp_path / "spool.db", 2**30))
    load = Load(producer, topic)
    load.start()
    until(lambda: not producer.away and load.accepted > 50)
    slopes = []
    for _ in range(3):
        broker.kill()
        until(lambda: producer.waiting > 200)
        at = len(load.rss)
        broker.restart()
        first, last = load.rss[at], load.rss[-1]
        slopes.append((last[1] - first[1]) / max(1.0, last[0] - first[0]) / 1024)
        until(lambda: not producer.away)
    load.end()
    producer.close(30)
    repeated = check(broker, topic, load.accepted)
    sys.stdout.write(
        f"\n{load.accepted * N_STREAMS} records, {producer.spooled} spooled, {producer.replayed} replayed, {repeated}"
        f" twice; RSS while away {[round(slope) for slope in slopes]} KiB/s; longest send {load.longest_s:.2f} s"
    )
    assert (producer.discarded, producer.waiting) == (0, 0)
    assert producer.spooled >= 600
    assert max(slopes) < 5 * 1024


def test_a_broker_that_freezes_with_its_connections_open_loses_nothing(
    broker: Broker, bus: KafkaBus, prefix: str, tmp_path: Path
) -> None:
    topic = f"{prefix}.log"
    producer = SpooledProducer(bus.producer(), Spool(tmp_path / "spool.db", 2**30))
    load = Load(producer, topic)
    load.start()
    until(lambda: not producer.away and load.accepted > 50)
    broker.pause()
    try:
        until(lambda: producer.away)
        until(lambda: producer.away_s > 6)
        assert producer.waiting > 500
    finally:
        broker.resume()
    until(lambda: not producer.away)
    load.end()
    producer.close(30)
    sys.stdout.write(
        f"\n{check(broker, topic, load.accepted)} of {load.accepted * N_STREAMS} twice, longest {load.longest_s:.2f} s"
    )
    assert producer.discarded == 0
    assert load.longest_s < 5


def test_a_hiccup_shorter_than_the_silence_repeats_nothing(
    broker: Broker, bus: KafkaBus, prefix: str, tmp_path: Path
) -> None:
    topic = f"{prefix}.log"
    producer = SpooledProducer(bus.producer(), Spool(tmp_path / "spool.db", 2**30), silent_s=60)
    load = Load(producer, topic)
    load.start()
    until(lambda: not producer.away and load.accepted > 50)
    broker.pause()
    try:
        until(lambda: producer.away, 30)
        until(lambda: producer.waiting > 100)
    finally:
        broker.resume()
    until(lambda: not producer.away)
    load.end()
    producer.close(30)
    assert check(broker, topic, load.accepted) == 0
    assert producer.spooled > 100


def test_a_broker_that_is_not_there_yet_is_waited_for_and_snapshots_are_told_of(
    broker: Broker, bus: KafkaBus, prefix: str, tmp_path: Path
) -> None:
    topic, state = f"{prefix}.log", f"{prefix}.state"
    broker.kill()
    late = open_bus(broker.url)
    assert isinstance(late, KafkaBus)
    try:
        spool = Spool(tmp_path / "spool.db", 2**30)
        producer = SpooledProducer(late.producer(), spool, kept=lambda one: one.topic != state)
        load = Load(producer, topic)
        load.start()
        until(lambda: load.accepted >= 20)
        load.end()
        assert load.longest_s < 5  # a busy disk; no waiting for the broker, which lasts ten
        for n in range(3):
            producer.send([Outgoing(state, 0, b"k", b"%d" % n)])
        assert producer.waiting == producer.spooled == load.accepted * N_STREAMS
        assert not producer.dropped_any()
        producer.close(0.2)  # and the process ends: its successor delivers what it left
        spool = Spool(tmp_path / "spool.db", 2**30)
        assert spool.waiting == load.accepted * N_STREAMS
        producer = SpooledProducer(late.producer(), spool, kept=lambda one: one.topic != state)
        producer.send([Outgoing(state, 0, b"k", b"3")])
    finally:
        broker.restart()
    until(lambda: not producer.away)
    assert producer.dropped_any()
    assert not producer.dropped_any()
    producer.send([Outgoing(state, 0, b"k", b"4")])
    producer.flush()
    producer.close(30)
    late.close()
    check(broker, topic, load.accepted)


def test_a_broker_that_throttles_shows_as_lag(broker: Broker, bus: KafkaBus, prefix: str, tmp_path: Path) -> None:
    topic = f"{prefix}.log"
    _limit_producers(broker, "--add-config", "producer_byte_rate=40000")
    try:
        producer = SpooledProducer(bus.producer(), Spool(tmp_path / "spool.db", 2**30))
        load = Load(producer, topic, size=600)  # more than twice as much
        load.start()
        until(lambda: producer.waiting > 400 and producer.replayed > 0)
        assert producer.away_s > 0
        load.end()
    finally:
        _limit_producers(broker, "--delete-config", "producer_byte_rate")
    until(lambda: not producer.away)
    producer.close(30)
    repeated = check(broker, topic, load.accepted)
    sys.stdout.write(f"\n{load.accepted * N_STREAMS} records, {producer.spooled} spooled, {repeated} twice")
    assert producer.discarded == 0


def _limit_producers(broker: Broker, *change: str) -> None:
    """By the broker's own command: kafka-python sets no quotas."""
    address = f"127.0.0.1:{broker.port}"
    command = ["kafka.admin.ConfigCommand", "--bootstrap-server", address, "--alter", "--entity-type", "clients"]
    command = ["java", "-cp", f"{fetch()}/*", *command, "--entity-default", *change]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
