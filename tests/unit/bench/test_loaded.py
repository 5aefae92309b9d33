"""Processes on every core: what they say, and that none is left."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from streamer import machine
from streamer.bench.loaded import on_every_core
from streamer.errors import StreamerError

PROGRAM = """
import json, os, pathlib, sys, time
place, how = pathlib.Path(sys.argv[1]), sys.argv[2]
(place / f"{os.getpid()}.pid").touch()
while how != "answer" and len(list(place.glob("*.pid"))) < int(sys.argv[3]):
    time.sleep(0.01)
if how == "fail" and (place / f"{os.getpid()}.pid") == min(place.glob("*.pid")):
    sys.exit("it is broken")
if how != "answer":
    time.sleep(600)
print(json.dumps({"pid": os.getpid()}))
"""


@pytest.fixture(autouse=True)
def two_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "measuring_program.py").write_text(PROGRAM)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(machine, "n_cores", lambda: 2)


def pids(place: Path) -> list[int]:
    return [int(path.stem) for path in place.glob("*.pid")]


def test_each_core_has_one_and_says_what_it_found(tmp_path: Path) -> None:
    found = on_every_core("measuring_program", [str(tmp_path), "answer", "2"], "it")
    assert sorted(one["pid"] for one in found) == sorted(pids(tmp_path))
    assert len(found) == 2


def test_one_that_fails_takes_the_others_along(tmp_path: Path) -> None:
    with pytest.raises(StreamerError, match="measuring it failed: it is broken"):
        on_every_core("measuring_program", [str(tmp_path), "fail", "2"], "it")
    assert len(pids(tmp_path)) == 2
    assert not any(psutil.pid_exists(pid) for pid in pids(tmp_path))


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A test run that was started from a shell's background ignores Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_leaves_none_behind(tmp_path: Path) -> None:
    def interrupt() -> None:
        deadline_s = time.monotonic() + 60
        while len(pids(tmp_path)) < 2 and time.monotonic() < deadline_s:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        on_every_core("measuring_program", [str(tmp_path), "wait", "2"], "it")
    thread.join()
    assert len(pids(tmp_path)) == 2
    assert not any(psutil.pid_exists(pid) for pid in pids(tmp_path))
