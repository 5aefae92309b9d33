from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from streamer.bus import spool_producer
from streamer.bus.protocol import Outgoing, Placed, Position
from streamer.bus.spool import Spool
from streamer.bus.spool_producer import SpooledProducer
from streamer.errors import BusError, BusUnavailable, DeliveryFailed, TopicMissing

TOO_LARGE = b"x" * 1000


class Broker:
    """A producer whose broker is `up`, `down` (refuses), `silent` (takes, never answers) or without the topic."""

    def __init__(self) -> None:
        self.mode = "up"
        self.log: list[Outgoing] = []
        self.lost_answers = 0  # how many of what is taken back had arrived all the same
        self.given_up = 0
        self._under_way: list[tuple[Outgoing, float]] = []
        self._lock = threading.Lock()

    def send(self, records: Sequence[Outgoing]) -> None:
        with self._lock:
            if self.mode == "down":
                raise BusUnavailable("down")
            if self.mode == "no topic":
                raise TopicMissing("no such topic")
            refused = tuple(at for at, one in enumerate(records) if one.value == TOO_LARGE)
            if refused:
                raise DeliveryFailed("too large", refused)
            self._under_way += [(record, time.monotonic()) for record in records]
        self._answer()

    def _answer(self) -> None:
        with self._lock:
            if self.mode == "up":
                self.log += [record for record, _ in self._under_way]
                self._under_way.clear()

    def flush(self, timeout_s: float) -> None:
        deadline_s = time.monotonic() + timeout_s
        while True:
            self._answer()
            if not self._under_way:
                return
            if time.monotonic() > deadline_s:
                raise BusUnavailable("no answer")
            time.sleep(0.001)

    def unacknowledged(self) -> int:
        return len(self._under_way)

    def unacknowledged_bytes(self) -> int:
        return sum(len(record.value or b"") for record, _ in list(self._under_way))

    def unacknowledged_age_s(self) -> float:
        with self._lock:
            return time.monotonic() - self._under_way[0][1] if self._under_way else 0.0

    def unacknowledged_records(self) -> list[Outgoing]:
        with self._lock:
            return [record for record, _ in self._under_way]

    def take_back(self) -> list[Outgoing]:
        with self._lock:
            taken = [record for record, _ in self._under_way]
            self.log += taken[: self.lost_answers]
            self._under_way.clear()
            self.given_up += 1
            return taken

    def append(self, records: Sequence[Outgoing], timeout_s: float) -> list[Placed]:
        raise NotImplementedError

    def commit(self, records: Sequence[Outgoing], position: Position | None = None) -> None:
        raise NotImplementedError

    def close(self) -> None:
        pass

    def values(self, topic: str = "t") -> list[bytes | None]:
        return [one.value for one in self.log if one.topic == topic]


class Rig:
    """A spooled producer over a broker of this file, at a pace for tests."""

    def __init__(self, path: Path) -> None:
        self.broker = Broker()
        self.path = path
        self.errors: list[BusError] = []
        self.sent = 0
        self.open()

    def open(self) -> None:
        self.producer = SpooledProducer(
            self.broker,
            Spool(self.path, 2**26),
            after_s=0.02,
            silent_s=0.1,
            kept=lambda one: one.topic != "state",
            failed=self.errors.append,
        )

    def send(self, n: int = 1) -> None:
        records = [Outgoing("t", 0, b"k", b"%d" % (self.sent + at)) for at in range(n)]
        self.sent += n
        self.producer.send(records)

    def attended(self, holds: Callable[[], bool]) -> None:
        """Until `holds`, as the owner's thread waits."""
        deadline_s = time.monotonic() + 20
        while not holds():
            assert time.monotonic() < deadline_s
            self.producer.attend()
            time.sleep(0.002)

    def complete(self) -> list[bytes | None]:
        """All that was sent is there in order, repetitions aside; returns what is on the bus."""
        values = self.broker.values()
        assert list(dict.fromkeys(values)) == [b"%d" % n for n in range(self.sent)]
        return values


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    monkeypatch.setattr(spool_producer, "_LOOK_S", 0.01)
    monkeypatch.setattr(spool_producer, "_PAUSE_S", 0.01)
    monkeypatch.setattr(spool_producer, "_MAX_PAUSE_S", 0.05)
    rig = Rig(tmp_path / "spool.db")
    yield rig
    rig.producer.close(0)


