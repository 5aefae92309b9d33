from __future__ import annotations

import math
import queue
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgpack
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.batching.collector import Collector
from streamer.batching.exchange import Exchange
from streamer.bus.open import open_bus
from streamer.bus.protocol import Bus, Outgoing
from streamer.bus.topics import partition_of, state_record, topics
from streamer.clock import FakeClock
from streamer.config import Config, StateSettings
from streamer.errors import SourceDamaged
from streamer.messages import Observation, Record, Track, TrackEvent, encode
from streamer.pipeline import Models, Pipeline, StageTimes
from streamer.source import Source
from streamer.state import snapshot
from streamer.state.codec import VERSION, peek, seal, track_key, unseal
from streamer.state.head_batch import HeadNeeds
from streamer.types import Frame, Mode
from streamer.worker.checkpoints import Checkpoints, Resumption, options_digest
from streamer.worker.claims import claim
from streamer.worker.connection import Connection, ConnectionFailed
from streamer.worker.lane import Lane, LaneEvent
from streamer.worker.link import Open
from streamer.worker.state_reader import StateReader
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
    """The broker's clock is the test's."""
    CLOCK.now_s = 0.0
    bus = open_bus(config.bus, clock=CLOCK)
    yield bus
    bus.close()


def checkpoints(config: Config) -> Checkpoints:
    return Checkpoints(config, all_models(), CLOCK)


def resume(bus: Bus, config: Config, of: Lane, with_: Models | None = None) -> Resumption:
    stored = StateReader(bus, config, CLOCK).fetch(of)
    return Checkpoints(config, with_ or all_models(), CLOCK).resume(of, stored)


def lane(mode: Mode = "archive", run: str = "r-1", restarts: int = 0, kind: Any = "file", stream: str = "a/b") -> Lane:
    made = Lane.of(Open.of(Source(stream, "/v.mp4", kind, mode), restarts), Config(), CLOCK)
    made.run, made.session = run, "session"
    return made


def claimed(bus: Bus, config: Config, restarts: int = 0, kind: Any = "file", stream: str = "a/b") -> Lane:
    """A live lane under a claim written now."""
    [placed] = claim(bus, [stream], "somebody", config.topics)
    order = msgspec.structs.replace(
        Open.of(Source(stream, "/v.mp4", kind, "live"), restarts), epoch=placed.offset, epoch_time_s=placed.time_s
    )
    made = Lane.of(order, config, CLOCK)
    made.run, made.session = f"run-{placed.offset}", f"{placed.offset}.0"
    return made


def analyse(of: Lane, config: Config, indices: range) -> list[bytes]:
    return [encode(record) for record in records_of(of, config, indices)]


def records_of(of: Lane, config: Config, indices: Iterable[int], with_: Models | None = None) -> list[Record]:
    step = Pipeline(with_ or all_models(), config, StageTimes()).step
    made: list[Record] = []
    for index in indices:
        seen = replace(frame(of.stream, index, level=50 + 3 * index % 190), arrival_s=CLOCK.now_s)
        [(_, records)] = step([(of.open_state, seen)])
        made += records
    return made


def observations(records: Iterable[Record]) -> list[Observation]:
    return [record for record in records if isinstance(record, Observation)]


def commit(bus: Bus, config: Config, of: Lane) -> None:
    write(bus, checkpoints(config).take(of))


def write(bus: Bus, records: list[Outgoing]) -> None:
    producer = bus.producer("t")
    producer.commit(records)
    producer.close()


def stored(bus: Bus, config: Config, mode: Mode = "archive", stream: str = "a/b") -> set[bytes]:
    names = topics(config.topics)
    topic = names.archive_state if mode == "archive" else names.state
    return set(bus.latest(topic.name, partition_of(stream, topic.partitions)))


@pytest.mark.parametrize("stop_at", [1, 4, 9])
def test_what_resumes_goes_on_as_if_nothing_had_happened(bus: Bus, config: Config, stop_at: int) -> None:
    whole = lane()
    resume(bus, config, whole)
    expected = analyse(whole, config, range(12))
    first = lane()
    assert resume(bus, config, first).media_time_s is None
    before = analyse(first, config, range(stop_at))
    first.counters.drop("not_finite", 3)
    commit(bus, config, first)
    second = lane()
    resumption = resume(bus, config, second)
    assert (resumption.done, resumption.media_time_s) == (False, (stop_at - 1) / 25)
    assert second.skip_until_index == stop_at
    assert second.counters.dropped == {"not_finite": 3}
    assert (second.counters.analysed, second.counters.records) == (stop_at, len(before))
    assert before + analyse(second, config, range(stop_at, 12)) == expected


