"""`streamer run` on real video, as a user runs it."""

from __future__ import annotations

import json
import signal
from collections import Counter
from pathlib import Path

import pytest

from streamer.bench.clips import loop_clip
from streamer.errors import BusError
from tests.product import (
    LEAVES,
    NO_FACE,
    ONE_FACE,
    TWO_FACES,
    children_of,
    committing_often,
    interrupt,
    needs_clips,
    observations,
    raw,
    result_bytes,
    runs,
    start,
    statuses,
    streamer,
    tracks,
    until,
)
from tests.videos import pattern

pytestmark = [pytest.mark.models, pytest.mark.usefixtures("models")]
N_FRAMES = 12 * 72


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """29 s of one face: long enough to be killed in the middle."""
    if not ONE_FACE.is_file():
        pytest.skip("the shared clips are not on this machine")
    target = tmp_path_factory.mktemp("long") / "face.mp4"
    loop_clip(ONE_FACE, target, 28.0)
    return target


@pytest.fixture(scope="module")
def undisturbed(long_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, list[bytes]]]:
    """What the long clip gives when nothing happens to it."""
    folder = tmp_path_factory.mktemp("undisturbed")
    done = streamer("run", long_clip, "--quiet", cwd=folder)
    assert done.returncode == 0, done.stderr
    found = result_bytes(folder / "affect.db")
    assert len(found["observations"]["face"]) == N_FRAMES
    return found


def test_the_demo_leaves_records_and_a_page(tmp_path: Path) -> None:
    done = streamer("demo", "--out", tmp_path / "demo-output", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "demo-output" / "report.html").stat().st_size > 100_000
    seen = observations(tmp_path / "demo-output" / "affect.db")
    faces = Counter(one.pts for one in seen)
    assert sum(n == 1 for n in faces.values()) >= 118
    assert {one.track.number for one in seen} == {1}


@needs_clips
def test_two_faces_are_two_tracks(tmp_path: Path) -> None:
    assert streamer("run", TWO_FACES, "--quiet", cwd=tmp_path).returncode == 0
    seen = observations(tmp_path / "affect.db")
    assert {one.track.number for one in seen} == {1, 2}
    assert sum(n == 2 for n in Counter(one.pts for one in seen).values()) >= 54
    # The two sit apart all the time: a track that changed sides has changed persons.
    sides = {(one.track.number, one.box_xywh[0] + one.box_xywh[2] / 2 > 0.5) for one in seen}
    assert len(sides) == 2


