from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from streamer.bus.open import open_bus
from streamer.bus.protocol import Bus, Incoming, Outgoing
from streamer.bus.topics import state_record
from streamer.clock import FakeClock
from streamer.config import Config, TopicSettings
from streamer.errors import BusUnavailable
from streamer.messages import Job, JobStatus
from streamer.source import Source
from streamer.worker.claims import claim
from streamer.worker.lane import Lane
from streamer.worker.link import JobOrder, Open
from streamer.worker.state_reader import StateReader
from tests.unit.worker.rig import config_for

DEADLINE_S = 20.0


class Watched:
    """A bus whose reads are counted; `before` and `after` are called around each."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.asked: list[dict[str, Any]] = []
        self.before: Callable[[int], object] = lambda _: None
        self.after: Callable[[int], object] = lambda _: None

    def latest(
        self, topic: str, partition: int, keys: Sequence[bytes] | None = None, **how: Any
    ) -> dict[bytes, Incoming]:
        self.asked.append({"topic": topic, **how})
        n = len(self.asked)
        self.before(n)
        found = self._bus.latest(topic, partition, keys, **how)
        self.after(n)
        return found


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return msgspec.structs.replace(config_for(tmp_path), topics=TopicSettings(prefix="one", partitions=1))


@pytest.fixture
def bus(config: Config, clock: FakeClock) -> Iterator[Bus]:
    """All streams lie in one partition."""
    from streamer.bus.topics import topics

    bus = open_bus(config.bus, clock=clock)
    bus.ensure_topics(topics(config.topics).all())
    yield bus
    bus.close()


@pytest.fixture
def watched(bus: Bus) -> Watched:
    return Watched(bus)


@pytest.fixture
def reader(watched: Watched, config: Config, clock: FakeClock) -> StateReader:
    return StateReader(cast(Bus, watched), config, clock)


def write(bus: Bus, config: Config, *keys: bytes, mode: Any = "live") -> None:
    producer = bus.producer()
    records: list[Outgoing] = [
        state_record(config.topics, mode, key.partition(b"/")[0].decode(), b"value of " + key, key=key) for key in keys
    ]
    producer.send(records)
    producer.flush(DEADLINE_S)
    producer.close()


def claimed(bus: Bus, config: Config, *streams: str) -> list[Lane]:
    placed = claim(bus, streams, "somebody", config.topics)
    return [
        Lane.of(
            msgspec.structs.replace(
                Open.of(Source(stream, "/v.mp4", "file", "live"), 0), epoch=one.offset, epoch_time_s=one.time_s
            ),
            config,
            FakeClock(),
        )
        for stream, one in zip(streams, placed, strict=True)
    ]


def archive(job: JobOrder | None = None) -> Lane:
    order = msgspec.structs.replace(Open.of(Source("a", "/v.mp4", "file", "archive"), 0), job=job)
    lane = Lane.of(order, Config(), FakeClock())
    lane.run = "r-1"
    return lane


def fetching(
    reader: StateReader, lanes: Sequence[Lane], found: dict[str, dict[bytes, bytes]]
) -> list[threading.Thread]:
    def fetch(lane: Lane) -> None:
        found[lane.stream] = reader.fetch(lane)

    threads = [threading.Thread(target=fetch, args=(lane,), daemon=True) for lane in lanes]
    for thread in threads:
        thread.start()
    return threads


def until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.002)


def n_waiting(reader: StateReader) -> int:
    """How many threads wait for somebody else's read."""
    with reader._lock:
        waiting: list[Any] = [read.over for read in reader._reads.values()]
        return sum(len(event._cond._waiters) for event in waiting)


def test_a_lane_gets_its_streams_values_and_no_claim(bus: Bus, config: Config, reader: StateReader) -> None:
    write(bus, config, b"a", b"a/3.1", b"a/3.1/part/1", b"ab", b"ab/3.1", b"b/3.1")
    [lane] = claimed(bus, config, "a")
    assert reader.fetch(lane) == {key: b"value of " + key for key in (b"a", b"a/3.1", b"a/3.1/part/1")}
    unclaimed = Lane.of(Open.of(Source("a", "/v.mp4", "file", "live"), 0), config, FakeClock())
    assert reader.fetch(unclaimed) == {}


def test_lanes_of_a_partition_that_open_together_share_one_read(
    bus: Bus, config: Config, reader: StateReader, watched: Watched
) -> None:
    names = [f"s{i}" for i in range(12)]
    write(bus, config, *(name.encode() for name in names))
    lanes = claimed(bus, config, *names)
    watched.before = lambda _: until(lambda: n_waiting(reader) == len(lanes) - 1)
    found: dict[str, dict[bytes, bytes]] = {}
    for thread in fetching(reader, lanes, found):
        thread.join(DEADLINE_S)
    assert found == {name: {name.encode(): b"value of " + name.encode()} for name in names}
    assert len(watched.asked) == 1


