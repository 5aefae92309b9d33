"""The order in which a transaction is written: once, here, for every client.

    0. begin
    1. records: results, changelog, job progress, in the caller's order
    2. acknowledgements: every record is on the bus
    3. position: the group's offsets, with the token of its member
    4. commit

Step 3 is what fences a former owner, so it needs the proof that step 2 gives: until its records are there it may not
move the position, and once it has moved nothing more is written. What fails in steps 0 to 3 is aborted; a commit
that is not answered leaves it open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from streamer import faults
from streamer.bus.protocol import Outgoing, Position


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """Proof that all records are on the bus, at these offsets."""

    offsets: tuple[int, ...]


class InDoubt(Exception):  # not a failure: nobody knows
    """The commit was not answered, or was answered with an error: `__cause__`. `proof` says where its records are."""

    def __init__(self, proof: Acknowledged) -> None:
        super().__init__("it is not known whether the transaction took place")
        self.proof = proof


class Steps(Protocol):
    """What a client can do; each raises when it failed, or was not answered in time."""

    def begin(self) -> None:
        """Step 0."""

    def give(self, records: Sequence[Outgoing]) -> None:
        """Step 1: hand the records over, in order."""

    def acknowledgements(self) -> Acknowledged:
        """Step 2: wait until all of them are on the bus."""

    def move(self, position: Position, proof: Acknowledged) -> None:
        """Step 3: the position, in the same transaction."""

    def commit(self) -> None:
        """Step 4."""

    def abort(self) -> None:
        """Leave nothing of it visible; never raises."""


def write(steps: Steps, records: Sequence[Outgoing], position: Position | None) -> None:
    """All of it is visible when this returns. Raises `InDoubt`, or what a step raised: then nothing is visible.

    A fault point stands before each step, and thus after the one before it.
    """
    try:
        faults.at("commit.begin")
        steps.begin()
        faults.at("commit.records")
        steps.give(records)
        faults.at("commit.acknowledgements")
        proof = steps.acknowledgements()
        faults.at("commit.position")
        if position is not None:
            steps.move(position, proof)
        faults.at("commit.commit")
    except BaseException:
        steps.abort()
        raise
    try:
        steps.commit()
    except Exception as error:
        raise InDoubt(proof) from error
    faults.at("commit.done")
