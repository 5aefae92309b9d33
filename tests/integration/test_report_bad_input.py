"""`streamer report` where something is missing or wrong: one sentence, the right exit code, nothing half-written."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from streamer.bus.open import open_bus
from streamer.bus.topics import outgoing, topics
from streamer.config import TopicSettings
from streamer.messages import Observation, RunRecord, TrackEvent, Window
from tests.product import streamer
from tests.synthetic_run import make_run

SETTINGS = TopicSettings(partitions=8)


def published(folder: Path, *, n_frames: int = 60, state: str = "done", seen: bool = True) -> Path:
    """A bus with one run on it, in a file without a log beside it."""
    database = folder / "affect.db"
    bus = open_bus(f"sqlite:///{database}")
    bus.ensure_topics(topics(SETTINGS).all())
    made = make_run(run="first", n_frames=n_frames)
    run: RunRecord = msgspec.structs.replace(made.run, state=state, finished_s=None if state == "running" else 1.0)
    records: list[Observation | Window | TrackEvent] = [*made.observations, *made.windows, *made.tracks]
    producer = bus.producer(transactional_id="t")
    producer.commit([*(outgoing(r, SETTINGS, "archive") for r in records if seen), outgoing(run, SETTINGS)])
    producer.close()
    bus.close()
    return database


def refusal(folder: Path, *arguments: str, code: int) -> str:
    """The one sentence on standard error."""
    done = streamer("report", *arguments, cwd=folder)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1), done.stderr
    assert "Traceback" not in done.stderr
    assert not list(folder.glob("*.html"))
    assert not list(folder.glob(".*part"))
    return done.stderr


def test_unknown_runs_and_wrong_places_are_wrong_use(tmp_path: Path) -> None:
    published(tmp_path)
    assert "run second is not on this bus" in refusal(tmp_path, "second", code=2)
    (tmp_path / "file").write_text("x")
    assert "it is a file; give a folder" in refusal(tmp_path, "--figures", "file", code=2)
    assert "cannot write file/page.html" in refusal(tmp_path, "--out", "file/page.html", code=2)


@pytest.mark.parametrize(
    ("kept", "says"),
    [(0.0, "not a bus"), (0.4, "is damaged"), (0.9, "is damaged"), (None, "there is no bus")],
    ids=["empty", "cut early", "cut late", "missing"],
)
def test_a_half_written_database_is_named(tmp_path: Path, kept: float | None, says: str) -> None:
    database = published(tmp_path, n_frames=200)
    whole = database.read_bytes()
    for path in tmp_path.glob("affect.db*"):
        path.unlink()
    if kept is not None:
        database.write_bytes(whole[: int(kept * len(whole))])
    said = refusal(tmp_path, code=1)
    assert says in said
    assert "affect.db" in said


def test_what_is_no_bus_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "affect.db").write_text("dear diary " * 500)
    assert "not an SQLite file" in refusal(tmp_path, code=1)


def test_brokers_that_are_away_are_named(tmp_path: Path) -> None:
    assert "127.0.0.1:9 do not answer" in refusal(tmp_path, "--bus", "kafka://127.0.0.1:9?wait_s=1", code=1)


def test_a_run_that_is_not_over_is_shown_as_far_as_it_is(tmp_path: Path) -> None:
    published(tmp_path, state="running")
    done = streamer("report", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert '<span class="state running">running</span>' in (tmp_path / "report.html").read_text("utf-8")


def test_a_run_without_faces_makes_a_page_and_no_figures(tmp_path: Path) -> None:
    published(tmp_path, seen=False)
    done = streamer("report", "--figures", "figures", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stderr == "streamer: no face was found in these runs, so there are no figures\n"
    assert "No faces were found in two sources." in (tmp_path / "report.html").read_text("utf-8")
    assert not (tmp_path / "figures").exists()


def test_figures_are_written_beside_the_page_and_told(tmp_path: Path) -> None:
    published(tmp_path)
    done = streamer("report", "--figures", "for the paper", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["runs"] == ["first"]
    assert told["bytes"] == (tmp_path / "report.html").stat().st_size
    found = {str(path.relative_to(tmp_path)) for path in (tmp_path / "for the paper").rglob("*.*")}
    assert set(told["figures"]) == found
    assert "for the paper/first/lobby-camera.mp4-timeline-track-1.svg" in found
