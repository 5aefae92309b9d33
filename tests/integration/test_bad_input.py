"""What bad input and bad luck get: one clear sentence, the right exit code, and no harm to anybody else."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import wave
from pathlib import Path

import av
import pytest

from streamer.bench.clips import loop_clip
from tests.product import NO_FACE, ONE_FACE, needs_clips, observations, streamer
from tests.videos import pattern

pytestmark = [pytest.mark.models, pytest.mark.usefixtures("models")]


def failure(done: subprocess.CompletedProcess[str], stream: str) -> dict[str, str]:
    """The failed source of a run printed with --json; its message is one sentence without a traceback."""
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    results = {one["stream"]: one for one in json.loads(done.stdout)["sources"]}
    found: dict[str, str] = results[stream]
    assert found["state"] == "failed"
    assert "\n" not in found["message"]
    return found


def test_each_kind_of_bad_file_is_named_and_the_good_one_is_done(tmp_path: Path) -> None:
    pattern(tmp_path / "good.mp4")
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("no video at all\n" * 100)
    with wave.open(str(tmp_path / "audio.wav"), "wb") as audio:
        audio.setnchannels(1)
        audio.setsampwidth(2)
        audio.setframerate(8000)
        audio.writeframes(bytes(16000))
    whole = pattern(tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "whole.mp4").unlink()
    names = ["gone.mp4", "empty.mp4", "text.mp4", "audio.wav", "cut.mp4", "good.mp4"]
    done = streamer("run", *names, "--json", cwd=tmp_path)
    causes = {
        "gone.mp4": "missing",
        "empty": "empty",
        "text": "not_a_video",
        "audio": "no_video_stream",
        "cut": "truncated",
    }
    for stream, cause in causes.items():
        assert failure(done, stream)["cause"] == cause
    good = next(one for one in json.loads(done.stdout)["sources"] if one["stream"] == "good")
    assert (good["state"], good["analysed"]) == ("done", 50)


@needs_clips
def test_a_truncated_file_keeps_the_frames_before_the_cut(tmp_path: Path) -> None:
    looped = tmp_path / "loop.mkv"
    loop_clip(ONE_FACE, looped, 4.0)
    content = looped.read_bytes()
    (tmp_path / "cut.mkv").write_bytes(content[: len(content) * 2 // 3])
    found = failure(streamer("run", "cut.mkv", "--json", cwd=tmp_path), "cut")
    assert found["cause"] == "truncated"
    assert len(observations(tmp_path / "affect.db")) == int(found["faces"]) > 50
    again = failure(streamer("run", "cut.mkv", "--json", cwd=tmp_path), "cut")
    assert again["cause"] == "truncated"
    assert len(observations(tmp_path / "affect.db")) == int(found["faces"])


def test_a_resolution_that_changes_fails_the_stream_and_keeps_what_was(tmp_path: Path) -> None:
    small = pattern(tmp_path / "small.ts", size=(320, 240), codec="mpeg2video").read_bytes()
    large = pattern(tmp_path / "large.ts", size=(640, 480), codec="mpeg2video").read_bytes()
    (tmp_path / "both.ts").write_bytes(small + large)
    found = failure(streamer("run", "both.ts", "--json", cwd=tmp_path), "both")
    assert found["cause"] == "resolution_changed"
    assert int(found["analysed"]) >= 45


def test_absurd_dimensions_are_refused(tmp_path: Path) -> None:
    (tmp_path / "limits.yaml").write_text("decode: {max_pixels: 10000}\n")
    pattern(tmp_path / "wide.mp4")
    done = streamer("run", "wide.mp4", "--config", "limits.yaml", "--json", cwd=tmp_path)
    assert failure(done, "wide")["cause"] == "absurd_dimensions"


def test_a_name_that_is_no_utf8_is_read(tmp_path: Path) -> None:
    pattern(tmp_path / "plain.mp4")
    odd = os.fsencode(tmp_path) + b"/caf\xe9.mp4"
    os.rename(os.fsencode(tmp_path / "plain.mp4"), odd)  # noqa: PTH104  (Path takes no bytes)
    process = subprocess.run(
        [sys.executable.encode(), b"-m", b"streamer", b"run", odd, b"--json"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    [result] = json.loads(process.stdout)["sources"]
    assert (result["stream"], result["analysed"]) == ("caf~e9", 50)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run"], "SOURCE"),
        (["run", "testsrc://1x1", "--mode", "sideways"], "sideways"),
        (["run", "testsrc://64x64?duration=1", "--bus", "ftp://host"], "sqlite://"),
        (["run", "testsrc://64x64?duration=1", "--model", "no-such-net"], "no-such-net"),
        (["run", "testsrc://64x64?duration=1", "--report", "no/such/folder/page.html"], "folder"),
        (["run", "testsrc://64x64?duration=1", "--config", "absent.yaml"], "absent.yaml"),
        (["nonsense"], "nonsense"),
    ],
)
def test_wrong_options_are_wrong_use(arguments: list[str], says: str, tmp_path: Path) -> None:
    done = streamer(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_key_in_the_configuration_is_named(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("detect: {score_treshold: 0.5}\n")
    done = streamer("check", "c.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert "score_treshold" in done.stderr


def test_an_unwritable_bus_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    done = streamer("run", pattern(tmp_path / "a.mp4"), "--bus", f"sqlite:///{tmp_path}/file/affect.db", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1


@needs_clips
def test_a_full_disk_ends_the_run_with_a_clear_error_and_a_sound_database(tmp_path: Path) -> None:
    """The file size limit of the process stands in for the disk: writes beyond it fail as on a full one."""
    looped = tmp_path / "long.mkv"
    loop_clip(ONE_FACE, looped, 10.0)

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (350_000, 350_000))

    process = subprocess.run(
        [sys.executable, "-m", "streamer", "run", str(looped), "--quiet"],
        cwd=tmp_path, capture_output=True, text=True, preexec_fn=small_files, check=False, timeout=120,
    )  # fmt: skip
    assert process.returncode == 1
    assert "Traceback" not in process.stderr
    assert "space" in process.stderr
    kept = len(observations(tmp_path / "affect.db"))
    again = streamer("run", looped, "--quiet", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    n_frames = len(observations(tmp_path / "affect.db"))
    with av.open(str(looped)) as container:
        assert n_frames == sum(1 for _ in container.decode(video=0)) > kept


@needs_clips
def test_a_password_in_an_address_is_shown_nowhere(tmp_path: Path) -> None:
    done = streamer("run", "http://user:hunter2@127.0.0.1:9/clip.mp4", NO_FACE, "--json", cwd=tmp_path)
    assert failure(done, "clip")["cause"] == "unreachable"
    assert "hunter2" not in done.stdout + done.stderr
    assert b"hunter2" not in b"".join(path.read_bytes() for path in tmp_path.glob("affect.db*"))
