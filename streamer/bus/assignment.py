"""Who gets which partition: the one policy of both homes, pure.

In this order: nobody is over capacity while somebody has room, as far as whole partitions allow; relative loads are
even; what is held stays where it is. A partition moves only for a gain, so what was shared out once is shared out
the same way again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import NamedTuple

Weights = Mapping[int, tuple[float, float]]
"""What is known of partitions: units and frames per second."""

_MILLI = 1000  # weights and capacities are whole thousandths: sums of them are exact, whatever their order
_EPSILON = 1e-9
_GAIN = 0.25
"""The least gain for which a partition moves, as a part of what a mean partition weighs."""
_EMPTY = 0.25
"""What an empty partition weighs for the balance, as a part of a mean one: it may be filled at any time."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A member as the policy sees it: `held` are the partitions it owns or was promised. `max_rate` 0 is no limit."""

    member: str
    max_units: int
    max_rate: float = 0.0
    held: frozenset[int] = frozenset()


def share_out(partitions: Iterable[int], members: Sequence[Candidate], weights: Weights) -> dict[str, frozenset[int]]:
    """Every partition to exactly one of `members`, by their order where nothing else tells them apart.

    Partitions that `weights` does not name count as the mean of those it does, or as one unit when it names none.
    """
    if not members:
        return {}
    places = sorted(set(partitions))
    sharing = _Sharing(places, members, weights)
    held = {partition: at for at, member in enumerate(members) for partition in member.held}
    free = []
    for partition in places:
        if partition in held:
            sharing.give(partition, held[partition])
        else:
            free.append(partition)
    for partition in sorted(free, key=sharing.size, reverse=True):
        sharing.give(partition, sharing.best_for(partition))
    for _ in range(10 * len(places) * len(members)):  # ends by itself: each step makes the loads more even
        if not (sharing.move_one() or sharing.swap_two()):
            break
    return {member.member: frozenset(sharing.owned[at]) for at, member in enumerate(members)}


class _Weight(NamedTuple):
    """Thousandths of a unit and of a frame per second; `felt_*` is what the balance feels, empty partitions too."""

    units: int
    rate: int
    felt_units: int
    felt_rate: int

    def plus(self, other: _Weight, sign: int = 1) -> _Weight:
        return _Weight(*(mine + sign * theirs for mine, theirs in zip(self, other, strict=True)))


