"""A child that publishes without transactions: `commit` sends its records plainly and waits until they are there.

Only to measure what transactions cost. What it publishes is at least once, and its position does not move with it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from streamer.bus.open import open_bus
from streamer.bus.protocol import Bus, Outgoing, Position, Producer
from streamer.config import TopicSettings
from streamer.worker import child, loop

_FLUSH_S = 60.0


class PlainProducer:
    """A producer whose commits are plain."""

    def __init__(self, producer: Producer) -> None:
        self._producer = producer

    def commit(self, records: Sequence[Outgoing], position: Position | None = None) -> None:
        """Deliver the records; the position stays where it is."""
        del position
        self._producer.send(records)
        self._producer.flush(_FLUSH_S)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._producer, name)


class PlainBus:
    """A bus without transactions."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def producer(self, transactional_id: str | None = None) -> Any:
        """A plain producer, whatever was asked for."""
        made = self._bus.producer()
        return made if transactional_id is None else PlainProducer(made)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)


def _open_plain(url: str, *, settings: TopicSettings) -> Any:
    return PlainBus(open_bus(url, settings=settings))


if __name__ == "__main__":
    loop.open_bus = _open_plain  # type: ignore[assignment]  # the one place where a child opens its bus
    sys.exit(child.main())