def test_a_read_that_began_before_the_claim_is_not_good_for_it(
    bus: Bus, config: Config, reader: StateReader, watched: Watched
) -> None:
    """The owner before wrote its last snapshot, and lost the stream, while the read was under way."""
    early = claimed(bus, config, "early")
    read, go_on = threading.Event(), threading.Event()

    def hold(n: int) -> None:
        if n == 1:
            read.set()
            go_on.wait(DEADLINE_S)

    watched.after = hold
    found: dict[str, dict[bytes, bytes]] = {}
    threads = fetching(reader, early, found)
    assert read.wait(DEADLINE_S)
    write(bus, config, b"late")
    threads += fetching(reader, claimed(bus, config, "late"), found)
    until(lambda: n_waiting(reader) == 1)
    go_on.set()
    for thread in threads:
        thread.join(DEADLINE_S)
    assert found == {"early": {}, "late": {b"late": b"value of late"}}
    assert len(watched.asked) == 2


def test_a_read_that_reached_less_far_back_is_not_good_either(
    bus: Bus, config: Config, reader: StateReader, watched: Watched, clock: FakeClock
) -> None:
    write(bus, config, b"old")
    [old] = claimed(bus, config, "old")
    clock.advance(60.0)
    [new] = claimed(bus, config, "new")
    watched.before = lambda n: until(lambda: n_waiting(reader) == 1) if n == 1 else None
    found: dict[str, dict[bytes, bytes]] = {}
    threads = fetching(reader, [new], found)
    until(lambda: len(watched.asked) == 1)
    for thread in [*threads, *fetching(reader, [old], found)]:
        thread.join(DEADLINE_S)
    assert found == {"new": {}, "old": {b"old": b"value of old"}}


def test_what_nobody_can_go_on_from_is_not_read(
    bus: Bus, config: Config, reader: StateReader, clock: FakeClock
) -> None:
    """Tracks alone are still told of for a while, so that they can be deleted."""
    write(bus, config, b"a", b"a/3.1")
    clock.advance(config.checkpoint.grace_s + 1)
    [lane] = claimed(bus, config, "a")
    assert reader.fetch(lane) == {b"a/3.1": b"value of a/3.1"}
    clock.advance(60.0)
    [lane] = claimed(bus, config, "a")
    assert reader.fetch(lane) == {}


def test_an_archive_is_read_by_run_and_a_jobs_from_where_its_state_lies(
    bus: Bus, config: Config, reader: StateReader, watched: Watched
) -> None:
    write(bus, config, b"a/r-1", b"a/r-1/0.1", b"a/r-2", b"a/r-10", mode="archive")
    expected = {b"a": b"value of a/r-1", b"a/0.1": b"value of a/r-1/0.1"}
    assert reader.fetch(archive()) == expected
    status = JobStatus(job="j", batch="b", stream="a", source="/v.mp4", state="running", state_from=0)
    job = JobOrder(job=Job(job="j", batch="b", stream="a", source="/v.mp4"), status=status, partition=0, position=0)
    assert reader.fetch(archive(job)) == expected
    later = msgspec.structs.replace(job, status=msgspec.structs.replace(status, state_from=1))
    assert reader.fetch(archive(later)) == {b"a/0.1": b"value of a/r-1/0.1"}
    assert [(how.get("from_offset"), how.get("settled", False)) for how in watched.asked] == [
        (None, False),
        (0, True),
        (1, True),
    ]


def test_a_bus_that_is_away_is_waited_for(
    bus: Bus, config: Config, reader: StateReader, watched: Watched, clock: FakeClock
) -> None:
    write(bus, config, b"a")
    [lane] = claimed(bus, config, "a")

    def away(n: int) -> None:
        if n <= 3:
            raise BusUnavailable("nobody answers")

    watched.before = away
    began_s = clock.monotonic_s()
    assert reader.fetch(lane) == {b"a": b"value of a"}
    assert len(watched.asked) == 4
    assert clock.monotonic_s() > began_s


def test_a_lane_that_was_given_up_waits_no_longer(
    bus: Bus, config: Config, reader: StateReader, watched: Watched
) -> None:
    [lane] = claimed(bus, config, "a")

    def away(n: int) -> None:
        if n == 2:
            lane.phase = "ending"
        raise BusUnavailable("nobody answers")

    watched.before = away
    assert reader.fetch(lane) == {}
    assert len(watched.asked) == 2
