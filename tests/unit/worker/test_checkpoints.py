from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from streamer.bus.open import open_bus
from streamer.bus.protocol import Bus
from streamer.bus.topics import partition_of, state_record, topics
from streamer.clock import FakeClock
from streamer.config import Config, StateSettings
from streamer.errors import SourceDamaged
from streamer.messages import Record, encode
from streamer.pipeline import Models, Pipeline, StageTimes
from streamer.source import Source
from streamer.state import snapshot
from streamer.state.head_batch import HeadNeeds
from streamer.types import Mode
from streamer.worker.checkpoints import Checkpoints, options_digest
from streamer.worker.lane import Lane
from tests.unit.state.scenes import ArithmeticHead
from tests.unit.worker.rig import SomeFaces, config_for, frame, models

CLOCK = FakeClock()


def all_models() -> Models:
    return models(SomeFaces(2), ArithmeticHead(HeadNeeds("min_max_mean", True, 5, 3, 4)))


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return config_for(tmp_path)


@pytest.fixture
def bus(config: Config) -> Iterator[Bus]:
    bus = open_bus(config.bus)
    yield bus
    bus.close()


def checkpoints(bus: Bus, config: Config) -> Checkpoints:
    return Checkpoints(bus, config, all_models(), CLOCK)


def lane(mode: Mode = "archive", run: str = "r-1", restarts: int = 0, kind: Any = "file", stream: str = "a/b") -> Lane:
    made = Lane(stream=stream, source=Source(stream, "/v.mp4", kind, mode), mode=mode, restarts=restarts)
    made.run, made.session = run, "session"
    return made


def analyse(of: Lane, config: Config, indices: range) -> list[bytes]:
    step = Pipeline(all_models(), config, StageTimes()).step
    made: list[Record] = []
    for index in indices:
        [(_, records)] = step([(of.open_state, frame(of.stream, index, level=50 + 3 * index))])
        made += records
    return [encode(record) for record in made]


def commit(bus: Bus, config: Config, of: Lane) -> None:
    producer = bus.producer("t")
    producer.commit(checkpoints(bus, config).take(of))
    producer.close()


def stored(bus: Bus, config: Config, mode: Mode = "archive", stream: str = "a/b") -> set[bytes]:
    names = topics(config.topics)
    topic = names.archive_state if mode == "archive" else names.state
    return set(bus.latest(topic.name, partition_of(stream, topic.partitions)))


@pytest.mark.parametrize("stop_at", [1, 4, 9])
def test_what_resumes_goes_on_as_if_nothing_had_happened(bus: Bus, config: Config, stop_at: int) -> None:
    whole = lane()
    checkpoints(bus, config).resume(whole)
    expected = analyse(whole, config, range(12))
    first = lane()
    assert checkpoints(bus, config).resume(first).media_time_s is None
    before = analyse(first, config, range(stop_at))
    first.counters.drop("not_finite", 3)
    commit(bus, config, first)
    second = lane()
    resumption = checkpoints(bus, config).resume(second)
    assert (resumption.done, resumption.media_time_s) == (False, (stop_at - 1) / 25)
    assert second.skip_until_index == stop_at
    assert second.counters.dropped == {"not_finite": 3}
    assert (second.counters.analysed, second.counters.records) == (stop_at, len(before))
    assert before + analyse(second, config, range(stop_at, 12)) == expected


def test_a_finished_stream_is_done_with_its_counts_and_its_failure(bus: Bus, config: Config) -> None:
    first = lane()
    checkpoints(bus, config).resume(first)
    analyse(first, config, range(3))
    first.open_state.actor.finish("end_of_stream")
    first._intake.decoded, first._intake.corrupt_packets = 5, 2
    first.error, first.finished = SourceDamaged("it is damaged"), True
    commit(bus, config, first)
    second = lane()
    resumption = checkpoints(bus, config).resume(second)
    assert resumption.done
    assert (resumption.failure, resumption.message) == ("damaged", "it is damaged")
    assert second.count() == first.count()
    assert second.open_state.n_tracks == 2
    assert stored(bus, config) == {b"a%2Fb/r-1"}  # nothing is kept of tracks that are over


def test_an_unfinished_stream_does_not_remember_a_failure(bus: Bus, config: Config) -> None:
    first = lane()
    checkpoints(bus, config).resume(first)
    analyse(first, config, range(3))
    first.error = SourceDamaged("while it was stopped")
    commit(bus, config, first)
    assert checkpoints(bus, config).resume(lane()).failure is None