def test_once_a_topic_is_known_records_go_straight(rig: Rig) -> None:
    rig.send()
    rig.attended(lambda: not rig.producer.away)
    assert rig.producer.spooled == 1
    rig.send(5)
    rig.producer.flush()
    assert len(rig.complete()) == 6
    assert (rig.producer.spooled, rig.producer.replayed, rig.producer.delivered) == (1, 1, 6)


def test_an_outage_is_replayed_in_order_and_later_records_wait_behind_it(rig: Rig) -> None:
    rig.send()
    rig.attended(lambda: not rig.producer.away)
    rig.broker.mode = "down"
    for _ in range(30):
        rig.send(40)
    assert rig.producer.away
    assert rig.producer.away_s > 0
    assert rig.producer.waiting == 1200
    rig.broker.mode = "up"
    for _ in range(30):
        rig.send(10)
    rig.attended(lambda: not rig.producer.away)
    rig.send()
    assert len(rig.complete()) == rig.sent
    assert (rig.producer.waiting, rig.producer.discarded, rig.producer.delivered) == (0, 0, rig.sent)


def test_a_broker_that_is_only_slow_gets_nothing_twice(rig: Rig) -> None:
    rig.send()
    rig.attended(lambda: not rig.producer.away)
    rig.broker.mode = "silent"
    rig.send(10)
    rig.attended(lambda: rig.producer.waiting == 10)  # safe on the disk although they are under way
    rig.send(5)
    rig.broker.mode = "up"
    rig.attended(lambda: not rig.producer.away)
    assert len(rig.complete()) == rig.sent
    assert rig.producer.delivered == rig.sent
    assert rig.broker.given_up == 0


def test_a_producer_that_stays_silent_is_given_up_and_its_records_are_sent_again(rig: Rig) -> None:
    rig.send()
    rig.attended(lambda: not rig.producer.away)
    rig.broker.mode, rig.broker.lost_answers = "silent", 4
    rig.send(10)
    rig.attended(lambda: rig.broker.given_up >= 1)
    rig.broker.mode = "up"
    rig.attended(lambda: not rig.producer.away)
    assert len(rig.complete()) > rig.sent  # at least once


