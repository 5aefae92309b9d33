"""What members of a group tell each other, and when it is worth telling: shared by both homes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from streamer.bus.assignment import Candidate, share_out
from streamer.bus.protocol import Load

QUIET_S = 3.0
"""How long a member waits after a sharing-out before it asks for another."""

RETRY_S = 30.0
"""How often a member that stays over capacity asks again: somebody may have got room meanwhile."""


class Known(msgspec.Struct, frozen=True, array_like=True):
    """What a partition weighed when its owner last told, in which generation."""

    units: float
    rate: float
    generation: int


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """What a member brings to a sharing-out.

    `promised` are partitions that become its own once their owners let go. `known` also has partitions it owned
    earlier: while one changes hands nobody else can say what it weighs.
    """

    name: str
    max_units: int
    max_rate: float = 0.0
    generation: int = -1
    owned: tuple[int, ...] = ()
    promised: tuple[int, ...] = ()
    known: dict[int, Known] = {}


class Shares(NamedTuple):
    """One member's part of a sharing-out: what it may have now, and what it gets once others let go."""

    now: frozenset[int]
    promised: frozenset[int]


def deal(partitions: Iterable[int], cards: Mapping[str, Card]) -> dict[str, Shares]:
    """Share `partitions` out between members, given by their ids.

    A partition that moves is nobody's until its owner has let go of it. Where two say they own one, the later
    generation is right.
    """
    places = sorted(set(partitions))
    order = sorted(cards, key=lambda member: (cards[member].name, member))
    by_age = sorted(order, key=lambda member: cards[member].generation)
    owner = {partition: member for member in by_age for partition in cards[member].owned}
    holder = {partition: member for member in by_age for partition in cards[member].promised} | owner
    candidates = [
        Candidate(
            member,
            cards[member].max_units,
            cards[member].max_rate,
            frozenset(partition for partition, held_by in holder.items() if held_by == member),
        )
        for member in order
    ]
    known: dict[int, Known] = {}
    for member in order:
        for partition, told in cards[member].known.items():
            if partition not in known or told.generation > known[partition].generation:
                known[partition] = told
    wanted = share_out(places, candidates, {at: (told.units, told.rate) for at, told in known.items()})
    return {
        member: Shares(
            frozenset(at for at in shares if owner.get(at, member) == member),
            frozenset(at for at in shares if owner.get(at, member) != member),
        )
        for member, shares in wanted.items()
    }


class Announcer:
    """Decides when a changed load is worth another sharing-out: never more often than every few seconds."""

    def __init__(self) -> None:
        self._told: Load | None = None
        self._told_s = 0.0

    def told(self, load: Load, now_s: float) -> None:
        """The group has just been told of `load` (seconds of a monotonic clock)."""
        self._told, self._told_s = load, now_s

    def is_due(self, load: Load, now_s: float) -> bool:
        """Whether the group should hear of `load` now."""
        if self._told is None or now_s - self._told_s < QUIET_S:
            return False
        if (load.max_units, load.max_rate) != (self._told.max_units, self._told.max_rate):
            return True
        over = _excess(load)
        return over is not None and (over != _excess(self._told) or now_s - self._told_s >= RETRY_S)


def _excess(load: Load) -> tuple[tuple[tuple[int, int], ...], int] | None:
    """What a load that is over capacity consists of, its rate in tenths of what is allowed; None when all fits."""
    units = sum(each[1] for each in load.partitions)
    rate = sum(each[2] for each in load.partitions)
    if units <= load.max_units and not (load.max_rate and rate > load.max_rate):
        return None
    tenths = int(10 * rate / load.max_rate) if load.max_rate else 0
    return tuple((at, n) for at, n, _ in load.partitions), tenths
