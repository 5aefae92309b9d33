"""What is made ready while work goes on."""

from __future__ import annotations

import threading
from functools import partial

import pytest

from engines.runtime.background import Background


def test_tasks_are_done_in_turn_by_one_thread_that_ends_with_them() -> None:
    background = Background()
    done: list[int] = []
    threads: set[threading.Thread] = set()

    def task(number: int) -> None:
        done.append(number)
        threads.add(threading.current_thread())

    for number in range(20):
        background.do(partial(task, number))
    background.wait()
    assert done == list(range(20))
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
        assert not thread.daemon
    background.do(lambda: done.append(20))
    background.wait()
    assert done[-1] == 20


def test_what_fails_is_told_of_and_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[BaseException | None] = []
    monkeypatch.setattr(threading, "excepthook", lambda failed: told.append(failed.exc_value))
    background = Background()

    def fail() -> None:
        raise ZeroDivisionError

    background.do(fail)
    background.wait()
    assert [type(error) for error in told] == [ZeroDivisionError]


def test_what_waits_can_be_dropped() -> None:
    background = Background()
    begun, gate = threading.Event(), threading.Event()
    done: list[str] = []

    def long() -> None:
        begun.set()
        assert gate.wait(60)
        done.append("long")

    background.do(long)
    background.do(lambda: done.append("dropped"))
    assert begun.wait(60)
    background.drop()
    gate.set()
    background.wait()
    assert done == ["long"]