def test_too_many_bytes_under_way_go_to_the_spool_whatever_their_age(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.send()
    rig.attended(lambda: not rig.producer.away)
    monkeypatch.setattr(spool_producer, "MAX_UNACKNOWLEDGED_BYTES", 3)
    monkeypatch.setattr(rig.broker, "unacknowledged_age_s", lambda: 0.0)
    rig.broker.mode = "silent"
    rig.send(10)
    rig.producer.attend()
    assert rig.producer.waiting == 10


def test_a_successor_delivers_what_was_left(rig: Rig) -> None:
    rig.broker.mode = "down"
    rig.send(7)
    rig.producer.close(0)
    rig.open()
    assert rig.producer.waiting == 7
    rig.send(3)
    rig.broker.mode = "up"
    rig.attended(lambda: not rig.producer.away)
    assert len(rig.complete()) == 10


def test_closing_leaves_in_the_spool_what_a_silent_broker_did_not_acknowledge(rig: Rig) -> None:
    rig.send()
    rig.attended(lambda: not rig.producer.away)
    rig.broker.mode = "silent"
    rig.send(3)
    rig.producer.close(0.05)
    rig.broker.mode = "up"
    rig.open()
    rig.attended(lambda: not rig.producer.away)
    rig.complete()


def test_snapshots_are_dropped_while_away_and_that_is_told_once_the_bus_is_back(rig: Rig) -> None:
    state = [Outgoing("state", 0, b"k", b"%d" % n) for n in range(3)]
    rig.producer.send(state[:1])  # makes its topic known
    rig.attended(lambda: not rig.producer.away)
    assert rig.producer.dropped_any()
    rig.send()
    rig.attended(lambda: not rig.producer.away)
    rig.producer.send(state[1:2])
    assert not rig.producer.dropped_any()
    rig.broker.mode = "down"
    rig.send()
    rig.producer.send(state[2:])
    assert not rig.producer.dropped_any()  # taking one now would be in vain
    rig.broker.mode = "up"
    rig.attended(lambda: not rig.producer.away)
    assert rig.producer.dropped_any()
    assert not rig.producer.dropped_any()
    assert rig.broker.values("state") == [b"0", b"1"]


def test_a_snapshot_that_was_under_way_when_the_broker_died_counts_as_dropped(rig: Rig) -> None:
    rig.producer.send([Outgoing("state", 0, b"k", b"0")])
    rig.attended(lambda: not rig.producer.away)
    assert rig.producer.dropped_any()
    rig.broker.mode = "silent"
    rig.producer.send([Outgoing("state", 0, b"k", b"1")])
    rig.attended(lambda: rig.broker.given_up >= 1)
    rig.broker.mode = "up"
    rig.attended(lambda: not rig.producer.away)
    assert rig.producer.dropped_any()
    assert rig.producer.waiting == 0


def test_a_record_that_is_refused_is_told_of_and_does_not_block_its_successors(rig: Rig) -> None:
    rig.broker.mode = "down"
    rig.send(5)
    rig.producer.send([Outgoing("t", 0, b"k", TOO_LARGE)])
    rig.send(5)
    rig.broker.mode = "up"
    rig.attended(lambda: bool(rig.errors))
    assert [type(error) for error in rig.errors] == [DeliveryFailed]
    assert rig.producer.discarded == 1
    rig.producer.close(0)
    rig.open()
    rig.attended(lambda: not rig.producer.away)
    assert len(rig.complete()) == 10


def test_without_its_topic_nothing_is_lost_and_somebody_hears_of_it(rig: Rig) -> None:
    rig.broker.mode = "no topic"
    rig.send(5)
    rig.attended(lambda: bool(rig.errors))
    assert isinstance(rig.errors[0], TopicMissing)
    assert (rig.producer.waiting, rig.producer.discarded) == (5, 0)


def test_the_straight_way_opens_again_although_records_never_cease(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.broker.mode = "down"
    rig.send(500)
    rig.broker.mode = "up"
    flush = rig.broker.flush

    def slowly(timeout_s: float) -> None:
        before, give_up_s = rig.sent, time.monotonic() + 1
        while rig.sent < before + 2 and time.monotonic() < give_up_s:  # another one comes meanwhile, if it can
            time.sleep(0.001)
        flush(timeout_s)

    monkeypatch.setattr(rig.broker, "flush", slowly)
    deadline_s = time.monotonic() + 30
    while rig.producer.away:
        assert time.monotonic() < deadline_s
        rig.send()
        time.sleep(0.001)
    rig.complete()


@pytest.mark.parametrize("seed", range(12))
def test_whatever_the_broker_does_nothing_is_lost_and_order_holds(rig: Rig, seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(60):
        rig.broker.mode = rng.choice(["up", "up", "down", "silent"])
        rig.broker.lost_answers = rng.choice([0, 0, 3, 1000])
        for _ in range(rng.randrange(4)):
            rig.send(rng.randrange(1, 30))
            time.sleep(rng.choice([0, 0, 0.005]))
        rig.producer.attend()
        if rng.random() < 0.3:
            rig.producer.flush()
        if rng.random() < 0.1:
            rig.producer.close(0)
            rig.open()
    rig.broker.mode = "up"
    rig.attended(lambda: not rig.producer.away)
    rig.producer.flush()
    rig.complete()
    assert (rig.producer.discarded, rig.producer.waiting, rig.errors) == (0, 0, [])