@needs_clips
def test_no_face_is_a_good_run_without_observations(tmp_path: Path) -> None:
    done = streamer("run", NO_FACE, "--report", "page.html", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert observations(tmp_path / "affect.db") == []
    assert (tmp_path / "page.html").is_file()
    [record] = runs(tmp_path / "affect.db").values()
    assert (record.state, record.sources[0].analysed) == ("done", 95)


@needs_clips
def test_a_face_that_leaves_ends_its_track(tmp_path: Path) -> None:
    assert streamer("run", LEAVES, "--quiet", cwd=tmp_path).returncode == 0
    left = [event for event in tracks(tmp_path / "affect.db") if event.event == "left"]
    assert left[0].cause == "lost"
    assert left[0].summary is not None
    assert left[0].summary.to_media_time_s < 6.0


@needs_clips
def test_a_file_gives_the_same_bytes_twice_and_in_any_company(tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    company = tmp_path / "company"
    alone.mkdir()
    company.mkdir()
    assert streamer("run", TWO_FACES, "--quiet", cwd=alone).returncode == 0
    done = streamer("run", TWO_FACES, ONE_FACE, LEAVES, NO_FACE, "--quiet", "--children", "1", cwd=company)
    assert done.returncode == 0, done.stderr
    first = result_bytes(alone / "affect.db")
    assert first["observations"][TWO_FACES.stem]
    assert first == result_bytes(company / "affect.db", [TWO_FACES.stem])


@needs_clips
def test_a_finished_file_is_not_analysed_again(tmp_path: Path) -> None:
    assert streamer("run", ONE_FACE, "--quiet", cwd=tmp_path).returncode == 0
    before = result_bytes(tmp_path / "affect.db")
    again = streamer("run", ONE_FACE, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "already on this bus" in again.stdout
    assert result_bytes(tmp_path / "affect.db") == before
    named = streamer("run", ONE_FACE, "--run", "second", "--quiet", cwd=tmp_path)
    assert named.returncode == 0, named.stderr
    assert len(observations(tmp_path / "affect.db")) == 2 * 72


def frames_told(database: Path) -> int:
    """How many frames the run record tells of; the records' own numbers lie among them, each once."""
    [record] = runs(database).values()
    [source] = record.sources
    told = [one.frame for one in observations(database)]
    assert told == sorted(set(told), key=told.index)
    assert all(frame is not None and 0 <= frame < source.decoded for frame in told)
    return source.decoded


def test_a_killed_child_is_replaced_and_nothing_is_lost_or_doubled(
    tmp_path: Path, long_clip: Path, undisturbed: dict[str, dict[str, list[bytes]]]
) -> None:
    process = start("run", long_clip, "--json", *committing_often(tmp_path), cwd=tmp_path)
    database = tmp_path / "affect.db"
    for n_wanted in (60, 250):
        until(lambda n=n_wanted: n_results(database) > n, f"{n_wanted} results")  # type: ignore[misc]
        for child in children_of(process):
            child.send_signal(signal.SIGKILL)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert json.loads(out)["sources"][0]["restarts"] >= 1
    assert result_bytes(database) == undisturbed
    assert frames_told(database) == N_FRAMES


def test_an_interrupted_run_keeps_what_was_done_and_goes_on_later(
    tmp_path: Path, long_clip: Path, undisturbed: dict[str, dict[str, list[bytes]]]
) -> None:
    process = start("run", long_clip, "--quiet", *committing_often(tmp_path), cwd=tmp_path)
    database = tmp_path / "affect.db"
    until(lambda: n_results(database) > 60, "the first commit")
    interrupt(process)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    done_so_far = len(observations(database))
    assert 60 < done_so_far < N_FRAMES
    assert [record.state for record in runs(database).values()] == ["interrupted"]
    assert streamer("run", long_clip, "--quiet", cwd=tmp_path).returncode == 0
    assert result_bytes(database) == undisturbed
    assert frames_told(database) == N_FRAMES


@needs_clips
def test_live_and_archive_say_the_same_of_a_file(tmp_path: Path) -> None:
    assert streamer("run", ONE_FACE, "--quiet", "--search-every", "0", cwd=tmp_path).returncode == 0
    done = streamer("run", ONE_FACE, "--mode", "live", "--json", "--search-every", "0", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    [result] = json.loads(done.stdout)["sources"]
    live = {one.pts: one for one in observations(tmp_path / "affect.db", home="")}
    archive = {one.pts: one for one in observations(tmp_path / "affect.db")}
    # A busy machine may drop live frames; each is counted, and what was seen must be what the archive says. Where faces
    # are looked for near where they were in the frame before, that depends on the frames that were not dropped.
    assert len(live) + sum(result["dropped"].values()) == len(archive) == 72
    assert len(live) > 10
    assert {pts: live[pts].bare for pts in live} == {pts: archive[pts].bare for pts in live}


@needs_clips
def test_a_killed_child_of_a_live_stream_is_replaced_and_its_state_restored(tmp_path: Path, long_clip: Path) -> None:
    config = tmp_path / "live.yaml"
    config.write_text("checkpoint: {live_interval_s: 0.5}\ntrack: {lost_after_s: 30.0}\n")
    process = start("run", long_clip, "--mode", "live", "--config", config, "--json", cwd=tmp_path)
    database = tmp_path / "affect.db"
    until(lambda: n_results(database, "") > 30, "live results")
    for child in children_of(process):
        child.send_signal(signal.SIGKILL)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    seen = observations(database, home="")
    first, second = sorted({one.epoch for one in seen})  # offsets of claims: they rise, and say no more
    later = [one for one in seen if one.epoch == second]
    assert later[0].state == "restored"
    assert later[-1].state == "warm"
    assert later[0].seq == 0
    assert later[0].prev_epoch == first
    # No frame is replayed, and the records of one face go on under one track.
    assert later[0].media_time_s > max(one.media_time_s for one in seen if one.epoch == first)
    assert {one.track.number for one in seen} == {1}


def test_a_test_source_runs_live_and_says_that_it_is_alive(tmp_path: Path) -> None:
    done = streamer("run", "testsrc://320x240@25?duration=6", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["wall_s"] > 5.5
    states = [status.state for status in statuses(tmp_path / "affect.db")]
    assert states.count("live") >= 3  # a heartbeat a second, some of which a busy machine may miss
    assert states[-1] == "ended"


@needs_clips
def test_several_bad_sources_leave_the_good_one_unharmed(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("this is no video\n" * 50)
    done = streamer("run", "empty.mp4", ONE_FACE, "text.mp4", "--json", cwd=tmp_path)
    assert done.returncode == 1
    results = {one["stream"]: one for one in json.loads(done.stdout)["sources"]}
    assert results["empty"]["cause"] == "empty"
    assert results["text"]["cause"] == "not_a_video"
    assert results[ONE_FACE.stem]["state"] == "done"
    assert len(observations(tmp_path / "affect.db")) == 72


def test_a_pattern_has_no_faces(tmp_path: Path) -> None:
    done = streamer("run", pattern(tmp_path / "bars.mp4"), "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    [result] = json.loads(done.stdout)["sources"]
    assert (result["analysed"], result["faces"]) == (50, 0)


def n_results(database: Path, home: str = "archive.") -> int:
    """How many observations are committed so far; 0 while there is no database."""
    if not database.is_file():
        return 0
    try:
        return len(raw(database, f"{home}observations"))
    except BusError:  # the file exists before its topics do
        return 0
