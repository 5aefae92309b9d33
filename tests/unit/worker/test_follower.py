"""A follower on a bus that fails as a test says."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from streamer.bus.protocol import Bus, Incoming
from streamer.errors import BusUnavailable
from streamer.worker.follower import Follower

RECORD = Incoming("t", 0, 0, b"k", b"v", (), 0.0)


@dataclass
class Scripted:
    """A bus with one consumer; what is in `polls` comes in turn, then nothing."""

    joins: list[Exception]
    polls: list[Exception | Incoming]
    opened: int = 0
    closed: int = 0
    told: list[Any] = field(default_factory=list)

    def consumer(self, *_: Any, **__: Any) -> Scripted:
        self.opened += 1
        if self.joins:
            raise self.joins.pop(0)
        return self

    def poll(self, timeout_s: float, max_records: int = 500) -> list[Incoming]:
        time.sleep(0.002)
        one = self.polls.pop(0) if self.polls else None
        if isinstance(one, Exception):
            raise one
        return [one] if one is not None else []

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize(
    ("joins", "polls", "opened"),
    [
        ([BusUnavailable("away")], [], 2),
        ([RuntimeError("a defect")], [], 2),
        ([], [BusUnavailable("away")], 1),
        ([], [RuntimeError("a defect")], 2),
    ],
)
def test_whatever_fails_it_goes_on_following(
    joins: list[Exception], polls: list[Exception | Incoming], opened: int
) -> None:
    bus = Scripted(list(joins), [*polls, RECORD])
    follower = Follower(cast(Bus, bus), "t", bus.told.append)
    deadline_s = time.monotonic() + 20
    while not bus.told:
        assert time.monotonic() < deadline_s
        time.sleep(0.005)
    follower.close()
    assert bus.told[0].records == [RECORD]
    assert (bus.opened, bus.closed) == (opened, opened - len(joins))