class _Sharing:
    """A sharing-out in the making. Loads are relative: 1 is full."""

    def __init__(self, places: Sequence[int], members: Sequence[Candidate], weights: Weights) -> None:
        self.owned: list[set[int]] = [set() for _ in members]
        self._max_units = [max(1, member.max_units * _MILLI) for member in members]
        self._max_rate = [round(member.max_rate * _MILLI) for member in members]
        self._weights = _weigh(places, weights)
        self._loads = [_Weight(0, 0, 0, 0) for _ in members]
        total = reduce(_Weight.plus, self._weights.values(), _Weight(0, 0, 0, 0))
        self._mean = _Weight(*(part // max(1, len(places)) for part in total))

    def size(self, partition: int) -> tuple[int, int, int]:
        """What a partition is sorted by, the heaviest being the greatest."""
        weight = self._weights[partition]
        return weight.felt_units, weight.felt_rate, -partition

    def give(self, partition: int, at: int) -> None:
        """Member `at` has the partition now."""
        self.owned[at].add(partition)
        self._loads[at] = self._loads[at].plus(self._weights[partition])

    def best_for(self, partition: int) -> int:
        """The member that a free partition weighs least on."""

        def cost(at: int) -> tuple[float, float, int, int]:
            after = self._loads[at].plus(self._weights[partition])
            more = self._over(at, after) - self._over(at, self._loads[at])
            return round(more, 9), round(self._felt(at, after), 9), len(self.owned[at]), at

        return min(range(len(self.owned)), key=cost)

    def move_one(self) -> bool:
        """Move the partition whose move gains most; False when none gains enough."""
        best = max(self._moves(), default=None)
        if best is None:
            return False
        _, _, _, partition, source, target = best
        self._take(partition, source)
        self.give(partition, target)
        return True

    def swap_two(self) -> bool:
        """Swap two partitions so that less is over capacity, where moving one would not do; False when nothing can."""
        best = max(self._swaps(), default=None)
        if best is None:
            return False
        _, _, (given, got, source, target) = best
        self._take(given, source)
        self._take(got, target)
        self.give(given, target)
        self.give(got, source)
        return True

    def _moves(self) -> Iterator[tuple[float, float, int, int, int, int]]:
        felt = [self._felt(at, load) for at, load in enumerate(self._loads)]
        for source, owned in enumerate(self.owned):
            is_over = self._over(source, self._loads[source]) > 0
            margin = _GAIN * self._felt(source, self._mean)
            alike = {self._weights[partition]: partition for partition in sorted(owned)}  # one of each weight will do
            for weight, partition in alike.items():
                left = self._loads[source].plus(weight, -1)
                for target in range(len(self.owned)):
                    if target == source or (felt[target] >= felt[source] and not is_over):
                        continue
                    taken = self._loads[target].plus(weight)
                    relief = self._relief(source, target, left, taken)
                    gain = max(felt[source], felt[target]) - max(self._felt(source, left), self._felt(target, taken))
                    if relief > _EPSILON or (relief > -_EPSILON and gain >= margin and gain > _EPSILON):
                        yield round(relief, 9), round(gain, 9), -weight.felt_units, partition, source, target

    def _swaps(self) -> Iterator[tuple[float, int, tuple[int, int, int, int]]]:
        for source, owned in enumerate(self.owned):
            if self._over(source, self._loads[source]) <= _EPSILON:
                continue
            for target, others in enumerate(self.owned):
                if target == source:
                    continue
                for given in owned:
                    for got in others:
                        change = self._weights[given].plus(self._weights[got], -1)
                        left, taken = self._loads[source].plus(change, -1), self._loads[target].plus(change)
                        relief = self._relief(source, target, left, taken)
                        if relief > _EPSILON:
                            yield round(relief, 9), -change.felt_units, (given, got, source, target)

    def _take(self, partition: int, at: int) -> None:
        self.owned[at].remove(partition)
        self._loads[at] = self._loads[at].plus(self._weights[partition], -1)

    def _relief(self, source: int, target: int, left: _Weight, taken: _Weight) -> float:
        """By how much less two members are over their capacity with the loads `left` and `taken`."""
        before = self._over(source, self._loads[source]) + self._over(target, self._loads[target])
        return before - self._over(source, left) - self._over(target, taken)

    def _over(self, at: int, load: _Weight) -> float:
        return max(0.0, self._relative(at, load.units, load.rate) - 1.0)

    def _felt(self, at: int, load: _Weight) -> float:
        return self._relative(at, load.felt_units, load.felt_rate)

    def _relative(self, at: int, units: int, rate: int) -> float:
        by_rate = rate / self._max_rate[at] if self._max_rate[at] else 0.0
        return max(units / self._max_units[at], by_rate)


def _weigh(places: Sequence[int], weights: Weights) -> dict[int, _Weight]:
    known = {
        partition: (round(weights[partition][0] * _MILLI), round(weights[partition][1] * _MILLI))
        for partition in places
        if partition in weights
    }
    unknown = (_mean([units for units, _ in known.values()], _MILLI), _mean([rate for _, rate in known.values()], 0))
    real = {partition: known.get(partition, unknown) for partition in places}
    units_floor = int(_EMPTY * _mean([units for units, _ in real.values() if units], 4 * _MILLI))
    rate_floor = int(_EMPTY * _mean([rate for _, rate in real.values() if rate], 0))
    return {
        partition: _Weight(units, rate, max(units, units_floor), max(rate, rate_floor))
        for partition, (units, rate) in real.items()
    }


def _mean(values: Sequence[int], otherwise: int) -> int:
    return sum(values) // len(values) if values else otherwise