def test_a_finished_stream_is_done_with_its_counts_and_its_failure(bus: Bus, config: Config) -> None:
    first = lane()
    resume(bus, config, first)
    analyse(first, config, range(3))
    first.open_state.actor.finish("end_of_stream")
    first.counters.decoded, first.counters.corrupt_packets = 5, 2
    first.error, first.finished = SourceDamaged("it is damaged"), True
    commit(bus, config, first)
    second = lane()
    resumption = resume(bus, config, second)
    assert resumption.done
    assert (resumption.failure, resumption.message) == ("damaged", "it is damaged")
    assert second.count() == first.count()
    assert second.open_state.n_tracks == 2
    assert stored(bus, config) == {b"a%2Fb/r-1"}  # nothing is kept of tracks that are over


def test_an_unfinished_stream_does_not_remember_a_failure(bus: Bus, config: Config) -> None:
    first = lane()
    resume(bus, config, first)
    analyse(first, config, range(3))
    first.error = SourceDamaged("while it was stopped")
    commit(bus, config, first)
    assert resume(bus, config, lane()).failure is None


def test_each_run_of_an_archive_has_its_own(bus: Bus, config: Config) -> None:
    one, two = lane(run="r-1"), lane(run="r-1/2")
    for each, n in ((one, 3), (two, 5)):
        resume(bus, config, each)
        analyse(each, config, range(n))
        commit(bus, config, each)
    again = [lane(run="r-1"), lane(run="r-1/2"), lane(run="r")]
    assert [resume(bus, config, each).media_time_s for each in again] == [2 / 25, 4 / 25, None]


@pytest.mark.parametrize("stream", ["a", "a/b/c", "a%2Fb"])
def test_no_stream_takes_up_anothers(bus: Bus, config: Config, stream: str) -> None:
    config = msgspec.structs.replace(config, topics=msgspec.structs.replace(config.topics, prefix="one", partitions=1))
    bus.ensure_topics(topics(config.topics).all())
    first = lane()
    resume(bus, config, first)
    analyse(first, config, range(3))
    commit(bus, config, first)
    assert resume(bus, config, lane()).media_time_s is not None
    other = lane(stream=stream)
    assert resume(bus, config, other).media_time_s is None
    assert other.open_state.actor.tombstones == []


def test_a_refused_snapshot_starts_cold_and_leaves_nothing_of_the_old_tracks(bus: Bus, config: Config) -> None:
    """The file changed under a run that the user named: same keys, other work."""
    first = lane()
    resume(bus, config, first)
    analyse(first, config, range(3))
    commit(bus, config, first)
    assert stored(bus, config) == {b"a%2Fb/r-1", b"a%2Fb/r-1/0.1", b"a%2Fb/r-1/0.2"}
    second = lane()
    second.session = "other bytes"
    few = models(SomeFaces(1), all_models().head)
    assert resume(bus, config, second, few).media_time_s is None
    records_of(second, config, range(1), few)
    commit(bus, config, second)
    # Track 1 is another one now and must not be removed as an orphan; track 2 is one.
    assert stored(bus, config) == {b"a%2Fb/r-1", b"a%2Fb/r-1/0.1"}
    third = lane()
    third.session = "other bytes"
    assert resume(bus, config, third, few).media_time_s == 0.0


def test_a_position_of_another_program_is_refused(bus: Bus, config: Config) -> None:
    first = lane()
    resume(bus, config, first)
    state = first.open_state
    [value] = snapshot.take(state.actor, {"next_index": "three"}, state.tracker.snapshot()).puts.values()
    producer = bus.producer("t")
    producer.commit([state_record(config.topics, "archive", "a/b", value, key=b"a%2Fb/r-1")])
    second = lane()
    assert resume(bus, config, second).media_time_s is None
    assert (second.counters.analysed, second.open_state.next_index) == (0, 0)


