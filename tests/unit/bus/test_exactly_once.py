"""Exactly once by the order of the steps: killed workers and zombies at every step, over a made-up broker.

The broker keeps what a real one keeps: records become visible with their transaction, an offset in a transaction is
taken only from a member of the present generation, and whoever takes over waits for open transactions that have
records in its partition, not for those that have none yet.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from streamer import faults
from streamer.bus import transaction
from streamer.bus.protocol import GroupToken, Outgoing, Position
from streamer.bus.transaction import Acknowledged, InDoubt

POINTS = ("begin", "records", "acknowledgements", "position", "commit", "done")
N_FRAMES = 40
SEEDS = range(50)


class Killed(BaseException):
    """The process is gone: nothing of it runs any more, no clean-up either."""


class Refused(Exception):
    """The broker says no."""


@dataclass
class Transaction:
    records: list[Outgoing] = field(default_factory=list)
    offset: int | None = None
    state: str = "open"


@dataclass
class Broker:
    generation: int = 1
    log: list[Transaction] = field(default_factory=list)
    offset: int = 0

    def visible(self) -> list[str]:
        return [
            record.value.decode() for one in self.log if one.state == "done" for record in one.records if record.value
        ]

    def position_in_file(self) -> int:
        """What the newest committed checkpoint says."""
        return max([int(text.split()[1]) for text in self.visible() if text.startswith("checkpoint")], default=0)


@dataclass
class Client:
    """One worker's connection, as `transaction.write` drives it."""

    broker: Broker
    token: GroupToken
    open: Transaction | None = None
    dead: bool = False

    def begin(self) -> None:
        self.open = Transaction()

    def give(self, records: Sequence[Outgoing]) -> None:
        one = self._usable()
        one.records += records
        if one not in self.broker.log:
            self.broker.log.append(one)

    def acknowledgements(self) -> Acknowledged:
        return Acknowledged(tuple(range(len(self._usable().records))))

    def move(self, position: Position, proof: Acknowledged) -> None:
        one = self._usable()
        if position.token.generation != self.broker.generation:
            raise Refused("stale generation")
        one.offset = position.offsets[0][2]

    def commit(self) -> None:
        one = self._usable()
        one.state = "done"
        self.broker.offset = one.offset or self.broker.offset

    def abort(self) -> None:
        if not self.dead and self.open is not None and self.open.state == "open":
            self.open.state = "aborted"

    def _usable(self) -> Transaction:
        assert self.open is not None
        if self.open.state != "open":
            raise Refused("the broker has aborted this transaction")
        return self.open


def out(text: str) -> Outgoing:
    return Outgoing("t", 0, b"k", text.encode())


Write = Callable[[Client, Sequence[Outgoing], Position], None]


def work(broker: Broker, write: Write, rng: random.Random, client: Client) -> None:
    """Take the file from its last commit to its end."""
    at = broker.position_in_file()
    while at < N_FRAMES:
        until = min(N_FRAMES, at + rng.randint(1, 7))
        records = [out(f"frame {i}") for i in range(at, until)] + [out(f"checkpoint {until}")]
        write(client, records, Position(client.token, (("jobs", 0, until),)))
        at = until


def take_over(broker: Broker, write: Write, rng: random.Random) -> None:
    """Another member owns the partition: it waits for what is open there and has records, then does the rest."""
    work(broker, write, rng, Client(broker, GroupToken("g", "second", broker.generation)))


def simulate(write: Write, point: str, seed: int, *, zombie: bool, monkeypatch: pytest.MonkeyPatch) -> Broker:
    rng = random.Random(f"{point} {seed} {zombie}")
    broker = Broker()
    first = Client(broker, GroupToken("g", "first", 1))
    passages = rng.randint(1, 6)
    met: list[str] = []

    def at(name: str) -> None:
        nonlocal passages
        if met or name != f"commit.{point}":
            return
        passages -= 1
        if passages:
            return
        met.append(name)
        broker.generation += 1  # the group has moved on
        if not zombie:
            first.dead = True
            raise Killed
        mine = first.open
        has_records = mine is not None and bool(mine.records)
        if mine is not None and mine.state == "open" and has_records and rng.random() < 0.5:
            mine.state = "aborted"  # it slept through the transaction's timeout
        if mine is None or mine.state != "open" or not has_records:
            take_over(broker, write, rng)  # nothing to wait for: the successor is done before the zombie wakes

    monkeypatch.setattr(faults, "at", at)
    try:
        work(broker, write, rng, first)
    except Killed:
        for one in broker.log:
            one.state = "aborted" if one.state == "open" else one.state
    except (Refused, InDoubt):
        pass
    if met:
        take_over(broker, write, rng)
    return broker


@pytest.mark.parametrize("zombie", [False, True], ids=["killed", "zombie"])
@pytest.mark.parametrize("point", POINTS)
def test_whoever_dies_or_sleeps_where_every_frame_is_there_once(
    point: str, zombie: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in SEEDS:
        broker = simulate(transaction.write, point, seed, zombie=zombie, monkeypatch=monkeypatch)
        frames = [text for text in broker.visible() if text.startswith("frame")]
        assert frames == [f"frame {i}" for i in range(N_FRAMES)], f"{point} seed {seed}"
        assert broker.offset == N_FRAMES


def test_with_the_position_before_the_records_frames_come_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the order is for."""

    def wrong(client: Client, records: Sequence[Outgoing], position: Position) -> None:
        client.begin()
        client.move(position, Acknowledged(()))
        faults.at("commit.records")
        client.give(records)
        client.commit()

    twice = 0
    for seed in SEEDS:
        broker = simulate(wrong, "records", seed, zombie=True, monkeypatch=monkeypatch)
        frames = [text for text in broker.visible() if text.startswith("frame")]
        twice += len(frames) - len(set(frames))
    assert twice
