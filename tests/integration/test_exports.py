"""Exports of a real run, read back by the tools they are for: the same numbers as on the topics."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import cv2
import pandas
import pyarrow.parquet
import pympi
import pytest
import webvtt

from streamer.cli import main
from streamer.export import FORMATS
from streamer.export.labels import face_name
from streamer.messages import Observation
from streamer.types import EXPRESSIONS
from tests import abaw
from tests.documents import blocks
from tests.eaf import checked_tiers
from tests.product import LEAVES, NO_FACE, TWO_FACES, needs_clips, observations, runs, streamer

pytestmark = [needs_clips, pytest.mark.models, pytest.mark.usefixtures("models")]
CLIPS = {"leaves": LEAVES, "none": NO_FACE, "two": TWO_FACES}
NO_PORT = 9
Said = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, models: None) -> Path:
    """A folder with the bus of one run of three clips: two faces, one that leaves, none."""
    folder = tmp_path_factory.mktemp("exports")
    done = streamer("run", *(f"{name}={path}" for name, path in CLIPS.items()), "--quiet", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def said(place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Said:
    """`streamer ARGUMENTS` in that folder: exit code, standard output, standard error."""
    monkeypatch.chdir(place)

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert isinstance(left.value.code, int)
        return left.value.code, out, err

    return run


def on_the_topics(place: Path) -> list[Observation]:
    return sorted(observations(place / "affect.db"), key=lambda o: o.stream)


def n_frames(path: Path) -> int:
    """The frames as another library counts them."""
    capture = cv2.VideoCapture(str(path))
    n = 0
    while capture.read()[0]:
        n += 1
    capture.release()
    return n


def test_tables_read_by_pandas_and_pyarrow(place: Path, said: Said, tmp_path: Path) -> None:
    expected = on_the_topics(place)
    for name in ("faces.csv", "faces.jsonl", "faces.parquet"):
        assert said("export", "--out", tmp_path / name)[0] == 0
    tables = [
        pandas.read_csv(tmp_path / "faces.csv"),
        pandas.read_json(tmp_path / "faces.jsonl", lines=True, precise_float=True),
        pandas.read_parquet(tmp_path / "faces.parquet"),
    ]
    for table in tables:
        assert table["id"].tolist() == [o.id for o in expected]
        assert table["frame"].tolist() == [o.frame for o in expected]
        assert table["valence"].tolist() == [o.valence for o in expected]
        assert table[[f"p_{name.lower()}" for name in EXPRESSIONS]].to_numpy().tolist() == [
            list(o.probs) for o in expected
        ]
        assert not table["filled"].any()
    read = pyarrow.parquet.read_table(tmp_path / "faces.parquet")
    assert read.column("label").to_pylist() == [o.label for o in expected]


def test_frames_are_those_that_another_library_counts(place: Path, said: Said, tmp_path: Path) -> None:
    counted = {name: n_frames(path) for name, path in CLIPS.items()}
    n = sum(counted.values())
    code, out, err = said("export", "--format", "abaw-expression", "--out", tmp_path / "e")
    assert (code, out) == (0, "")
    assert err.splitlines() == [
        "streamer: none has no face: each of its frames is filled in as Neutral",
        f"{n} lines in 3 files in {tmp_path / 'e'}",
    ]
    assert said("export", "--format", "abaw-va", "--out", tmp_path / "va")[0] == 0
    assert said("export", "--format", "abaw-expression-2022", "--out", tmp_path)[0] == 0
    assert said("export", "--fill", "--out", tmp_path / "frames.csv")[0] == 0
    frames = pandas.read_csv(tmp_path / "frames.csv")
    together = abaw.all_expressions(tmp_path / "predictions.txt", n)
    for name, n_own in counted.items():
        classes = abaw.expressions(tmp_path / "e" / f"{name}.txt", n_own)
        ratings = abaw.ratings(tmp_path / "va" / f"{name}.txt", n_own)
        own = frames[frames["stream"] == name]
        assert own["frame"].tolist() == list(range(n_own))
        assert own["label"].tolist() == [EXPRESSIONS[code] for code in classes]
        assert list(zip(own["valence"], own["arousal"], strict=True)) == ratings
        assert together[name] == classes
    assert frames[frames["stream"] == "none"]["filled"].all()
    left = frames[frames["stream"] == "leaves"]
    assert 0 < left["filled"].sum() < len(left)
    largest: dict[tuple[str, int | None], Observation] = {}
    for o in on_the_topics(place):
        before = largest.get((o.stream, o.frame))
        if before is None or o.box_xywh[2] * o.box_xywh[3] > before.box_xywh[2] * before.box_xywh[3]:
            largest[o.stream, o.frame] = o
    kept = frames[~frames["filled"]]
    good = [o for o in largest.values() if o.label is not None]
    assert sorted(kept["id"]) == sorted(o.id for o in good)


def test_captions_and_annotations_say_who_shows_what_when(place: Path, said: Said, tmp_path: Path) -> None:
    for name in ("webvtt", "webvtt-metadata", "elan"):
        hold = () if name == "webvtt-metadata" else ("--hold", "0")
        code, _, err = said("export", "--format", name, "--out", tmp_path / name, *hold)
        assert (code, err.count("\n")) == (0, 1)
    for stream in CLIPS:
        own = [o for o in on_the_topics(place) if o.stream == stream]
        shown = [
            (_ms(cue.start), _ms(cue.end), cue.voice, cue.text)
            for cue in webvtt.read(tmp_path / "webvtt" / f"{stream}.vtt")
        ]
        tiers = checked_tiers(tmp_path / "elan" / f"{stream}.eaf")
        theirs = pympi.Elan.Eaf(str(tmp_path / "elan" / f"{stream}.eaf"))
        assert list(tiers) == sorted({face_name(o.track) for o in own}) == sorted(theirs.get_tier_names())
        for o in own:
            at_ms = round(o.media_time_s * 1000) + 0.5
            expected = [] if o.label is None else [o.label]
            assert [
                text for start, end, who, text in shown if who == face_name(o.track) and start <= at_ms < end
            ] == expected
            assert [text for start, end, text in tiers[face_name(o.track)] if start <= at_ms < end] == expected
        told = [json.loads(cue.text) for cue in webvtt.read(tmp_path / "webvtt-metadata" / f"{stream}.vtt")]
        faces = [
            (frame["frame"], face["track"]["number"], face["valence"]) for frame in told for face in frame["faces"]
        ]
        assert sorted(faces) == sorted((o.frame, o.track.number, o.valence) for o in own)


def _ms(clock: str) -> int:
    hours, minutes, seconds = clock.split(":")
    return round((int(hours) * 3600 + int(minutes) * 60) * 1000 + float(seconds) * 1000)


@pytest.mark.parametrize("format_", FORMATS)
def test_each_kind_of_bad_input_is_one_sentence(format_: str, place: Path, said: Said, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.db"
    whole = (place / "affect.db").read_bytes()
    damaged.write_bytes(whole[: len(whole) // 2])
    out = tmp_path / "out"
    wanted = ("export", "--format", format_, "--out", out)
    for arguments, code, says in (
        (("--stream", "nobody"), 2, "stream nobody is not on this bus"),
        (("--run", "never"), 2, "run never is not on this bus"),
        (("--track", "99"), 2, "no face has the number 99"),
        (("--bus", f"sqlite:///{tmp_path}/none.db"), 1, "there is no bus at"),
        (("--bus", f"sqlite:///{damaged}"), 1, "is damaged"),
    ):
        found, printed, err = said(*wanted, *arguments)
        assert (found, printed, err.count("\n")) == (code, "", 1), err
        assert says in err
        assert err.startswith("streamer: ")
    assert not out.exists()
    found, _, err = said(*wanted, "--stream", "none")
    assert found == 0
    assert ("none has no face" if format_.startswith("abaw") else "what was chosen has no observations") in err


def test_a_broker_that_is_away_is_one_sentence(said: Said, tmp_path: Path) -> None:
    """Of one format: whatever it is, the bus is read first, and a broker is waited for."""
    found, _, err = said("export", "--bus", f"kafka://127.0.0.1:{NO_PORT}", "--format", "abaw-va", "--out", tmp_path)
    assert (found, err.count("\n")) == (1, 1)
    assert "do not answer" in err
    assert list(tmp_path.iterdir()) == []


def test_what_was_written_is_told_as_json(place: Path, said: Said, tmp_path: Path) -> None:
    code, out, err = said("export", "--format", "webvtt", "--out", tmp_path, "--json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert told["files"] == [str(tmp_path / f"{name}.vtt") for name in sorted(CLIPS)]
    assert (told["kind"], told["format"], told["skipped"]) == ("observations", "webvtt", {})
    code, out, _ = said("export", "--format", "elan", "--stream", "two", "--out", "-")
    assert code == 0
    (tmp_path / "two.eaf").write_text(out, encoding="utf-8")
    assert len(checked_tiers(tmp_path / "two.eaf")) == 2


def test_the_programs_in_the_document_print_the_numbers_of_the_run(
    place: Path, said: Said, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said("export", "--out", "faces.parquet")[0] == 0
    programs = [block for block in blocks("python") if block.page == "docs/outputs.md"]
    assert len(programs) == 2
    for program in programs:
        exec(compile(program.text, str(program), "exec"), {"__name__": "__main__"})
    printed = capsys.readouterr().out
    [record] = [run for run in runs(place / "affect.db").values() if run.sources[0].stream == "two"]
    assert re.search(rf"^two +{record.run} ", printed, re.MULTILINE)
    n = sum(n_frames(path) for path in CLIPS.values())
    assert f"{n} frames, " in printed