def test_garbage_is_refused(bus: Bus, config: Config) -> None:
    producer = bus.producer("t")
    producer.commit([state_record(config.topics, "archive", "a/b", b"garbage", key=b"a%2Fb/r-1")])
    assert resume(bus, config, lane()).media_time_s is None


class TestLive:
    def left_behind(self, bus: Bus, config: Config, n: int = 26, kind: Any = "file") -> Lane:
        """A stream whose owner died after `n` frames and a snapshot."""
        first = claimed(bus, config, kind=kind)
        assert resume(bus, config, first) == Resumption()
        records_of(first, config, range(n))
        first.counters.decoded = n + 4
        commit(bus, config, first)
        return first

    @pytest.mark.parametrize("restarts", [0, 1])
    def test_another_owner_takes_it_up_where_it_would_be_by_now(self, bus: Bus, config: Config, restarts: int) -> None:
        for kind, decoded in (("file", 0), ("webcam", 30)):  # a file is decoded anew, a camera goes on
            first = self.left_behind(bus, config, kind=kind)
            CLOCK.advance(7.0)
            second = claimed(bus, config, restarts, kind)
            assert resume(bus, config, second) == Resumption(1.0)
            assert (second.join_at_s, second.skip_until_index, second.count().decoded) == (8.0, 0, decoded)
            taken = observations(records_of(second, config, range(200, 208)))
            assert {record.track.epoch for record in taken} == {second.epoch}  # 8 s later nobody is where they were
            assert taken[0].prev_epoch == first.epoch
            write(bus, checkpoints(config).last(second))

    def test_media_time_counts_from_the_newest_frame_and_not_from_the_newest_snapshot(
        self, bus: Bus, config: Config
    ) -> None:
        """Owners that saw no frame lose none of the time: the source was gone, and each was killed in turn."""
        first = self.left_behind(bus, config)
        CLOCK.advance(6.0)
        commit(bus, config, first)
        for _ in range(3):
            CLOCK.advance(8.0)
            owner = claimed(bus, config)
            resume(bus, config, owner)
            CLOCK.advance(2.0)
            commit(bus, config, owner)
        assert owner.join_at_s == pytest.approx(1.0 + 6.0 + 8.0 + 10.0 + 10.0)

    def test_faces_are_restored_by_whoever_comes_within_their_patience(self, bus: Bus, config: Config) -> None:
        first = self.left_behind(bus, config)
        lane_ = first
        for at in (30, 34):
            CLOCK.advance(0.1)
            lane_ = claimed(bus, config)
            resume(bus, config, lane_)
            made = observations(records_of(lane_, config, range(at, at + 4)))
            assert {(one.track.epoch, one.state) for one in made} == {(first.epoch, "restored")}
            assert [one.state_age_s for one in made[::2]] == [round(i / 25, 6) for i in range(at, at + 4)]
            commit(bus, config, lane_)
        later = observations(records_of(lane_, config, range(38, 42)))
        assert [one.state for one in later[::2]] == ["warm"] * 4

    def test_faces_that_nobody_watched_for_longer_than_their_patience_are_restored_too(
        self, bus: Bus, config: Config
    ) -> None:
        first = self.left_behind(bus, config)
        CLOCK.advance(12.0)
        second = claimed(bus, config)
        resume(bus, config, second)
        second.open_state.tracker.unwatched_until(second.join_at_s)
        made = observations(records_of(second, config, range(325, 331)))
        assert {(one.track.epoch, one.track.number) for one in made} == {(first.epoch, 1), (first.epoch, 2)}
        assert [one.state for one in made[::2]] == ["restored"] * 4 + ["warm"] * 2
        assert [one.state_age_s for one in made[::2]] == [round(i / 25, 6) for i in range(325, 331)]

    def test_what_is_older_than_the_grace_time_starts_cold_and_is_deleted(self, bus: Bus, config: Config) -> None:
        self.left_behind(bus, config)
        CLOCK.advance(config.checkpoint.grace_s)
        assert resume(bus, config, claimed(bus, config)).media_time_s == 1.0
        CLOCK.advance(0.5)
        second = claimed(bus, config)
        resumption = resume(bus, config, second)
        assert resumption.media_time_s is None
        assert "checkpoint.grace_s" in (resumption.cold_reason or "")
        commit(bus, config, second)
        assert stored(bus, config, "live") == {b"a%2Fb", b"a%2Fb/claim"}
        CLOCK.advance(3600.0)
        assert resume(bus, config, claimed(bus, config)) == Resumption()

    def test_a_refused_snapshot_is_told_of(self, bus: Bus, config: Config) -> None:
        first = self.left_behind(bus, config)
        newer = marked_newer(checkpoints(config).take(first, full=True))
        write(bus, newer)
        second = claimed(bus, config)
        resumption = resume(bus, config, second)
        assert resumption.media_time_s is None
        assert f"is of version {VERSION + 1} and this program reads up to {VERSION}" in (resumption.cold_reason or "")
        assert second.open_state.next_index == 0
        [seen, _] = observations(records_of(second, config, range(1)))
        assert (seen.state, seen.track.epoch) == ("cold", second.epoch)

    def test_tracks_that_are_refused_alone_are_told_of(self, bus: Bus, config: Config) -> None:
        self.left_behind(bus, config)
        key = b"a%2Fb/0.1"
        write(bus, [state_record(config.topics, "live", "a/b", b"garbage", key=key)])
        second = claimed(bus, config)
        resumption = resume(bus, config, second)
        assert resumption.media_time_s == 1.0
        assert (resumption.cold_reason or "").startswith("1 of 2 tracks of a/b start anew: ")
        made = observations(records_of(second, config, range(26, 27)))
        assert [(one.track.epoch, one.state) for one in made] == [(second.epoch, "cold"), (0, "restored")]

    def test_a_new_owner_writes_everything_at_once(self, bus: Bus, config: Config) -> None:
        self.left_behind(bus, config)
        second = claimed(bus, config)
        resume(bus, config, second)
        values = [record.value or b"" for record in checkpoints(config).take(second)]
        assert [(peek(value).kind, peek(value).epoch) for value in values] == [
            ("track", second.epoch),
            ("track", second.epoch),
            ("stream", second.epoch),
        ]

    def test_of_a_stream_that_was_closed_nothing_stays(self, bus: Bus, config: Config) -> None:
        first = self.left_behind(bus, config)
        first.open_state.actor.finish("interrupted")
        write(bus, checkpoints(config).last(first))
        assert stored(bus, config, "live") == {b"a%2Fb/claim"}
        assert resume(bus, config, claimed(bus, config)) == Resumption()

    def test_a_file_that_had_ended_is_done_for_its_invocation_and_shown_again_by_the_next(
        self, bus: Bus, config: Config
    ) -> None:
        first = self.left_behind(bus, config)
        first.finished = True
        first.open_state.actor.finish("end_of_stream")
        write(bus, checkpoints(config).last(first))
        assert stored(bus, config, "live") == {b"a%2Fb", b"a%2Fb/claim"}
        assert resume(bus, config, claimed(bus, config, restarts=1)).done
        again = claimed(bus, config)
        assert resume(bus, config, again) == Resumption()
        assert again.join_at_s == 0.0


