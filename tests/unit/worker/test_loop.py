from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from streamer.bus.open import open_bus
from streamer.bus.protocol import GroupToken, Load
from streamer.clock import Clock
from streamer.config import Config, DecodeSettings
from streamer.decode import Decoder, open_source
from streamer.errors import DeliveryFailed, ModelError, SourceDamaged, SourceUnreachable
from streamer.fleet.retry import first_status
from streamer.messages import Job
from streamer.source import Source
from streamer.worker.link import Drain, Drained, Ended, JobOrder, Membership, Open, Opened, Release, Stop, Tick
from tests.unit.decode.videos import pictures, write_video
from tests.unit.worker.rig import Breaking, Running, SomeFaces, config_for, models, result_bytes, video_source
from tests.videos import pattern

N_FRAMES = 40


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pattern(tmp_path_factory.mktemp("video") / "bars.mp4", size=(64, 48), n_frames=N_FRAMES)


@pytest.fixture(scope="module")
def undisturbed(video: Path, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, bytes]]:
    config = config_for(tmp_path_factory.mktemp("undisturbed"))
    assert run_to_the_end(config, video).result.state == "done"
    return result_bytes(config)


def run_to_the_end(config: Config, video: Path, n_faces: int = 2) -> Ended:
    child = Running(config, models(SomeFaces(n_faces)))
    child.open(video_source(video))
    child.wait_for(Ended)
    child.loop.tell(Stop())
    child.end()
    assert child.error is None
    [ended] = child.ended()
    return ended


def test_a_file_is_told_of_from_open_to_end(tmp_path: Path, video: Path) -> None:
    config = config_for(tmp_path)
    ended = run_to_the_end(config, video)
    result = ended.result
    assert (result.state, result.decoded, result.analysed, result.faces) == ("done", N_FRAMES, N_FRAMES, 2 * N_FRAMES)
    assert (result.tracks, result.width, result.height, result.mode) == (2, 64, 48, "archive")
    assert result.records == len(result_bytes(config))


def test_a_finished_file_is_known_with_its_counts_whoever_asks(tmp_path: Path, video: Path) -> None:
    config = config_for(tmp_path)
    first = run_to_the_end(config, video)
    written = result_bytes(config)
    again = run_to_the_end(config, video)
    assert (first.already_done, again.already_done) == (False, True)
    assert again.result == first.result
    assert result_bytes(config) == written


def test_runs_of_one_file_do_not_forget_each_other(tmp_path: Path, video: Path) -> None:
    config = config_for(tmp_path)
    other = msgspec.structs.replace(config, track=msgspec.structs.replace(config.track, lost_after_s=0.5))
    first, second = run_to_the_end(config, video), run_to_the_end(other, video)
    assert first.run != second.run
    assert run_to_the_end(config, video).already_done
    assert run_to_the_end(other, video).already_done


def test_no_faces_is_a_good_end(tmp_path: Path, video: Path) -> None:
    config = config_for(tmp_path)
    result = run_to_the_end(config, video, n_faces=0).result
    assert (result.state, result.analysed, result.faces, result.records) == ("done", N_FRAMES, 0, 0)


