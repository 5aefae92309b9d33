"""What a child gives to its publisher, and how it stands between the two and the bus."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from streamer.bus.protocol import Outgoing
from streamer.worker.latency import Arrival


@dataclass(frozen=True, slots=True)
class Batch:
    """Records to publish together, each with the work it is of. `done` runs, on a thread of the publisher, once they
    are safely on the bus (live: or in the spool).

    `arrivals` are the live frames that the records were made of, oldest first.
    Of an archive's batch, `positions` are those to be committed with it, by work, as (topic, partition, next offset),
    and `follow` are live batches to be published once it is committed. `traces` name the batches of frames that the
    records were made of, where those are traced (see `streamer.worker.tracing`).
    """

    records: list[tuple[str, Outgoing]]
    transactional: bool
    done: Callable[[], None] | None = None
    positions: dict[str, tuple[str, int, int]] = field(default_factory=dict)
    follow: list[tuple[str, Batch]] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)
    traces: list[Any] = field(default_factory=list)

    def discard(self, work: str) -> None:
        """Take everything of that work out, what was to follow it as well."""
        self.records[:] = [(owner, record) for owner, record in self.records if owner != work]
        self.positions.pop(work, None)
        self.follow[:] = [(owner, batch) for owner, batch in self.follow if owner != work]
        self.arrivals[:] = [arrival for arrival in self.arrivals if arrival.work != work]

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.records or self.positions or self.follow)


@dataclass(frozen=True, slots=True)
class Delivery:
    """How it stands between a child and the bus: see `Tick`."""

    away_s: float = 0.0
    spooled: int = 0
    replayed: int = 0
    discarded: int = 0
    waiting: int = 0
    unacknowledged: int = 0
    lag_s: float = 0.0