class TestSourcesThatComeBack:
    """Within one child: the state waits, media time goes on."""

    def before(self, bus: Bus, config: Config) -> Lane:
        lane_ = claimed(bus, config)
        resume(bus, config, lane_)
        records_of(lane_, config, range(10))
        commit(bus, config, lane_)
        lane_.open_state.actor.begin_session(f"{lane_.epoch}.1")
        return lane_

    def test_attempts_in_vain_neither_stop_media_time_nor_lengthen_the_grace_time(
        self, bus: Bus, config: Config
    ) -> None:
        lane_ = self.before(bus, config)
        exchange: Exchange[Connection, Frame] = Exchange(Collector(1, 0.0), CLOCK)
        told: queue.SimpleQueue[LaneEvent] = queue.SimpleQueue()
        for n in range(1, 4):
            CLOCK.advance(10.0)
            lane_.rest("backing_off", None)
            CLOCK.advance(5.0)
            assert CLOCK.monotonic_s() - lane_.newest_s == 15.0 * n
            lane_.reconnect(exchange, told.put)
            lane_.enter("connecting")
            assert lane_.join_at_s == 9 / 25 + 15.0 * n
            assert isinstance(told.get(timeout=20.0), ConnectionFailed)  # there is no such file

    def test_a_short_gap_is_none(self, bus: Bus, config: Config) -> None:
        lane_ = self.before(bus, config)
        made = records_of(lane_, config, range(30, 33))  # 0.84 s later
        assert len(made) == len(observations(made)) == 6
        assert {(one.track.number, one.state) for one in observations(made)} == {(1, "warm"), (2, "warm")}
        assert [one.state_age_s for one in observations(made)[::2]] == [1.2, 1.24, 1.28]
        assert {one.session for one in observations(made)} == {f"{lane_.epoch}.1"}

    def test_after_a_long_gap_the_old_tracks_are_over_and_deleted(self, bus: Bus, config: Config) -> None:
        lane_ = self.before(bus, config)
        made = records_of(lane_, config, range(60, 62))
        left = [one for one in made if isinstance(one, TrackEvent) and one.event == "left"]
        assert [(one.track.number, one.cause, one.media_time_s) for one in left] == [(1, "lost", 2.4), (2, "lost", 2.4)]
        assert [one.summary.to_media_time_s for one in left if one.summary] == [0.36, 0.36]
        seen = observations(made)
        assert {(one.track.number, one.state) for one in seen} == {(3, "cold"), (4, "cold")}
        assert [one.state_age_s for one in seen] == [0.0, 0.0, 0.04, 0.04]
        commit(bus, config, lane_)
        alive = {track_key("a/b", Track(epoch=lane_.epoch, number=n)) for n in (3, 4)}
        assert stored(bus, config, "live") == {b"a%2Fb/claim", b"a%2Fb", *alive}

    def test_after_the_grace_time_the_tracks_end_and_numbers_go_on(self, bus: Bus, config: Config) -> None:
        lane_ = self.before(bus, config)
        state = lane_.open_state
        left = [one for one in state.actor.finish("source_gone") if isinstance(one, TrackEvent)]
        state.tracker.finish()
        assert [one.cause for one in left] == ["source_gone"] * 2
        commit(bus, config, lane_)
        assert stored(bus, config, "live") == {b"a%2Fb/claim", b"a%2Fb"}
        seen = observations(records_of(lane_, config, range(1000, 1001)))
        assert {(one.track.number, one.state) for one in seen} == {(3, "cold"), (4, "cold")}