def test_a_second_open_of_a_running_stream_changes_nothing(
    tmp_path: Path, video: Path, undisturbed: list[tuple[str, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_for(tmp_path)
    gate = Gate(after=15)
    monkeypatch.setattr("streamer.worker.connection.open_source", gate)
    child = Running(config, models(SomeFaces(2)))
    child.open(video_source(video))
    gate.reached.wait(20)
    child.open(video_source(video))
    child.wait_for(Tick, n=3)
    gate.free.set()
    child.wait_for(Ended)
    child.loop.tell(Stop())
    child.end()
    assert len(child.ended()) == 1
    assert result_bytes(config) == undisturbed


def test_a_drained_archive_goes_on_where_it_was(
    tmp_path: Path, video: Path, undisturbed: list[tuple[str, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_for(tmp_path)
    gate = Gate(after=15)
    monkeypatch.setattr("streamer.worker.connection.open_source", gate)
    child = Running(config, models(SomeFaces(2)))
    child.open(video_source(video))
    gate.reached.wait(20)
    child.wait_for(Tick, n=3)  # what was read is analysed, though no batch is full
    child.loop.tell(Drain())
    heard = child.end()
    gate.free.set()
    assert child.error is None
    assert isinstance(heard[-1], Drained)
    [ended] = child.ended()
    assert ended.result.state == "interrupted"
    assert 0 < ended.result.analysed <= 16
    monkeypatch.undo()
    done = run_to_the_end(config, video)
    assert done.result.analysed == N_FRAMES
    assert result_bytes(config) == undisturbed


def test_drain_meets_a_stream_that_just_ended(
    tmp_path: Path, video: Path, undisturbed: list[tuple[str, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the same breath: it is told of once, and nothing of it is lost or doubled."""
    config = config_for(tmp_path)
    gates = {"video": Gate(after=15), "other": Gate(after=15)}
    monkeypatch.setattr(
        "streamer.worker.connection.open_source", lambda source, *more: gates[source.stream](source, *more)
    )
    child = Running(config, models(SomeFaces(2)))
    for stream, gate in gates.items():
        child.open(video_source(video, stream))
        gate.reached.wait(20)
    finish = child.loop._finish

    def finish_and_drain(lane: Any) -> None:
        finish(lane)
        child.loop.tell(Drain())

    monkeypatch.setattr(child.loop, "_finish", finish_and_drain)
    gates["video"].free.set()
    child.end()
    gates["other"].free.set()
    assert child.error is None
    assert [(ended.work, ended.result.state) for ended in child.ended()] == [
        ("video", "done"),
        ("other", "interrupted"),
    ]
    assert result_bytes(config, "video") == undisturbed


class Gate:
    """Decoders that stop before frame `after` (or, at -1, while they open) until it is set `free`."""

    def __init__(self, after: int) -> None:
        self.after = after
        self.reached = threading.Event()
        self.free = threading.Event()

    def __call__(self, source: Source, settings: DecodeSettings, clock: Clock, *more: Any) -> Decoder:
        if self.after < 0:
            self.wait()
        decoder = open_source(source, settings, clock, *more)
        read = decoder._feed.read

        def slowly() -> Any:
            for n, taken in enumerate(read()):
                if n == self.after:
                    self.wait()
                yield taken

        decoder._feed.read = slowly  # type: ignore[method-assign]
        return decoder

    def wait(self) -> None:
        self.reached.set()
        self.free.wait(20)


@pytest.mark.parametrize("farewell", [Drain(), Release(work="video")])
@pytest.mark.parametrize("exists", [True, False])
def test_a_stream_can_be_let_go_while_it_opens(
    tmp_path: Path, video: Path, monkeypatch: pytest.MonkeyPatch, farewell: Drain | Release, exists: bool
) -> None:
    """Whatever its decoder says later is of no concern any more."""
    gate = Gate(after=-1)
    monkeypatch.setattr("streamer.worker.connection.open_source", gate)
    monkeypatch.setattr("streamer.worker.lane.session_of", lambda *_, **__: "0" * 64)
    child = Running(config_for(tmp_path), models())
    child.open(video_source(video if exists else tmp_path / "gone.mp4"))
    gate.reached.wait(20)
    child.loop.tell(farewell)
    child.wait_for(Ended)
    lane_thread = next(one for one in threading.enumerate() if one.name == "decode video")
    gate.free.set()
    lane_thread.join(20)
    child.loop.tell(Stop())
    child.end()
    assert child.error is None
    assert not any(isinstance(one, Opened) for one in child.heard)
    [ended] = child.ended()
    assert (ended.result.state, ended.result.analysed) == ("interrupted", 0)


@pytest.mark.parametrize("n_frames", [0, 17])
def test_a_decoder_that_breaks_fails_its_stream_alone_and_can_be_gone_on_with(
    tmp_path: Path,
    video: Path,
    undisturbed: list[tuple[str, bytes]],
    monkeypatch: pytest.MonkeyPatch,
    n_frames: int,
) -> None:
    config = config_for(tmp_path)
    monkeypatch.setattr("streamer.worker.connection.open_source", Breaking(n_frames, MemoryError("no room")))
    ended = run_to_the_end(config, video)
    assert (ended.result.state, ended.result.cause, ended.result.analysed) == ("failed", "broke", n_frames)
    assert "no room" in (ended.result.message or "")
    monkeypatch.undo()
    assert run_to_the_end(config, video).result.state == "done"
    assert result_bytes(config) == undisturbed


def test_a_source_that_cannot_be_opened_for_an_unknown_reason_fails(
    tmp_path: Path, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> Decoder:
        raise RuntimeError("a defect")

    monkeypatch.setattr("streamer.worker.connection.open_source", broken)
    ended = run_to_the_end(config_for(tmp_path), video)
    assert (ended.result.state, ended.result.cause, ended.run) == ("failed", "broke", "")
    assert "RuntimeError" in (ended.result.message or "")


def test_a_failure_that_lies_in_the_bytes_is_the_end_and_one_of_the_network_is_not(
    tmp_path: Path, video: Path, undisturbed: list[tuple[str, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_for(tmp_path)
    monkeypatch.setattr("streamer.worker.connection.open_source", Breaking(20, SourceUnreachable("gone for now")))
    assert run_to_the_end(config, video).result.cause == "unreachable"
    # It is tried again, and goes on.
    monkeypatch.setattr("streamer.worker.connection.open_source", Breaking(30, SourceDamaged("damaged")))
    damaged = run_to_the_end(config, video)
    assert (damaged.already_done, damaged.result.cause, damaged.result.analysed) == (False, "damaged", 30)
    monkeypatch.undo()
    again = run_to_the_end(config, video)
    assert (again.already_done, again.result.state) == (True, "failed")
    assert (again.result.cause, again.result.message) == ("damaged", "damaged")
    observations = [value for topic, value in result_bytes(config) if "observations" in topic]
    assert observations == [value for topic, value in undisturbed if "observations" in topic][: len(observations)]
    assert len(observations) == 60


def test_a_bus_that_refuses_ends_the_loop_with_its_error(tmp_path: Path, video: Path) -> None:
    config = config_for(tmp_path)
    config = msgspec.structs.replace(config, bus=config.bus + "?max_record_bytes=500")
    child = Running(config, models(SomeFaces(2)))
    child.open(video_source(video))
    child.end()
    assert isinstance(child.error, DeliveryFailed)
    assert not any(isinstance(one, Ended | Drained) for one in child.heard)


def test_models_that_do_not_fit_together_end_the_loop(
    tmp_path: Path, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: object, pictures: object) -> None:
        raise ModelError("no fit")

    monkeypatch.setattr(SomeFaces, "detect_each", refuse)
    child = Running(config_for(tmp_path), models())
    child.open(video_source(video))
    child.end()
    assert isinstance(child.error, ModelError)


def test_a_live_stream_says_how_it_is_and_ends_its_tracks_when_drained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(after=10)
    video = write_video(tmp_path / "v.mp4", pictures(40), "libx264", b_frames=1)
    monkeypatch.setattr("streamer.worker.connection.open_source", gate)
    child = Running(config_for(tmp_path), models())
    child.open(video_source(video, mode="live"))
    gate.reached.wait(20)
    child.wait_for(Tick, n=2)
    child.loop.tell(Drain())
    child.end()
    gate.free.set()
    [opened] = [one for one in child.heard if isinstance(one, Opened)]
    [ended] = child.ended()
    assert (opened.run, opened.session, opened.resumed_at_s) == ("live-run", "0.0", None)
    result = ended.result
    assert result.state == "interrupted"
    assert result.analysed + sum(result.dropped.values()) == result.decoded
    # One `appeared`, one observation a frame, and an unfinished window with the `left`.
    assert result.records == result.faces + 3
    told = [one.reorder_delay_s for tick in child.heard if isinstance(tick, Tick) for one in tick.streams]
    assert told[-1] == pytest.approx(0.04)


def job_order(position: int = 0) -> JobOrder:
    job = Job(job="j", batch="b", stream="video", source="/v.mp4")
    return JobOrder(job=job, status=first_status(job), partition=0, position=position)


class Hears:
    """A group's member that owns what it gets."""

    def assigned(self, partitions: frozenset[int]) -> None:
        pass

    revoked = lost = cast(Any, lambda *_: None)


def test_a_child_that_waits_for_its_publisher_hears_of_a_newer_membership(
    tmp_path: Path, video: Path, undisturbed: list[tuple[str, bytes]]
) -> None:
    config = config_for(tmp_path, archive_max_records=1)
    child = Running(config, models(SomeFaces(2)))
    child.loop.tell(Membership(token=GroupToken("affect.jobs", "nobody", 1)))
    child.loop.tell(msgspec.structs.replace(Open.of(video_source(video), 0, "job:j"), job=job_order()))
    publisher = child.loop._publisher
    await_that(lambda: not publisher.has_room(transactional=True) and publisher._committing is not None)
    child.wait_for(Tick, n=3)  # by now the loop waits in `publish`
    bus = open_bus(config.bus)
    member = bus.member("affect.jobs", "affect.jobs", Hears(), Load("w", 4))
    await_that(lambda: member.poll(0.05) == [] and member.token() is not None)
    token = member.token()
    assert token is not None
    child.loop.tell(Membership(token=token))
    child.wait_for(Ended)
    child.loop.tell(Stop())
    child.end()
    bus.close()
    assert child.ended()[0].result.state == "done"
    assert result_bytes(config) == undisturbed


def test_what_was_lost_is_not_committed_by_a_child_that_was_waiting_to(tmp_path: Path, video: Path) -> None:
    config = config_for(tmp_path, archive_max_records=1)
    child = Running(config, models(SomeFaces(2)))
    child.loop.tell(Membership(token=GroupToken("affect.jobs", "nobody", 1)))
    child.loop.tell(msgspec.structs.replace(Open.of(video_source(video), 0, "job:j"), job=job_order()))
    publisher = child.loop._publisher
    await_that(lambda: not publisher.has_room(transactional=True) and publisher._committing is not None)
    child.wait_for(Tick, n=3)
    bus = open_bus(config.bus)
    member = bus.member("affect.jobs", "affect.jobs", Hears(), Load("w", 4))
    await_that(lambda: member.poll(0.05) == [] and member.token() is not None)
    token = member.token()
    assert token is not None
    child.loop.tell(Release(work="job:j", how="discard"))
    child.loop.tell(Membership(token=token))
    child.wait_for(Ended)
    child.loop.tell(Stop())
    child.end()
    bus.close()
    assert [one.result.state for one in child.ended()] == ["interrupted"]
    assert result_bytes(config) == []


def await_that(holds: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
