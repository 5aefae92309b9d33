"""The product as its users have it: the command in a process of its own, and what it left on the bus."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
import pytest

from streamer.bus.open import open_bus
from streamer.bus.protocol import Incoming
from streamer.bus.read import drain
from streamer.messages import Observation, RunRecord, Status, TrackEvent, Window, decode

ROOT = Path(__file__).parents[1]
CLIPS = ROOT.parent / "shared" / "clips"
ONE_FACE = CLIPS / "pyfeat_single_face.mp4"
TWO_FACES = CLIPS / "intel_head-pose-face-detection-female-and-male.gif"
NO_FACE = CLIPS / "pyfeat_no_face.mp4"
LEAVES = CLIPS / "pyfeat_face_noface.mov"
# Every warning of ours is an error; kafka-python 3.0 reads its schemas in a way that Python 3.11 deprecates.
WARNINGS = "error,ignore:read_text is deprecated:DeprecationWarning,ignore:open_text is deprecated:DeprecationWarning"
RESULTS = {"observations": Observation, "windows": Window, "tracks": TrackEvent}

needs_clips = pytest.mark.skipif(not CLIPS.is_dir(), reason="the shared clips are not on this machine")


def start(*arguments: str | Path, cwd: Path, stderr: int = subprocess.PIPE) -> subprocess.Popen[str]:
    """`streamer ARGUMENTS`, started."""
    return subprocess.Popen(
        [sys.executable, "-m", "streamer", *map(str, arguments)],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": WARNINGS},
        preexec_fn=heeding_interrupts,
    )


def heeding_interrupts() -> None:
    """A program started from a shell's background inherits that Ctrl-C is ignored: not the ones under test."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def streamer(*arguments: str | Path, cwd: Path, timeout_s: float = 240) -> subprocess.CompletedProcess[str]:
    """`streamer ARGUMENTS`, run to its end."""
    process = start(*arguments, cwd=cwd)
    try:
        out, err = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        pytest.fail(f"streamer {arguments} did not end in {timeout_s} s:\n{out}\n{err}")
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def children_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The worker processes of a running `streamer run`."""
    try:
        return [c for c in psutil.Process(process.pid).children() if "streamer.worker.child" in " ".join(c.cmdline())]
    except psutil.Error:
        return []


def committing_often(folder: Path) -> tuple[str, Path]:
    """Options for a run that is to be killed in the middle: a fast machine ends a clip within one usual interval."""
    config = folder / "often.yaml"
    config.write_text("checkpoint: {archive_interval_s: 0.2}\n")
    return "--config", config


def until(holds: Callable[[], bool], what: str, timeout_s: float = 60) -> None:
    """Wait for something that will happen, and fail by a deadline."""
    deadline_s = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > deadline_s:
            pytest.fail(f"{what} did not happen in {timeout_s} s")
        time.sleep(0.02)


def raw(database: Path, topic: str) -> list[Incoming]:
    """Everything committed in one topic."""
    bus = open_bus(f"sqlite:///{database}", create=False)
    try:
        return list(drain(bus, [f"affect.{topic}"]))
    finally:
        bus.close()


def observations(database: Path, home: str = "archive.") -> list[Observation]:
    """The observations in the archive topic (or, with `home=""`, the live one)."""
    return [decode(m.value, Observation) for m in raw(database, f"{home}observations") if m.value is not None]


def tracks(database: Path, home: str = "archive.") -> list[TrackEvent]:
    """The track events."""
    return [decode(m.value, TrackEvent) for m in raw(database, f"{home}tracks") if m.value is not None]


def statuses(database: Path) -> list[Status]:
    """The status records."""
    return [decode(m.value, Status) for m in raw(database, "status") if m.value is not None]


def runs(database: Path) -> dict[str, RunRecord]:
    """The newest run record of each run."""
    records = [decode(m.value, RunRecord) for m in raw(database, "runs") if m.value is not None]
    return {record.run: record for record in records}


def result_bytes(database: Path, streams: Sequence[str] | None = None) -> dict[str, dict[str, list[bytes]]]:
    """By archive topic and stream, the values in order: what must be the same in every replay."""
    found: dict[str, dict[str, list[bytes]]] = {}
    for topic in RESULTS:
        by_stream: dict[str, list[bytes]] = {}
        for message in raw(database, f"archive.{topic}"):
            name = message.key.decode()
            if message.value is not None and (streams is None or name in streams):
                by_stream.setdefault(name, []).append(message.value)
        found[topic] = by_stream
    return found


def interrupt(process: subprocess.Popen[str]) -> None:
    """Ctrl-C."""
    process.send_signal(signal.SIGINT)
