"""Readers that hang inside of the decoder's library: left behind, replaced, counted, and in the end the process with
them. Real loops, real decoders, whose reads block as FFmpeg's may."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec
import pytest

from streamer.bus.open import open_bus
from streamer.bus.read import drain, typed
from streamer.config import Config, ConnectSettings
from streamer.decode import Decoder, open_source
from streamer.messages import Observation, Status
from streamer.worker.claims import claim
from streamer.worker.link import Ended, Open, Release, Reopen, SourceGone, Spent, Stop, Tick
from tests.unit.worker.rig import Running, config_for, models, video_source
from tests.unit.worker.test_live_lanes import until
from tests.videos import pattern

N_BEFORE = 6


@dataclass
class Stuck:
    """Stands in for `open_source`: the first `n_stuck` decoders block before frame `after` (-1: while they open), also
    after an interruption, until they are set `free`."""

    n_stuck: int
    after: int = N_BEFORE
    free: threading.Event = field(default_factory=threading.Event)
    opened: int = 0

    def __call__(self, *arguments: Any) -> Decoder:
        self.opened += 1
        hangs = self.opened <= self.n_stuck
        if hangs and self.after < 0:
            self.free.wait(60)
        decoder = open_source(*arguments)
        read = decoder._feed.read

        def stuck() -> Iterator[Any]:
            for n, taken in enumerate(read()):
                if n == self.after:
                    self.free.wait(60)
                yield taken

        if hangs:
            decoder._feed.read = stuck  # type: ignore[method-assign]
        return decoder


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half a second."""
    return pattern(tmp_path_factory.mktemp("video") / "bars.mp4", size=(64, 48), n_frames=12)


@pytest.fixture(autouse=True)
def nothing_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine a frame may wait long; what is dropped then is another test's matter."""
    monkeypatch.setattr("streamer.worker.loop.LIVE_QUEUE_FRAMES", 100)


def watched(tmp_path: Path, max_hung: int = 4) -> Config:
    """Deadlines short enough to wait for, and long enough for a busy machine to open and read a file in."""
    connect = ConnectSettings(no_frame_s=2.5, open_timeout_s=1.0, max_hung=max_hung)
    return msgspec.structs.replace(config_for(tmp_path), connect=connect)


def begin(config: Config, video: Path) -> Running:
    bus = open_bus(config.bus)
    try:
        [place] = claim(bus, ["video"], "w", config.topics)
    finally:
        bus.close()
    child = Running(config, models())
    order = Open.of(video_source(video, mode="live"), 0)
    child.loop.tell(
        msgspec.structs.replace(order, epoch=place.offset, epoch_time_s=place.time_s, reopen=True, repeat=True)
    )
    return child


def read(config: Config, topic: str, kind: Any) -> list[Any]:
    bus = open_bus(config.bus, create=False)
    try:
        return list(typed(drain(bus, [topic]), kind))
    finally:
        bus.close()


def leave(child: Running) -> Ended:
    child.loop.tell(Release(work="video"))
    child.wait_for(Ended)
    child.loop.tell(Stop())
    child.end()
    assert child.error is None
    return child.ended()[0]


def test_a_stuck_reader_is_left_behind_and_nothing_it_still_does_is_heard(
    tmp_path: Path, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = watched(tmp_path)
    stuck = Stuck(1)
    monkeypatch.setattr("streamer.worker.connection.open_source", stuck)
    before = set(threading.enumerate())
    child = begin(config, video)
    child.wait_for(SourceGone)
    [gone] = [one for one in child.heard if isinstance(one, SourceGone)]
    assert (gone.cause, gone.opened) == ("stalled", True)
    readers = [one for one in set(threading.enumerate()) - before if one.name == "decode video"]
    assert len(readers) == 1
    child.loop.tell(Reopen(work="video"))
    child.wait_for(SourceGone, n=2)
    stuck.free.set()
    until(lambda: not readers[0].is_alive(), "its thread ends")
    ended = leave(child)
    seen = read(config, "affect.observations", Observation)
    assert [one.seq for one in seen] == list(range(N_BEFORE + 12))
    assert {one.track.number for one in seen} == {1}
    assert (ended.result.decoded, ended.result.analysed) == (N_BEFORE + 12, N_BEFORE + 12)
    states = groupby(one.state for one in read(config, "affect.status", Status))
    assert [state for state, _ in states] == [
        "connecting",
        "live",
        "stalled",
        "connecting",
        "live",
        "backing_off",
        "ended",
    ]


def test_an_opening_that_never_returns_is_given_up(
    tmp_path: Path, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = Stuck(1, after=-1)
    monkeypatch.setattr("streamer.worker.connection.open_source", stuck)
    child = begin(watched(tmp_path), video)
    child.wait_for(SourceGone)
    [gone] = [one for one in child.heard if isinstance(one, SourceGone)]
    assert (gone.cause, gone.opened) == ("stalled", False)
    child.loop.tell(Reopen(work="video"))
    child.wait_for(SourceGone, n=2)
    stuck.free.set()
    assert leave(child).result.analysed == 12


def test_a_process_with_too_many_of_them_makes_way_for_another(
    tmp_path: Path, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamer.worker.watchdog.HUNG_AFTER_S", 0.0)
    config = watched(tmp_path, max_hung=1)
    stuck = Stuck(2)
    monkeypatch.setattr("streamer.worker.connection.open_source", stuck)
    child = begin(config, video)
    child.wait_for(SourceGone)
    child.loop.tell(Reopen(work="video"))
    child.wait_for(Spent)
    child.end()
    stuck.free.set()
    assert child.error is None
    assert not child.ended()  # its death says enough: the supervisor gives what it had to another
    assert any(isinstance(one, Tick) and one.hung == 1 for one in child.heard)
    monkeypatch.setattr("streamer.worker.connection.open_source", open_source)
    successor = begin(config, video)
    successor.wait_for(SourceGone)
    leave(successor)
    later = [one for one in read(config, "affect.observations", Observation) if one.track.epoch != one.epoch]
    assert len(later) == 12
    assert later[0].state == "restored"


def test_an_archive_that_hangs_fails_and_may_be_tried_again(
    tmp_path: Path, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamer.worker.watch.ARCHIVE_S", 2.5)
    stuck = Stuck(1)
    monkeypatch.setattr("streamer.worker.connection.open_source", stuck)
    child = Running(watched(tmp_path), models())
    child.open(video_source(video))
    child.wait_for(Ended)
    child.loop.tell(Stop())
    child.end()
    stuck.free.set()
    [ended] = child.ended()
    assert (ended.result.state, ended.result.cause, ended.retry) == ("failed", "stalled", True)