@given(data=st.data())
@settings(derandomize=True, max_examples=1000, deadline=None)
def test_a_checkpoint_that_lies_is_refused_or_good_to_use(data: st.DataObject) -> None:
    """What the position and the tracker say, behind a good checksum."""
    first = lane("live")
    config = Config()
    checkpoints(config).resume(first, {})
    records_of(first, config, range(3))
    values = {record.key: record.value or b"" for record in checkpoints(config).take(first)}
    key = b"a%2Fb"
    header, body, _ = unseal(values, key)
    lies: list[Any] = [None, -1, 2**63, "x", [], {}, float("nan"), float("inf"), b"", [[1]], np.zeros((2, 2))]
    if data.draw(st.booleans()):
        part = body[data.draw(st.sampled_from(["position", "tracker"]))]
        part[data.draw(st.sampled_from(sorted(part)))] = data.draw(st.sampled_from(lies))
    else:
        body[data.draw(st.sampled_from(sorted(body)))] = data.draw(st.sampled_from(lies))
    second = lane("live")
    seen = checkpoints(config).resume(second, values | seal(key, "stream", "a/b", header.epoch, header.seq, body))
    assert math.isfinite(seen.media_time_s or 0.0)
    assert seen.done or observations(records_of(second, config, range(3, 5)))


def marked_newer(records: list[Outgoing]) -> list[Outgoing]:
    """The same values as a later version would mark them."""
    raised = []
    for record in records:
        value = msgpack.unpackb(record.value or b"")
        raised.append(replace(record, value=msgpack.packb(value | {"v": VERSION + 1})))
    return raised


def test_only_settings_that_change_results_are_in_a_runs_name() -> None:
    base = Config()
    assert options_digest(base) == options_digest(msgspec.structs.replace(base, bus="kafka://elsewhere:9092"))
    assert options_digest(base) != options_digest(msgspec.structs.replace(base, state=StateSettings(window=32)))
