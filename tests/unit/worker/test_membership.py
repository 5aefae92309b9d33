"""A membership on a bus that fails as a test says."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from streamer.bus.protocol import Bus, GroupToken, Incoming, Load
from streamer.errors import BusUnavailable, Fenced
from streamer.worker import membership
from streamer.worker.membership import Lost, Membership

LOAD = Load("w", 4)


@dataclass
class Scripted:
    """A bus of one member that owns partitions 1 and 2, and that member itself."""

    joins: list[Exception] = field(default_factory=list)
    polls: list[Exception] = field(default_factory=list)
    commits: list[Exception] = field(default_factory=list)
    joined: int = 0
    asked: int = 0
    committed: list[dict[int, int]] = field(default_factory=list)
    may_commit: threading.Event = field(default_factory=threading.Event)

    def member(self, *_: Any, **__: Any) -> Scripted:
        self.joined += 1
        if self.joins:
            raise self.joins.pop()
        return self

    def poll(self, timeout_s: float, max_records: int = 500) -> list[Incoming]:
        time.sleep(0.002)
        if self.polls:
            raise self.polls.pop()
        return []

    def owned(self) -> frozenset[int]:
        return frozenset({1, 2})

    def token(self) -> GroupToken | None:
        return None

    def caught_up(self, partition: int) -> bool:
        return False

    def announce(self, load: Load) -> None:
        pass

    def commit(self, offsets: Mapping[int, int]) -> None:
        self.asked += 1
        assert self.may_commit.wait(20)
        if self.commits:
            raise self.commits.pop()
        self.committed.append(dict(offsets))

    def close(self) -> None:
        pass


@pytest.fixture
def begin() -> Iterator[Callable[[Scripted], tuple[Membership, list[Any]]]]:
    made: list[Membership] = []

    def start(bus: Scripted) -> tuple[Membership, list[Any]]:
        told: list[Any] = []
        made.append(Membership(cast(Bus, bus), "t", "g", LOAD, lambda event: hear(told, event)))
        return made[0], told

    yield start
    for one in made:
        one.leave()
        until(lambda one=one: one.left)  # type: ignore[misc]


def hear(told: list[Any], event: Any) -> None:
    told.append(event)
    if isinstance(event, Lost):
        event.done.set()


def until(holds: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline_s
        time.sleep(0.002)


def test_a_position_that_had_to_wait_never_comes_after_a_newer_one(begin: Any) -> None:
    bus = Scripted(commits=[BusUnavailable("away")])
    one, _ = begin(bus)
    one.commit({1: 5, 2: 1})
    until(lambda: bus.asked == 1)
    one.commit({1: 7})
    bus.may_commit.set()
    until(lambda: any(1 in each for each in bus.committed))
    one.commit({2: 3})
    until(lambda: bus.committed[-1] == {2: 3})
    assert bus.committed == [{1: 7, 2: 1}, {2: 3}]


def test_positions_of_partitions_that_are_not_ours_are_nobodys(begin: Any) -> None:
    bus = Scripted()
    bus.may_commit.set()
    one, _ = begin(bus)
    one.commit({3: 5, 1: 1})
    until(lambda: bool(bus.committed))
    assert bus.committed == [{1: 1}]


@pytest.mark.parametrize("error", [Fenced("another one"), RuntimeError("a defect")])
def test_a_membership_that_fails_is_begun_anew_after_a_pause(
    begin: Any, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(membership, "FIRST_PAUSE_S", 0.05, raising=False)
    bus = Scripted(joins=[error], polls=[error] * 3)
    _, told = begin(bus)
    began_s = time.monotonic()
    until(lambda: bus.joined == 5)
    assert [event.partitions for event in told if isinstance(event, Lost)] == [{1, 2}] * 3
    assert time.monotonic() - began_s > 0.2, "it does not storm the group"
