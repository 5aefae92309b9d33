"""What the crew of child processes is asked to do, and who hears what becomes of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol

import msgspec

from streamer.config import ModelSettings
from streamer.errors import StreamerError
from streamer.source import Source
from streamer.worker.children import Event
from streamer.worker.link import Ended, JobOrder, Open, Opened, Ready, SourceGone, Tick, Tuning


@dataclass(frozen=True, slots=True)
class Order:
    """One piece of work: a stream, or a job. `work` names it; `models` None are the configuration's own.

    A live stream is claimed before it is ordered: `epoch` and `epoch_time_s` are its claim's.
    """

    work: str
    source: Source
    models: ModelSettings | None = None
    epoch: int = 0
    epoch_time_s: float | None = None
    tuning: Tuning = field(default_factory=Tuning)
    reopen: bool = False
    repeat: bool = False
    guarded: bool = False
    job: JobOrder | None = None

    def message(self, restarts: int) -> Open:
        """The order as a child hears it."""
        plain = Open.of(self.source, restarts, self.work)
        return msgspec.structs.replace(
            plain,
            epoch=self.epoch,
            epoch_time_s=self.epoch_time_s,
            tuning=self.tuning,
            reopen=self.reopen,
            repeat=self.repeat,
            guarded=self.guarded,
            job=self.job,
        )


class Boss(Protocol):
    """Hears what becomes of its orders."""

    def placed(self, order: Order, restarts: int) -> None:
        """A child was asked to take it up; `restarts` have died under it."""

    def ready(self, message: Ready) -> None:
        """A child has its models open."""

    def opened(self, order: Order, message: Opened) -> None:
        """Its source is open."""

    def ticked(self, child: int, message: Tick) -> None:
        """How far the streams of a child are; those of `streams` that are unknown have ended meanwhile."""

    def source_gone(self, order: Order, message: SourceGone) -> None:
        """Its source went away, the state waits."""

    def ended(self, order: Order, message: Ended) -> None:
        """It is over, or was let go of."""

    def child_died(self, child: int) -> None:
        """A child is gone; what it did is told of below."""

    def resumed(self, order: Order) -> None:
        """Its child died. An archive waits for another child already; a live stream has to be claimed and ordered
        again."""

    def given_up(self, order: Order, deaths: int) -> None:
        """Its children died too often."""

    def fatal(self, error: StreamerError, orders: list[Order]) -> None:
        """A child cannot go on, and neither could another: the orders that it had."""

    def happened(self, event: Event) -> None:
        """Something was posted that is not the children's."""


def claimed(order: Order, epoch: int, epoch_time_s: float) -> Order:
    """The order under a claim."""
    return replace(order, epoch=epoch, epoch_time_s=epoch_time_s)
