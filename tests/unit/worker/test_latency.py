"""From the arrival of a frame to the acknowledgement of its records."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from streamer.bus.protocol import Outgoing, Topic
from streamer.bus.sqlite import SqliteBus, SqliteProducer
from streamer.counting import LATENCY_BUCKETS_S, Counted
from streamer.worker.latency import LONGEST_S, Arrival, Latencies
from streamer.worker.publisher import Batch, Publisher


def told(latencies: Latencies, work: str) -> dict[float, int]:
    """Bucket bounds with what is in them."""
    counts = latencies.of(work).counts
    return {bound: n for bound, n in zip(LATENCY_BUCKETS_S, counts, strict=False) if n}


def test_a_frame_counts_once_its_records_are_acknowledged() -> None:
    latencies = Latencies()
    latencies.given(3, [Arrival("a", 10.0), Arrival("b", 10.1)])
    latencies.given(2, [Arrival("a", 10.2)])
    latencies.look(5, 10.25)
    assert told(latencies, "a") == {}
    latencies.look(4, 10.25)  # of the first three records one has arrived
    assert latencies.waiting
    latencies.look(2, 10.25)
    assert told(latencies, "a") == {0.3: 1}
    assert told(latencies, "b") == {0.2: 1}
    latencies.look(0, 12.2)
    assert told(latencies, "a") == {0.3: 1, 2.0: 1}
    assert latencies.of("a").sum == pytest.approx(0.25 + 2.0)
    assert not latencies.waiting


def test_a_latency_of_exactly_a_bound_is_within_it() -> None:
    latencies = Latencies()
    latencies.given(1, [Arrival("a", 0.0)])
    latencies.look(0, 0.05)
    assert told(latencies, "a") == {0.05: 1}


def test_through_an_outage_frames_wait_and_those_beyond_the_last_bound_are_counted_at_once() -> None:
    latencies = Latencies()
    for second in range(1000):
        latencies.given(1, [Arrival("a", float(second))])
        latencies.look(None, float(second))
    assert told(latencies, "a") == {float("inf"): 1000 - LONGEST_S - 1}
    assert len(latencies._under_way) == LONGEST_S + 1  # nothing piles up
    latencies.look(0, 1000.0)
    assert sum(told(latencies, "a").values()) == 1000


def test_records_without_frames_count_for_nobody() -> None:
    latencies = Latencies()
    latencies.given(7, [])
    assert not latencies.waiting
    latencies.given(1, [Arrival("a", 1.0)])
    latencies.look(1, 1.5)
    assert told(latencies, "a") == {}
    latencies.look(0, 1.5)
    assert told(latencies, "a") == {0.5: 1}


def test_works_that_are_over_are_forgotten() -> None:
    latencies = Latencies()
    latencies.given(1, [Arrival("a", 1.0), Arrival("b", 1.0)])
    latencies.look(0, 1.0)
    latencies.keep(["b"])
    assert (latencies.of("a"), told(latencies, "b")) == (Counted(), {0.01: 1})


def test_what_is_taken_out_of_a_batch_takes_its_frames_along() -> None:
    batch = Batch([], transactional=False, arrivals=[Arrival("a", 1.0), Arrival("b", 1.0)])
    batch.discard("a")
    assert batch.arrivals == [Arrival("b", 1.0)]


def test_the_publisher_counts_when_the_bus_has_acknowledged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bus that holds acknowledgements back for a while, as a broker does."""
    waiting = [1]
    monkeypatch.setattr(SqliteProducer, "unacknowledged", lambda self: waiting[0])
    bus = SqliteBus(tmp_path / "bus.db")
    bus.ensure_topics([Topic("t", 1)])
    publisher = Publisher(bus, "me", lambda _: None)
    arrival = Arrival("cam", time.monotonic() - 0.5)
    publisher.publish(Batch([("cam", Outgoing("t", 0, b"k", b"v"))], transactional=False, arrivals=[arrival]))
    deadline_s = time.monotonic() + 20
    while publisher.published < 1:
        assert time.monotonic() < deadline_s
        time.sleep(0.001)
    assert told(publisher.latencies, "cam") == {}
    waiting[0] = 0
    while not told(publisher.latencies, "cam"):
        assert time.monotonic() < deadline_s
        time.sleep(0.001)
    [bound] = told(publisher.latencies, "cam")
    assert bound >= 0.5
    publisher.close(10)
    bus.close()