def test_each_run_of_an_archive_has_its_own(bus: Bus, config: Config) -> None:
    one, two = lane(run="r-1"), lane(run="r-1/2")
    for each, n in ((one, 3), (two, 5)):
        checkpoints(bus, config).resume(each)
        analyse(each, config, range(n))
        commit(bus, config, each)
    again = [lane(run="r-1"), lane(run="r-1/2"), lane(run="r")]
    assert [checkpoints(bus, config).resume(each).media_time_s for each in again] == [2 / 25, 4 / 25, None]


@pytest.mark.parametrize("stream", ["a", "a/b/c", "a%2Fb"])
def test_no_stream_takes_up_anothers(bus: Bus, config: Config, stream: str) -> None:
    config = msgspec.structs.replace(config, topics=msgspec.structs.replace(config.topics, prefix="one", partitions=1))
    bus.ensure_topics(topics(config.topics).all())
    first = lane()
    checkpoints(bus, config).resume(first)
    analyse(first, config, range(3))
    commit(bus, config, first)
    assert checkpoints(bus, config).resume(lane()).media_time_s is not None
    other = lane(stream=stream)
    assert checkpoints(bus, config).resume(other).media_time_s is None
    assert other.open_state.actor.tombstones == []


def test_a_refused_snapshot_starts_cold_and_leaves_nothing_of_the_old_tracks(bus: Bus, config: Config) -> None:
    """The file changed under a run that the user named: same keys, other work."""
    first = lane()
    checkpoints(bus, config).resume(first)
    analyse(first, config, range(3))
    commit(bus, config, first)
    assert stored(bus, config) == {b"a%2Fb/r-1", b"a%2Fb/r-1/0.1", b"a%2Fb/r-1/0.2"}
    second = lane()
    second.session = "other bytes"
    few = Checkpoints(bus, config, models(SomeFaces(1), all_models().head), CLOCK)
    assert few.resume(second).media_time_s is None
    step = Pipeline(models(SomeFaces(1), all_models().head), config, StageTimes()).step
    step([(second.open_state, frame("a/b", 0))])
    commit(bus, config, second)
    # Track 1 is another one now and must not be removed as an orphan; track 2 is one.
    assert stored(bus, config) == {b"a%2Fb/r-1", b"a%2Fb/r-1/0.1"}
    third = lane()
    third.session = "other bytes"
    assert few.resume(third).media_time_s == 0.0


def test_a_position_of_another_program_is_refused(bus: Bus, config: Config) -> None:
    first = lane()
    checkpoints(bus, config).resume(first)
    state = first.open_state
    [value] = snapshot.take(state.actor, {"next_index": "three"}, state.tracker.snapshot()).puts.values()
    producer = bus.producer("t")
    producer.commit([state_record(config.topics, "archive", "a/b", value, key=b"a%2Fb/r-1")])
    second = lane()
    assert checkpoints(bus, config).resume(second).media_time_s is None
    assert (second.counters.analysed, second.open_state.next_index) == (0, 0)


def test_garbage_is_refused(bus: Bus, config: Config) -> None:
    producer = bus.producer("t")
    producer.commit([state_record(config.topics, "archive", "a/b", b"garbage", key=b"a%2Fb/r-1")])
    assert checkpoints(bus, config).resume(lane()).media_time_s is None


def test_a_live_stream_is_taken_up_only_within_its_invocation_and_where_it_would_be_by_now(
    bus: Bus, config: Config
) -> None:
    CLOCK.now_s = 0.0
    first = lane("live")
    checkpoints(bus, config).resume(first)
    analyse(first, config, range(26))
    first._intake.decoded = 30
    commit(bus, config, first)
    CLOCK.advance(7.0)
    assert checkpoints(bus, config).resume(lane("live")).media_time_s is None
    file, camera = lane("live", restarts=1), lane("live", restarts=1, kind="webcam")
    for each in (file, camera):
        assert checkpoints(bus, config).resume(each).media_time_s == 1.0
        assert each.join_at_s == 8.0
        assert each.skip_until_index == 0
    # A file is decoded anew, a camera goes on.
    assert (file.count().decoded, camera.count().decoded) == (0, 30)
    assert stored(bus, config, "live") == {b"a%2Fb", b"a%2Fb/0.1", b"a%2Fb/0.2"}


def test_only_settings_that_change_results_are_in_a_runs_name() -> None:
    base = Config()
    assert options_digest(base) == options_digest(msgspec.structs.replace(base, bus="kafka://elsewhere:9092"))
    assert options_digest(base) != options_digest(msgspec.structs.replace(base, state=StateSettings(window=32)))
