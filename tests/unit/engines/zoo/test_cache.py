import multiprocessing
from pathlib import Path

import pytest

from engines.zoo.cache import CACHE_VARIABLE, cache_folder, locked, sha256_of, sha256_of_bytes, write_atomically


def test_the_environment_is_read_when_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "one"))
    assert cache_folder() == tmp_path / "one"
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "two"))
    assert cache_folder() == tmp_path / "two"
    assert cache_folder(tmp_path) == tmp_path
    monkeypatch.delenv(CACHE_VARIABLE)
    assert cache_folder().name == "affect-streamer"


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    write_atomically(path, b"old")
    with pytest.raises(TypeError):
        write_atomically(path, "no bytes")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert [one.name for one in tmp_path.iterdir()] == ["weights"]


def test_sha256_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    write_atomically(tmp_path / "weights", b"abc")
    assert sha256_of(tmp_path / "weights") == sha256_of_bytes(b"abc")
    assert sha256_of_bytes(b"abc").startswith("ba7816bf")


def _append_slowly(folder: Path, word: str) -> None:
    for _ in range(20):
        with locked(folder):
            path = folder / "log"
            before = path.read_text() if path.exists() else ""
            path.write_text(before + word)


def test_the_lock_keeps_two_processes_apart(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=_append_slowly, args=(tmp_path, word)) for word in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    log = (tmp_path / "log").read_text()
    assert (log.count("a"), log.count("b")) == (20, 20)
