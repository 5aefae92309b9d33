from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from streamer.errors import SourceMissing, UsageError
from streamer.source import natural
from streamer.sources import parse, parse_all


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_a_file_is_an_archive_named_by_its_stem(tmp_path: Path) -> None:
    touch(tmp_path, "clip one.mp4")
    (source,) = parse(str(tmp_path / "clip one.mp4"))
    assert (source.stream, source.kind, source.mode) == ("clip_one", "file", "archive")
    assert source.url == str(tmp_path / "clip one.mp4")
    assert parse(str(tmp_path / "clip one.mp4"), "live")[0].mode == "live"


def test_a_folder_gives_its_videos_in_natural_order(tmp_path: Path) -> None:
    touch(tmp_path, "a10.mp4", "a2.MKV", "notes.txt", ".hidden.mp4", "sub/b.gif", ".git/c.mp4", "cover.jpg")
    assert [source.stream for source in parse(str(tmp_path))] == ["a2", "a10", "b"]


def test_a_folder_of_images_is_one_source(tmp_path: Path) -> None:
    folder = tmp_path / "shot"
    touch(folder, "1.png", "2.jpg", "list.txt")
    (source,) = parse(str(folder))
    assert (source.stream, source.kind, source.rate) == ("shot", "images", Fraction(25))
    (slow,) = parse(f"{folder}?fps=12.5")
    assert (slow.stream, slow.rate, slow.url) == ("shot", Fraction(25, 2), source.url)
    with pytest.raises(UsageError, match="frames per second"):
        parse(f"{folder}?fps=0")


def test_one_image_is_a_source_of_one_picture(tmp_path: Path) -> None:
    touch(tmp_path, "face.JPG")
    assert parse(str(tmp_path / "face.JPG"))[0].kind == "images"


def test_a_folder_without_either_is_missing(tmp_path: Path) -> None:
    touch(tmp_path, "notes.txt")
    with pytest.raises(SourceMissing, match="holds no videos or images"):
        parse(str(tmp_path))
    with pytest.raises(SourceMissing, match="holds no images"):
        parse(f"{tmp_path}?fps=5")


def test_patterns(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "b.mov", "list.csv", "x/c.mp4", "raw/1.bin")
    assert [source.stream for source in parse(str(tmp_path / "*"))] == ["a", "b"]
    assert [source.stream for source in parse(str(tmp_path / "**/*.mp4"))] == ["a", "c"]
    assert [source.stream for source in parse(str(tmp_path / "raw/*.bin"))] == ["1"]
    with pytest.raises(SourceMissing, match="matches no file"):
        parse(str(tmp_path / "*.avi"))
    touch(tmp_path, "odd[1].mp4")
    assert parse(str(tmp_path / "odd[1].mp4"))[0].stream == "odd_1_"


def test_a_source_given_twice_is_read_once(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "b.mp4")
    sources = parse_all([str(tmp_path / "a.mp4"), str(tmp_path)])
    assert [source.stream for source in sources] == ["a", "b"]


def test_names_given_by_the_user(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "b=c.mp4")
    path = tmp_path / "a.mp4"
    assert parse(f"door.1={path}")[0].stream == "door.1"
    assert parse(str(tmp_path / "b=c.mp4"))[0].stream == "b_c"
    both = parse_all([f"front={path}", str(path)])
    assert [source.stream for source in both] == ["front", "a"]
    with pytest.raises(UsageError, match="names 2 sources"):
        parse(f"x={tmp_path}")
    with pytest.raises(UsageError, match="given to two sources"):
        parse_all([f"x={path}", f"x={tmp_path / 'b=c.mp4'}"])
    assert [s.stream for s in parse_all([f"a={tmp_path / 'b=c.mp4'}", str(path)])] == ["a", "a.mp4"]


def test_a_relative_file_whose_whole_name_holds_an_equals_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "x=y.mp4", "y.mp4")
    monkeypatch.chdir(tmp_path)
    assert parse("x=y.mp4")[0].url == str(tmp_path / "x=y.mp4")
    assert parse("z=y.mp4")[0].url == str(tmp_path / "y.mp4")


def test_http_files() -> None:
    (source,) = parse("https://user:pw@host.example/v/My%20clip.mp4?token=abc&x=1")
    assert (source.stream, source.kind, source.mode) == ("My_clip", "http", "archive")
    assert source.url.startswith("https://user:pw@")
    assert source.name == "https://***@host.example/v/My%20clip.mp4?token=***&x=1"
    assert "pw" not in repr(source)
    assert "abc" not in repr(source)
    assert parse("http://host.example")[0].stream == "host.example"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="camera paths differ elsewhere")
def test_cameras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for text in ("0", "webcam://0", "v4l2:///dev/video0"):
        (source,) = parse(text)
        assert (source.stream, source.url, source.kind, source.mode) == ("webcam0", "/dev/video0", "webcam", "live")
    touch(tmp_path, "0")
    assert parse("0")[0].kind == "file"
    with pytest.raises(UsageError, match="webcam://0"):
        parse("webcam://front")


def test_test_sources() -> None:
    (source,) = parse("testsrc://640x360@12.5?duration=10&pattern=smptebars")
    assert (source.stream, source.kind, source.mode, source.rate) == ("smptebars", "testsrc", "live", Fraction(25, 2))
    assert parse("testsrc://64x48", "archive")[0].mode == "archive"


@pytest.mark.parametrize(
    "text",
    [
        "testsrc://640x0",
        "testsrc://64x48?pattern=movie",
        "testsrc://64x48?duration=-1",
        "testsrc://64x48?duration=1:filename=/etc/passwd",
        "testsrc://64x48?file=x",
        "testsrc://64x48@0",
        "testsrc://",
        "",
        "a\nb",
    ],
)
def test_wrong_use(text: str) -> None:
    with pytest.raises(UsageError):
        parse(text)


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(SourceMissing, match=r"nothing\.mp4 does not exist"):
        parse(str(tmp_path / "nothing.mp4"))


def test_names_that_are_no_utf8(tmp_path: Path) -> None:
    raw = os.fsencode(tmp_path) + b"/caf\xe9.mp4"
    try:
        Path(os.fsdecode(raw)).write_bytes(b"x")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    (source,) = parse(str(tmp_path))
    assert source.stream == "caf~e9"
    assert source.name.endswith("caf\\udce9.mp4")
    source.name.encode("utf-8")
    assert os.fsencode(source.url) == raw


def test_natural_order() -> None:
    names = ["f10.png", "f9.png", "f1.png", "a.png", "10", "9x"]
    assert sorted(names, key=natural) == ["9x", "10", "a.png", "f1.png", "f9.png", "f10.png"]


def test_parsing_imports_neither_pyav_nor_an_engine() -> None:
    code = "import sys, streamer.sources; print([m for m in ('av', 'openvino', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
