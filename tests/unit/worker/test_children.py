"""Real child processes, without models: what they say last and how they end."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamer.config import Config, ModelSettings
from streamer.errors import WorkerNotStarted
from streamer.worker.children import Children, Died, Event, Said, Woken
from streamer.worker.link import Drain, Fatal, Start


@pytest.fixture
def children() -> Iterator[Children]:
    made = Children()
    yield made
    made.kill_all()
    while len(made):
        made.next_event(10)


def start(number: int = 0, folder: Path | None = None) -> Start:
    models = ModelSettings(folder=str(folder) if folder else None)
    return Start(child=number, config=Config(models=models), run=None, live_run="live", cache=str(folder))


def events(children: Children) -> list[Event]:
    """Everything until no child is left."""
    seen: list[Event] = []
    deadline_s = time.monotonic() + 60
    while len(children):
        event = children.next_event(max(0.0, deadline_s - time.monotonic()))
        assert event is not None, f"a child did not end; seen: {seen}"
        seen.append(event)
    return seen


def test_a_child_without_models_says_why_and_leaves_no_zombie(children: Children, tmp_path: Path) -> None:
    pid = children.start(start(folder=tmp_path))
    said, died = events(children)
    assert isinstance(said, Said)
    assert isinstance(said.message, Fatal)
    assert said.message.cause == "model"
    assert died == Died(0, 1)
    assert 0 not in children
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_killed_child_is_told_of_by_its_signal(children: Children, tmp_path: Path) -> None:
    for number in (0, 1):
        children.start(start(number, tmp_path))
    children.kill(1)
    children.kill(7)  # there is none: no harm
    deaths = {event.child: event.exit_code for event in events(children) if isinstance(event, Died)}
    assert deaths == {0: 1, 1: -signal.SIGKILL}
    children.tell(1, Drain())  # nobody hears it: no harm


def test_a_child_that_says_what_is_not_ours_is_of_no_use(
    children: Children, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\nprintf 'this is no message of ours'\nexec sleep 600\n")
    program.chmod(0o755)
    monkeypatch.setattr("streamer.worker.children.sys.executable", str(program))
    monkeypatch.setattr("streamer.worker.children.LEAVES_WITHIN_S", 0.2)
    children.start(start())
    assert events(children) == [Died(0, -signal.SIGKILL)]


def test_a_process_that_cannot_be_started_is_a_sentence(
    children: Children, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamer.worker.children.sys.executable", str(tmp_path / "gone"))
    with pytest.raises(WorkerNotStarted, match="cannot start a worker process"):
        children.start(start())
    assert len(children) == 0


def test_what_was_begun_is_started_first(children: Children, tmp_path: Path) -> None:
    with children:
        children.begin()
        assert len(children) == 0
        [process] = children._begun
        assert children.start(start(0, tmp_path)) == process.pid
        assert children.start(start(1, tmp_path)) != process.pid
    assert [event for event in events(children) if isinstance(event, Died) and event.exit_code != 1] == []


def test_what_was_begun_in_vain_is_ended(children: Children) -> None:
    with children:
        children.begin()
        [process] = children._begun
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)
    assert children._begun == []


def test_a_process_that_cannot_be_begun_is_told_of_when_it_is_started(
    children: Children, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("streamer.worker.children.subprocess.Popen", refuse)
    children.begin()
    with pytest.raises(WorkerNotStarted):
        children.start(start())


def test_waking_makes_an_event(children: Children) -> None:
    children.wake()
    assert children.next_event(0) == Woken()
    assert children.next_event(0) is None
