"""`streamer annotate` as its users type it: what it says, and with which exit code."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import pytest

from streamer.bus.open import open_bus
from tests.unit.annotate.scenes import Remembered, clip, seen, times
from tests.unit.cli.verbs import streamer


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip(tmp_path_factory.mktemp("video") / "talk.mp4", pts=range(10), sound="aac")


@pytest.fixture
def bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Remembered:
    monkeypatch.chdir(tmp_path)
    return Remembered(tmp_path)


def test_the_run_is_found_and_named(bus: Remembered, video: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bus.run(video, run="r-old", finished_s=500.0)
    bus.run(video, run="r-new", stream="door")
    code, out, err = streamer(capsys, "annotate", str(video))
    assert code == 0
    assert err == ""
    first, second, third = out.splitlines()
    assert first.startswith("10 frames, 10 faces drawn, 0:00 of video in ")
    assert first.endswith("x real time")
    assert second == "drawn     run r-new of stream door, the newest of 2 (--run chooses another)"
    assert third == "video     talk-annotated.mp4"
    assert times(Path("talk-annotated.mp4")) == times(video)


def test_json_has_the_figures(bus: Remembered, video: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bus.run(video)
    code, out, err = streamer(capsys, "annotate", str(video), "--json", "--out", "shown.mp4", "--thumbnails", "faces")
    assert (code, err) == (0, "")
    told: dict[str, Any] = json.loads(out)
    assert told.pop("wall_s") > 0
    assert told.pop("size_bytes") == Path("shown.mp4").stat().st_size
    assert told == {
        "video": "shown.mp4", "bus": "sqlite:///affect.db", "run": "r-1", "stream": "clip", "state": "done", "runs": 1,
        "frames": 10, "faces": 10, "observations": 10, "duration_s": 0.4, "width": 640, "height": 480,
        "codec": "libx264", "sound": "copied", "thumbnails": ["faces/clip-track1.jpg"], "failure": None,
    }  # fmt: skip


def test_quiet_says_nothing_where_all_is_well(bus: Remembered, video: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bus.run(video)
    assert streamer(capsys, "annotate", str(video), "--quiet") == (0, "", "")
    code, out, err = streamer(capsys, "annotate", str(video), "--quiet")
    assert (code, out) == (2, "")
    assert (
        err
        == "streamer: talk-annotated.mp4 is there already: choose another name with --out, or replace it with --force\n"
    )
    assert streamer(capsys, "annotate", str(video), "--quiet", "--force") == (0, "", "")


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ("running", "run r-1 of stream clip goes on still: what it saw until then is drawn"),
        ("interrupted", "run r-1 of stream clip was interrupted: what it saw until then is drawn"),
        ("failed", "run r-1 of stream clip failed: what it saw until then is drawn"),
    ],
)
def test_a_run_that_is_not_done_is_drawn_as_far_as_it_came(
    bus: Remembered, video: Path, capsys: pytest.CaptureFixture[str], state: str, sentence: str
) -> None:
    bus.run(video, lambda number, t: [seen()] if number < 4 else [], state=state)
    code, out, err = streamer(capsys, "annotate", str(video))
    assert code == 0
    assert err == f"streamer: {sentence}\n"
    assert out.startswith("10 frames, 4 faces drawn")


def test_a_run_without_a_record_is_drawn_and_told(
    bus: Remembered, video: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bus.run(video, recorded=False)
    code, _, err = streamer(capsys, "annotate", str(video))
    assert code == 0
    assert err == "streamer: nothing on this bus says how run r-1 of stream clip went: what it saw is drawn\n"


def test_what_fits_no_frame_is_told(bus: Remembered, video: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = bus.run(video)
    bus.write([msgspec.structs.replace(written[-1], id="f" * 32, pts=999_999, seq=99)])
    code, _, err = streamer(capsys, "annotate", str(video))
    assert code == 0
    assert err == "streamer: 1 observation of 11 fit no frame of the video and are left out\n"


def test_a_cut_file_is_drawn_to_its_end_and_fails(
    bus: Remembered, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    content = clip(tmp_path / "whole.mp4", options={"movflags": "faststart"}, codec="mpeg4").read_bytes()
    Path("cut.mp4").write_bytes(content[: len(content) * 3 // 4])
    bus.run(Path("cut.mp4"))
    code, out, err = streamer(capsys, "annotate", "cut.mp4", "--json")
    told = json.loads(out)
    assert code == 1
    assert told["failure"]["cause"] == "truncated"
    assert 0 < told["frames"] < 50
    assert "cut.mp4 ends too early" in err
    assert err.endswith(f"{told['frames']} frames before it are in cut-annotated.mp4\n")
    assert len(times(Path("cut-annotated.mp4"))) == told["frames"]


@pytest.mark.parametrize(
    ("video_name", "options", "exit_code", "sentence"),
    [
        ("none.mp4", (), 1, "none.mp4 does not exist"),
        ("empty.mp4", (), 1, "empty.mp4 is empty"),
        ("text.mp4", (), 1, "text.mp4 is no video that FFmpeg can read"),
        ("sound.mp4", (), 1, "sound.mp4 holds audio but no video"),
        ("talk.mp4", (), 2, "talk.mp4 was never analysed on this bus"),
        ("talk.mp4", ("--run", "r-9"), 2, "run r-9 is not on this bus"),
        ("talk.mp4", ("--bus", "sqlite:///away.db"), 1, "there is no bus at away.db"),
        ("talk.mp4", ("--bus", "sqlite:///half.db"), 1, "half.db is damaged"),
        ("talk.mp4", ("--bus", "sqlite:///text.mp4"), 1, "text.mp4 is not an SQLite file"),
        ("talk.mp4", ("--bus", "sqlite:///bare.db"), 1, "affect.runs"),
        ("talk.mp4", ("--bus", "ftp://x"), 2, "must begin with sqlite:// or kafka://"),
        ("talk.mp4", ("--out", "text.mp4/x.mp4"), 2, "cannot write text.mp4/x.mp4"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_leaves_nothing(
    bus: Remembered,
    video: Path,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    video_name: str,
    options: tuple[str, ...],
    exit_code: int,
    sentence: str,
) -> None:
    Path("talk.mp4").write_bytes(video.read_bytes())
    Path("empty.mp4").touch()
    Path("text.mp4").write_text("no video\n" * 100)
    _sound_only(Path("sound.mp4"))
    _half(bus, Path("half.db"), clip(tmp_path / "long.mp4", codec="mpeg4"))
    open_bus("sqlite:///bare.db").close()
    if "text.mp4/x.mp4" in options:
        bus.run(Path("talk.mp4"))
    before = set(tmp_path.iterdir())
    code, out, err = streamer(capsys, "annotate", video_name, *options)
    assert (code, out) == (exit_code, "")
    assert sentence in err
    assert err.startswith("streamer: ")
    assert err.count("\n") == 1
    assert {path for path in tmp_path.iterdir() if not path.name.endswith(("-wal", "-shm"))} == before


def _sound_only(path: Path) -> None:
    import av

    with av.open(str(path), "w") as out:
        voice = out.add_stream("aac", rate=44100, layout="mono")
        for _ in range(10):
            frame = av.AudioFrame(format="s16", layout="mono", samples=1024)
            frame.sample_rate = 44100
            for plane in frame.planes:
                plane.update(bytes(plane.buffer_size))
            out.mux(voice.encode(frame))
        out.mux(voice.encode(None))


def _half(bus: Remembered, path: Path, video: Path) -> None:
    """A database that was copied while it was written, or half of it only."""
    bus.run(video, run="r-long")
    source = sqlite3.connect("affect.db")
    source.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    source.close()
    content = Path("affect.db").read_bytes()
    path.write_bytes(content[: len(content) // 2])
