"""What is left when the supervisor or its children are killed without warning."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import psutil
import pytest

from streamer.bench.clips import loop_clip
from streamer.errors import BusError
from streamer.messages import RunRecord
from tests.product import (
    NO_FACE,
    ONE_FACE,
    children_of,
    committing_often,
    needs_clips,
    raw,
    result_bytes,
    runs,
    start,
    streamer,
    until,
)

pytestmark = [pytest.mark.models, pytest.mark.clips, needs_clips, pytest.mark.usefixtures("models")]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two files of one face, long enough to be killed in the middle."""
    if not ONE_FACE.is_file():
        pytest.skip("the shared clips are not on this machine")
    folder = tmp_path_factory.mktemp("clips")
    made = [folder / "one.mp4", folder / "two.mp4"]
    for clip, seconds in zip(made, (24.0, 16.0), strict=True):
        loop_clip(ONE_FACE, clip, seconds)
    return made


def records(database: Path) -> list[RunRecord]:
    try:
        return list(runs(database).values())
    except BusError:  # the file exists before its topics do
        return []


def n_observations(database: Path) -> int:
    if not database.is_file():
        return 0
    try:
        return len(raw(database, "archive.observations"))
    except BusError:  # the file exists before its topics do
        return 0


def test_children_end_with_their_supervisor_and_the_same_command_goes_on(tmp_path: Path, clips: list[Path]) -> None:
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    undisturbed.mkdir()
    killed.mkdir()
    command = ["run", *map(str, clips), "--run", "mine", "--quiet"]
    done = streamer(*command, cwd=undisturbed)
    assert done.returncode == 0, done.stderr

    process = start(*command, *committing_often(killed), cwd=killed)
    until(lambda: n_observations(killed / "affect.db") > 30, "the first commits")
    children = children_of(process)
    assert children
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    gone, alive = psutil.wait_procs(children, timeout=30)
    assert not alive, "children outlived their supervisor"
    assert len(gone) == len(children)
    before = n_observations(killed / "affect.db")
    assert 30 < before < len(raw(undisturbed / "affect.db", "archive.observations"))
    assert runs(killed / "affect.db")["mine"].state == "running"  # nobody was left to say otherwise

    again = streamer(*command, cwd=killed)
    assert again.returncode == 0, again.stderr
    assert result_bytes(killed / "affect.db") == result_bytes(undisturbed / "affect.db")
    record = runs(killed / "affect.db")["mine"]
    expected = runs(undisturbed / "affect.db")["mine"]
    counts = {one.stream: (one.state, one.decoded, one.analysed, one.faces, one.records) for one in record.sources}
    assert record.state == "done"
    assert counts == {
        one.stream: (one.state, one.decoded, one.analysed, one.faces, one.records) for one in expected.sources
    }


def test_a_stream_whose_child_dies_each_time_is_given_up_and_the_other_completes(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("worker: {max_restarts: 2}\n")
    poison = "poison=testsrc://320x240@25?duration=120"
    process = start("run", poison, NO_FACE, "--config", config, "--children", "2", "--json", cwd=tmp_path)
    database = tmp_path / "affect.db"

    def good_is_done() -> bool:
        return database.is_file() and any(
            (one.stream, one.state) == (NO_FACE.stem, "done") for run in records(database) for one in run.sources
        )

    try:
        until(good_is_done, "the good file's end")
        seen: set[int] = set()
        for _ in range(3):  # the idle child dies with the first: nobody misses it
            until(lambda: bool({one.pid for one in children_of(process)} - seen), "a child that takes it")
            for child in children_of(process):
                seen.add(child.pid)
                child.kill()
        out, err = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 1, err
    assert "Traceback" not in err
    results = {one["stream"]: one for one in json.loads(out)["sources"]}
    assert results[NO_FACE.stem]["state"] == "done"
    assert (results["poison"]["state"], results["poison"]["cause"]) == ("failed", "child_died")
    assert "given up" in results["poison"]["message"]
    assert results["poison"]["restarts"] == 2
    states = {one.stream: one.state for run in records(database) for one in run.sources}
    assert states == {NO_FACE.stem: "done", "poison": "failed"}
