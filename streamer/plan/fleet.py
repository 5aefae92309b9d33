"""Workers of one kind under given streams: where each stream is placed, and what comes of it in virtual time."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from streamer.config import Config
from streamer.fleet.placement import Placement
from streamer.plan.child import LOSSES, Child, ChildOutcome
from streamer.plan.load import Bill, StreamLoad

REPLICAS = 3
"""Children under the same streams differ by chance alone: so many of them are simulated, and stand for the others."""


@dataclass(frozen=True, slots=True)
class WorkerKind:
    """`children` 0 is one a core."""

    cores: int
    children: int = 0

    @property
    def n_children(self) -> int:
        """How many processes analyse."""
        return self.children or self.cores


@dataclass(frozen=True, slots=True)
class FleetOutcome:
    """All workers together; `children` are those simulated, each with how many it stands for."""

    workers: int
    cores: int
    seconds: float
    supervisors_s: float
    children: tuple[tuple[ChildOutcome, float], ...]

    @property
    def cpu_s_per_s(self) -> float:
        """CPU seconds each second, of supervisors and children."""
        return self.supervisors_s + sum(n * one.cpu_s / one.seconds for one, n in self.children)

    @property
    def utilisation(self) -> float:
        """The share of all cores."""
        return self.cpu_s_per_s / self.cores

    @property
    def fullest(self) -> float:
        """The share of its cores that the busiest child used."""
        return max((one.utilisation for one, _ in self.children), default=0.0)

    @property
    def loop_utilisation(self) -> float:
        """The share of the time in which a loop was at work, the busiest one's."""
        return max((one.loop_s / one.seconds for one, _ in self.children), default=0.0)

    @property
    def analysed_fps(self) -> float:
        """Frames a second that went through the models."""
        return sum(n * one.analysed / one.seconds for one, n in self.children)

    @property
    def wanted_fps(self) -> float:
        """Frames a second that were to."""
        return sum(n * one.wanted / one.seconds for one, n in self.children)

    @property
    def dropped_per_s(self) -> dict[str, float]:
        """Drops a second by cause."""
        found: Counter[str] = Counter()
        for one, n in self.children:
            for cause, dropped in one.dropped.items():
                found[cause] += n * dropped / one.seconds  # type: ignore[assignment]  # a Counter adds any numbers
        return dict(found)

    @property
    def lost_share(self) -> float:
        """Frames lost, as a share of those wanted."""
        lost = sum(self.dropped_per_s.get(cause, 0.0) for cause in LOSSES)
        return lost / self.wanted_fps if self.wanted_fps else 0.0

    @property
    def batch_frames(self) -> float:
        """Frames of a mean batch."""
        batches = sum(n * one.batches for one, n in self.children)
        return sum(n * one.analysed for one, n in self.children) / batches if batches else 0.0

    def ready_s(self, share: float) -> float | None:
        """The latency from a frame's arrival to its records that so large a share of frames keeps; None of none."""
        return _quantile([(latency_s, n) for one, n in self.children for latency_s in one.ready_s], share)

    def sent_s(self, share: float) -> float | None:
        """As `ready_s`, to the acknowledgement of the records."""
        return _quantile([(latency_s, n) for one, n in self.children for latency_s in one.sent_s], share)


def placed(loads: Sequence[StreamLoad], kind: WorkerKind, config: Config) -> list[list[StreamLoad]]:
    """Which child of a worker has which of its streams; children without any are left out."""
    settings = config.worker
    placement = Placement(kind.n_children, settings.streams_per_child, settings.max_restarts)
    for number in range(len(loads)):
        placement.add(str(number), live=True)
    children: dict[int, list[StreamLoad]] = {}
    for assignment in placement.due():
        children.setdefault(assignment.child, []).append(loads[int(assignment.stream)])
    return list(children.values())


def simulate(
    bill: Bill,
    workers: Sequence[Sequence[StreamLoad]],
    kind: WorkerKind,
    config: Config,
    *,
    duration_s: float = 30.0,
    seed: int = 0,
    replicas: int = REPLICAS,
) -> FleetOutcome:
    """What workers of one kind do under these streams, worker by worker. The same seed gives the same outcome.

    A worker's children share its cores evenly, so each is simulated for itself, and of children under the same streams
    at most `replicas`.
    """
    supervisor_s = bill.costs.supervisor_s
    alike: Counter[tuple[tuple[StreamLoad, ...], float]] = Counter()
    for loads in workers:
        children = placed(loads, kind, config)
        for mine in children:
            alike[tuple(mine), max(1e-3, kind.cores - supervisor_s) / len(children)] += 1
    outcomes: list[tuple[ChildOutcome, float]] = []
    for k, ((streams, cores), n) in enumerate(alike.items()):
        for replica in range(min(n, replicas)):
            child = Child(bill, streams, config, cores=cores, rng=random.Random(f"{seed} {k} {replica}"))  # noqa: S311
            outcomes.append((child.run(duration_s), n / min(n, replicas)))
    return FleetOutcome(
        len(workers), len(workers) * kind.cores, duration_s, len(workers) * supervisor_s, tuple(outcomes)
    )


def _quantile(weighted: list[tuple[float, float]], share: float) -> float | None:
    """The smallest value that so large a share of the weight does not exceed."""
    if not weighted:
        return None
    weighted.sort()
    left = share * sum(weight for _, weight in weighted) - 1e-9
    for value, weight in weighted:
        left -= weight
        if left <= 0:
            return value
    return weighted[-1][0]
