"""The reading thread on a real SQLite bus: from the beginning, and over what befalls the file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streamer.bus.open import open_bus
from streamer.bus.protocol import Bus, Outgoing
from streamer.bus.topics import outgoing, topics
from streamer.clock import SystemClock
from streamer.config import Config
from streamer.messages import Job, Status, StreamDefinition
from streamer.web import follow
from streamer.web.follow import Follower
from streamer.web.model import Model
from streamer.wishes import records
from tests.unit.web.feed import SETTINGS, Feed


def until(holds: Callable[[], bool], model: Model) -> None:
    deadline_s = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline_s, model.bus()
        time.sleep(0.02)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "ASK_S", 0.05)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "affect.db"


@pytest.fixture
def model(database: Path) -> Iterator[Model]:
    model = Model(SETTINGS, SystemClock())
    follower = Follower(Config(bus=f"sqlite:///{database}", topics=SETTINGS), model)
    yield model
    follower.close()
    assert not follower._thread.is_alive()


def laid_out(database: Path) -> Bus:
    bus = open_bus(f"sqlite:///{database}", settings=SETTINGS)
    bus.ensure_topics(topics(SETTINGS).all())
    return bus


def put(bus: Bus, *out: Outgoing) -> None:
    producer = bus.producer()
    producer.send(out)
    producer.close()


def status(stream: str, state: str) -> Outgoing:
    return outgoing(Status(**Feed().envelope(stream), state=state), SETTINGS)  # type: ignore[arg-type]


def test_it_waits_for_a_bus_that_is_not_there_yet_and_then_reads_what_lies_on_it(database: Path, model: Model) -> None:
    until(lambda: model.bus().problem is not None, model)
    assert "there is no bus at" in str(model.bus().problem)
    assert not model.bus().known
    before = laid_out(database)
    put(
        before,
        records.stream_definition(StreamDefinition(stream="door", source="testsrc://64x48@5"), SETTINGS),
        status("door", "waiting"),
        records.job(Job(job="j", batch="b", stream="j", source="/j.mp4"), 0, SETTINGS),
    )
    before.close()
    until(lambda: model.bus().connected and "door" in model.streams, model)
    until(lambda: model.streams["door"].status is not None, model)
    assert model.bus().problem is None
    after = laid_out(database)
    put(after, outgoing(Feed().observation("door"), SETTINGS), records.stream_removal("door", SETTINGS))
    until(lambda: bool(model.streams["door"].tracks) and model.streams["door"].definition is None, model)
    after.close()


def test_a_file_that_is_moved_away_is_noticed_and_one_that_is_back_is_read_on(database: Path, model: Model) -> None:
    laid_out(database).close()
    until(lambda: model.bus().connected, model)
    moved = database.with_name("elsewhere.db")
    database.rename(moved)
    until(lambda: not model.bus().connected, model)
    assert model.bus().known
    moved.rename(database)
    until(lambda: model.bus().connected, model)
    bus = laid_out(database)
    put(bus, status("door", "live"))
    bus.close()
    until(lambda: "door" in model.streams, model)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"no database at all" * 100, "is not an SQLite file"),
        (b"", "not a bus"),
        (None, "is damaged"),
    ],
)
def test_a_half_written_file_is_told_in_a_sentence(database: Path, content: bytes | None, told: str) -> None:
    if content is None:
        bus = laid_out(database)
        put(bus, *(status(f"s{k}", "live") for k in range(300)))
        bus.close()
        whole = database.read_bytes()
        content = whole[:4096] + b"\xff" * 8192 + whole[12288:20480]
        for beside in ("-wal", "-shm"):
            Path(f"{database}{beside}").unlink(missing_ok=True)
    database.write_bytes(content)
    model = Model(SETTINGS, SystemClock())
    follower = Follower(Config(bus=f"sqlite:///{database}", topics=SETTINGS), model)
    try:
        until(lambda: model.bus().problem is not None, model)
        assert told in str(model.bus().problem)
        assert "\n" not in str(model.bus().problem)
    finally:
        follower.close()


def test_a_bus_without_our_topics_is_told(database: Path, model: Model) -> None:
    open_bus(f"sqlite:///{database}").close()
    until(lambda: "affect.observations" in str(model.bus().problem), model)
