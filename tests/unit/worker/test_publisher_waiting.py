"""How an archive's transaction waits: for the broker, and for a membership that may commit its positions."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from streamer.bus.protocol import Bus, GroupToken, Outgoing, Position
from streamer.errors import BusError, BusFull, BusUnavailable, DeliveryFailed, Fenced, TopicMissing
from streamer.worker import publisher as publisher_module
from streamer.worker.publisher import Batch, Publisher
from tests.unit.bus.test_spool_producer import Broker

OLD, NEW = GroupToken("g", "m", 1), GroupToken("g", "m", 2)


class Transactions:
    """Commits as told: each step of `plan` is an error, or None for what works; afterwards everything works."""

    def __init__(self) -> None:
        self.plan: list[BusError | None] = []
        self.given: list[tuple[list[bytes | None], Position | None]] = []
        self.committed: list[bytes | None] = []
        self.during: Callable[[], None] = lambda: None

    def commit(self, records: Sequence[Outgoing], position: Position | None = None) -> None:
        values = [record.value for record in records]
        self.given.append((values, position))
        self.during()
        step = self.plan.pop(0) if self.plan else None
        if step is not None:
            raise step
        self.committed += values

    def close(self) -> None:
        pass


class FakeBus:
    def __init__(self) -> None:
        self.archive, self.live = Transactions(), Broker()

    def producer(self, transactional_id: str | None = None) -> Any:
        return self.archive if transactional_id else self.live


class Rig:
    def __init__(self, spool: Path | None) -> None:
        self.bus = FakeBus()
        self.failures: list[BusError] = []
        self.done: list[str] = []
        self.publisher = Publisher(
            cast(Bus, self.bus), "me", self.failures.append, depth=1, spool=str(spool) if spool else None
        )

    def archive(self, *works: str, position: int | None = None) -> None:
        """A batch with one record, position and follower of each work."""
        records = [(work, Outgoing("a", 0, b"k", work.encode())) for work in works]
        positions = {work: ("jobs", n, position) for n, work in enumerate(works)} if position is not None else {}
        follow = [(work, self.after(work)) for work in works]
        self.publisher.publish(Batch(records, True, lambda: self.done.append("batch"), positions, follow))

    def after(self, work: str) -> Batch:
        records = [(work, Outgoing("t", 0, b"k", b"after " + work.encode()))]
        return Batch(records, False, lambda: self.done.append(work))

    def until(self, holds: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + 20
        while not holds():
            assert time.monotonic() < deadline_s
            time.sleep(0.002)

    @property
    def archive_committed(self) -> list[bytes | None]:
        return self.bus.archive.committed


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rig:
    monkeypatch.setattr(publisher_module, "_PAUSE_S", 0.01)
    monkeypatch.setattr(publisher_module, "_MAX_PAUSE_S", 0.02)
    return Rig(tmp_path / "spool.db")


def offsets(rig: Rig) -> list[tuple[tuple[str, int, int], ...] | None]:
    return [position.offsets if position else None for _, position in rig.bus.archive.given]


def test_an_absent_broker_is_waited_for_and_live_streams_go_on(rig: Rig) -> None:
    away = threading.Event()
    rig.bus.archive.plan = [BusUnavailable("away")] * 40
    rig.bus.archive.during = away.set
    rig.archive("a")
    assert away.wait(20)
    rig.until(lambda: rig.publisher.delivery.away_s > 0)
    assert rig.publisher.has_room(transactional=True)
    rig.archive("b")  # the queue is full: decoding waits from here on
    assert not rig.publisher.has_room(transactional=True)
    rig.publisher.publish(rig.after("live"))
    rig.until(lambda: "live" in rig.done)
    assert rig.archive_committed == []
    rig.publisher.close(20)
    assert rig.archive_committed == [b"a", b"b"]
    assert rig.done == ["live", "batch", "a", "batch", "b"] or sorted(rig.done) == ["a", "b", "batch", "batch", "live"]
    assert rig.failures == []
    assert rig.publisher.delivery.away_s == 0


def test_without_a_spool_nothing_is_waited_for() -> None:
    rig = Rig(None)
    rig.bus.archive.plan = [BusUnavailable("locked")]
    rig.archive("a")
    with pytest.raises(BusUnavailable, match="locked"):
        rig.publisher.close(10)
    assert len(rig.failures) == 1


@pytest.mark.parametrize(
    "error", [BusFull("no space"), DeliveryFailed("too large", (0,)), TopicMissing("no topic"), Fenced("taken over")]
)
def test_what_waiting_does_not_mend_fails_at_once(rig: Rig, error: BusError) -> None:
    rig.bus.archive.plan = [error]
    rig.archive("a")
    rig.until(lambda: bool(rig.failures))
    assert rig.failures == [error]
    assert len(rig.bus.archive.given) == 1
    with pytest.raises(type(error)):
        rig.publisher.close(10)
    assert rig.done == []


def test_a_transaction_that_fails_again_and_again_is_given_up(rig: Rig) -> None:
    rig.bus.archive.plan = [DeliveryFailed("aborted")] * 2
    rig.archive("a")
    rig.until(lambda: rig.archive_committed == [b"a"])
    rig.bus.archive.plan = [DeliveryFailed("aborted")] * 3
    rig.archive("b")
    rig.until(lambda: bool(rig.failures))
    assert rig.archive_committed == [b"a"]
    with pytest.raises(DeliveryFailed):
        rig.publisher.close(10)


def test_positions_are_committed_with_the_newest_membership(rig: Rig) -> None:
    rig.archive("a", "b", position=5)
    rig.publisher.join(OLD)  # until then nothing could be committed
    rig.until(lambda: bool(rig.archive_committed))
    assert rig.bus.archive.given == [([b"a", b"b"], Position(OLD, (("jobs", 0, 5), ("jobs", 1, 5))))]
    rig.publisher.join(NEW)
    rig.archive("a", position=6)
    rig.publisher.close(10)
    assert rig.bus.archive.given[1:] == [([b"a"], Position(NEW, (("jobs", 0, 6),)))]


def test_a_stale_membership_waits_for_a_newer_one_and_the_batch_is_given_again(rig: Rig) -> None:
    rig.publisher.join(OLD)
    rig.bus.archive.plan = [Fenced("stale")]
    rig.archive("a", position=1)
    rig.until(lambda: len(rig.bus.archive.given) == 1)
    rig.publisher.join(OLD)
    with pytest.raises(AssertionError):  # the same one is no help
        wait_a_moment(lambda: len(rig.bus.archive.given) > 1)
    rig.publisher.join(NEW)
    rig.until(lambda: "a" in rig.done)
    assert [position.token for _, position in rig.bus.archive.given if position] == [OLD, NEW]
    assert rig.archive_committed == [b"a"]
    rig.publisher.close(10)


def wait_a_moment(holds: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 0.2
    while not holds():
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


def test_what_is_discarded_meanwhile_is_taken_out(rig: Rig) -> None:
    rig.publisher.join(OLD)
    rig.bus.archive.plan = [Fenced("stale")]
    rig.archive("lost", "kept", position=1)
    rig.until(lambda: len(rig.bus.archive.given) == 1)
    rig.archive("lost", position=2)  # waits in the queue
    rig.publisher.discard("lost")
    rig.publisher.join(NEW)
    rig.publisher.close(10)
    assert rig.archive_committed == [b"kept"]
    assert offsets(rig)[-1] == (("jobs", 1, 1),)
    assert "lost" not in rig.done
    assert "kept" in rig.done
    assert rig.bus.live.values() == [b"after kept"]


def test_a_batch_that_is_wholly_discarded_waits_for_nothing(rig: Rig) -> None:
    rig.archive("lost", position=1)  # no membership at all
    rig.publisher.discard("lost")
    rig.publisher.close(10)
    assert rig.bus.archive.given == []
    assert rig.done == []


def test_a_commit_in_doubt_is_given_again_unchanged_before_anything_is_taken_out(rig: Rig) -> None:
    rig.publisher.join(OLD)

    def lose() -> None:
        if len(rig.bus.archive.given) == 1:
            rig.publisher.discard("lost")
            rig.publisher.join(NEW)

    rig.bus.archive.during = lose
    rig.bus.archive.plan = [BusUnavailable("in doubt"), Fenced("stale")]
    rig.archive("lost", "kept", position=1)
    rig.publisher.close(10)
    (first, second, third) = rig.bus.archive.given
    assert first == second
    assert third == ([b"kept"], Position(NEW, (("jobs", 1, 1),)))
    assert "lost" not in rig.done


def test_what_was_committed_before_it_was_discarded_is_not_done(rig: Rig) -> None:
    rig.bus.archive.during = lambda: rig.publisher.discard("lost")
    rig.archive("lost", "kept")
    rig.publisher.close(10)
    assert rig.archive_committed == [b"lost", b"kept"]
    assert rig.bus.live.values() == [b"after kept"]
    assert sorted(rig.done) == ["batch", "kept"]


@pytest.mark.parametrize("position", [None, 1])
def test_closing_bounds_the_wait(rig: Rig, position: int | None) -> None:
    rig.bus.archive.plan = [BusUnavailable("away")] * 100_000
    rig.archive("a", position=position)
    with pytest.raises(BusUnavailable, match="in time"):
        rig.publisher.close(0.3)
    assert rig.done == []


def test_live_records_wait_on_the_disk_and_are_counted(rig: Rig) -> None:
    rig.bus.live.mode = "down"
    for n in range(5):
        rig.publisher.publish(rig.after(str(n)))
    rig.until(lambda: len(rig.done) == 5)  # safe
    delivery = rig.publisher.delivery
    assert (delivery.spooled, delivery.waiting, delivery.replayed, delivery.discarded) == (5, 5, 0, 0)
    assert delivery.away_s > 0
    assert rig.publisher.away
    assert rig.publisher.published == 0
    rig.bus.live.mode = "up"
    rig.publisher.close(20)
    assert rig.publisher.published == 5
    assert rig.bus.live.values() == [b"after %d" % n for n in range(5)]


def test_a_topic_that_is_never_spooled_is_dropped(rig: Rig) -> None:
    rig.publisher.never_spool("state")
    rig.bus.live.mode = "down"
    rig.publisher.publish(rig.after("x"))
    rig.publisher.publish(Batch([("x", Outgoing("state", 0, b"k", n)) for n in (b"1", b"2")], False))
    rig.until(lambda: rig.publisher.delivery.waiting == 1)
    rig.bus.live.mode = "up"
    rig.until(rig.publisher.dropped_any)
    rig.publisher.close(20)
    assert rig.bus.live.values("state") == [b"1"]  # it made the topic known


def test_a_refused_live_record_fails_the_publisher(rig: Rig) -> None:
    rig.publisher.publish(Batch([("x", Outgoing("t", 0, b"k", b"x" * 1000))], False))
    rig.until(lambda: bool(rig.failures))
    with pytest.raises(DeliveryFailed):
        rig.publisher.close(10)


def test_a_spool_that_is_in_use_is_told_of_at_the_start(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamer.bus.spool.LOCK_WAIT_S", 0.05)
    with pytest.raises(BusUnavailable, match="in use"):
        Rig(tmp_path / "spool.db")
    rig.publisher.close(10)
    again = Rig(tmp_path / "spool.db")
    again.publisher.close(10)
