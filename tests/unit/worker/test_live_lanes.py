"""Live streams of a child whose source comes and goes, or that go from one owner to the next: real decoders and bus."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import groupby
from pathlib import Path

import msgspec
import pytest

from streamer.bus.open import open_bus
from streamer.bus.protocol import Placed
from streamer.bus.read import drain, typed
from streamer.config import Config
from streamer.messages import Observation, Status, TrackEvent
from streamer.worker.claims import claim
from streamer.worker.link import Change, Ended, Open, Opened, Release, Reopen, SourceGone, Stop, Tuning
from tests.unit.worker.rig import Running, config_for, models, video_source
from tests.videos import pattern


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half a second."""
    return pattern(tmp_path_factory.mktemp("video") / "bars.mp4", size=(64, 48), n_frames=12)


@pytest.fixture(autouse=True)
def nothing_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine a frame may wait long; what is dropped then is another test's matter."""
    monkeypatch.setattr("streamer.worker.loop.LIVE_QUEUE_FRAMES", 100)


def claimed(config: Config) -> Placed:
    bus = open_bus(config.bus)
    try:
        return claim(bus, ["video"], "w", config.topics)[0]
    finally:
        bus.close()


def watch(config: Config, video: Path, *, sample_fps: float | None = None) -> tuple[Running, int]:
    """A child that shows the file as a camera would, under a claim of its own."""
    place = claimed(config)
    child = Running(config, models())
    order = Open.of(video_source(video, mode="live"), 0)
    order = msgspec.structs.replace(
        order,
        epoch=place.offset,
        epoch_time_s=place.time_s,
        reopen=True,
        repeat=True,
        tuning=Tuning(sample_fps=sample_fps),
    )
    child.loop.tell(order)
    return child, place.offset


def leave(child: Running, how: str) -> None:
    child.loop.tell(msgspec.convert({"t": "release", "work": "video", "how": how}, Release))
    child.wait_for(Ended)
    child.loop.tell(Stop())
    child.end()
    assert child.error is None


def told(config: Config) -> list[Observation]:
    bus = open_bus(config.bus, create=False)
    try:
        return list(typed(drain(bus, ["affect.observations"]), Observation))
    finally:
        bus.close()


def states(config: Config) -> list[str]:
    """The states in turn: a heartbeat repeats one that lasts."""
    bus = open_bus(config.bus, create=False)
    try:
        return [state for state, _ in groupby(one.state for one in typed(drain(bus, ["affect.status"]), Status))]
    finally:
        bus.close()


def tracks_left(config: Config) -> list[str | None]:
    bus = open_bus(config.bus, create=False)
    try:
        events = typed(drain(bus, ["affect.tracks"]), TrackEvent)
        return [event.cause for event in events if event.event == "left"]
    finally:
        bus.close()


def until(holds: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.02)


def test_a_source_that_comes_back_goes_on_with_its_track_in_a_new_session(tmp_path: Path, video: Path) -> None:
    config = config_for(tmp_path)
    child, epoch = watch(config, video)
    child.wait_for(SourceGone)
    child.loop.tell(Reopen(work="video"))
    child.wait_for(SourceGone, n=2)
    leave(child, "close")
    seen = told(config)
    assert [one.session for one in seen] == [f"{epoch}.0"] * 12 + [f"{epoch}.1"] * 12
    assert {one.track.number for one in seen} == {1}
    times_s = [one.media_time_s for one in seen]
    assert times_s == sorted(times_s)
    assert len(set(times_s)) == 24
    assert [one.seq for one in seen] == list(range(24))
    assert states(config) == ["connecting", "live", "backing_off"] * 2 + ["ended"]
    assert tracks_left(config) == ["interrupted"]


def test_a_source_that_stays_away_loses_its_tracks_after_the_grace_time(tmp_path: Path, video: Path) -> None:
    config = config_for(tmp_path, grace_s=0.2)
    child, _ = watch(config, video)
    child.wait_for(SourceGone)
    until(lambda: tracks_left(config) == ["source_gone"], "the track leaves")
    child.loop.tell(Reopen(work="video"))
    child.wait_for(SourceGone, n=2)
    leave(child, "close")
    assert {one.track.number for one in told(config)} == {1, 2}


@pytest.mark.parametrize(("how", "state"), [("hand_over", "restored"), ("close", "cold")])
def test_the_next_owner_goes_on_with_what_was_handed_over(tmp_path: Path, video: Path, how: str, state: str) -> None:
    config = config_for(tmp_path)
    first, old = watch(config, video)
    first.wait_for(SourceGone)
    leave(first, how)
    second, new = watch(config, video)
    second.wait_for(SourceGone)
    leave(second, "close")
    later = [one for one in told(config) if one.epoch == new]
    assert new > old
    assert (later[0].state, later[0].seq) == (state, 0)
    assert later[0].track.epoch == (old if how == "hand_over" else new)
    if how == "hand_over":
        assert (later[0].prev_epoch, later[0].prev_seq) == (old, 11)
        assert later[0].media_time_s > 11 / 25


def test_what_is_discarded_says_nothing_more(tmp_path: Path, video: Path) -> None:
    config = config_for(tmp_path, live_flush_s=30.0)
    child, _ = watch(config, video)
    child.wait_for(SourceGone)
    leave(child, "discard")
    assert told(config) == []
    assert tracks_left(config) == []


def test_the_rate_of_looking_is_set_and_changed_as_it_runs(tmp_path: Path, video: Path) -> None:
    config = config_for(tmp_path)
    child, _ = watch(config, video, sample_fps=5.0)
    child.wait_for(SourceGone)
    until(lambda: [round(one.media_time_s, 2) for one in told(config)] == [0.0, 0.2, 0.4], "a third of the frames")
    child.loop.tell(Change(work="video", tuning=Tuning()))
    child.loop.tell(Reopen(work="video"))
    child.wait_for(SourceGone, n=2)
    child.wait_for(Opened, n=2)
    leave(child, "close")
    assert len(told(config)) == 3 + 12
    [ended] = child.ended()
    assert ended.result.dropped == {"sample_rate": 9}
