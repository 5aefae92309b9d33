from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from streamer.bus.protocol import Outgoing, Topic
from streamer.bus.read import drain
from streamer.bus.sqlite import SqliteBus, SqliteProducer
from streamer.errors import BusError, BusUnavailable, DeliveryFailed
from streamer.worker.publisher import Batch, Delivery, Publisher

TOPIC = Topic("t", 2)
TOO_LARGE = b"x" * 2_000_000


@pytest.fixture
def bus(tmp_path: Path) -> SqliteBus:
    bus = SqliteBus(tmp_path / "bus.db")
    bus.ensure_topics([TOPIC])
    return bus


def record(value: bytes) -> tuple[str, Outgoing]:
    return "work", Outgoing("t", 0, b"k", value)


def values(bus: SqliteBus) -> list[bytes | None]:
    return [message.value for message in drain(bus, ["t"])]


@pytest.mark.parametrize("transactional", [True, False])
def test_batches_arrive_in_order_and_are_done_when_they_are_readable(bus: SqliteBus, transactional: bool) -> None:
    failures: list[BusError] = []
    seen_when_done: list[list[bytes | None]] = []
    publisher = Publisher(bus, "me", failures.append)
    for n in range(6):
        batch = [record(b"%d" % n), record(b"%d again" % n)]
        publisher.publish(Batch(batch, transactional, lambda: seen_when_done.append(values(bus))))
    publisher.close(10)
    everything = [text for n in range(6) for text in (b"%d" % n, b"%d again" % n)]
    assert values(bus) == everything
    assert [seen[: 2 * n + 2] for n, seen in enumerate(seen_when_done)] == [everything[: 2 * n + 2] for n in range(6)]
    assert (publisher.published, failures) == (12, [])
    assert publisher.delivery == Delivery()


def test_what_follows_an_archives_batch_is_published_after_it(bus: SqliteBus) -> None:
    done: list[list[bytes | None]] = []
    publisher = Publisher(bus, "me", lambda _: None)
    after = Batch([record(b"after")], False, lambda: done.append(values(bus)))
    publisher.publish(Batch([record(b"archive")], True, follow=[("work", after)]))
    publisher.close(10)
    assert values(bus) == [b"archive", b"after"]
    assert done == [[b"archive", b"after"]]


def test_a_transaction_is_whole_or_nothing_and_its_failure_is_told_once(bus: SqliteBus) -> None:
    failures: list[BusError] = []
    done: list[str] = []
    publisher = Publisher(bus, "me", failures.append)
    publisher.publish(Batch([record(b"good")], True, lambda: done.append("first")))
    publisher.publish(Batch([record(b"before"), record(TOO_LARGE)], True, lambda: done.append("second")))
    for _ in range(20):  # discarded: nobody waits for a queue that is never emptied
        publisher.publish(Batch([record(b"later")], True, lambda: done.append("later")))
    with pytest.raises(DeliveryFailed):
        publisher.close(10)
    assert values(bus) == [b"good"]
    assert done == ["first"]
    assert [type(one) for one in failures] == [DeliveryFailed]


def test_anything_else_that_breaks_is_a_failure_too(bus: SqliteBus) -> None:
    failures: list[BusError] = []
    publisher = Publisher(bus, "me", failures.append)

    def broken() -> None:
        raise ZeroDivisionError

    publisher.publish(Batch([record(b"good")], False, broken))
    with pytest.raises(BusError, match="ZeroDivisionError"):
        publisher.close(10)
    assert len(failures) == 1


class Slow(SqliteProducer):
    """Writes when it is allowed to."""

    allowed: threading.Event

    def send(self, records: Sequence[Outgoing]) -> None:
        self.allowed.wait(20)
        super().send(records)


@pytest.fixture
def slow(bus: SqliteBus, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    Slow.allowed = threading.Event()
    make = bus.producer

    def producer(transactional_id: str | None = None) -> SqliteProducer:
        made = make(transactional_id)
        made.__class__ = Slow
        return made

    monkeypatch.setattr(bus, "producer", producer)
    return Slow.allowed


def test_a_slow_bus_holds_the_publisher_back_and_it_says_that_it_waits(bus: SqliteBus, slow: threading.Event) -> None:
    waited = threading.Event()

    def waiting() -> None:
        waited.set()
        slow.set()

    publisher = Publisher(bus, "me", lambda _: None, waiting, depth=1)
    for n in range(5):  # one at the bus, one in the queue: the third has to wait
        publisher.publish(Batch([record(b"%d" % n)], False))
        assert waited.is_set() == (n >= 2)
    publisher.close(10)
    assert values(bus) == [b"0", b"1", b"2", b"3", b"4"]


def test_closing_says_when_not_everything_is_on_the_bus(bus: SqliteBus, slow: threading.Event) -> None:
    publisher = Publisher(bus, "me", lambda _: None, depth=1)
    publisher.publish(Batch([record(b"1")], False))
    publisher.publish(Batch([record(b"2")], False))
    with pytest.raises(BusUnavailable, match="did not take"):
        publisher.close(0.2)
    slow.set()
    for thread in publisher._threads:
        thread.join(10)
