"""A child that publishes without transactions: `commit` sends its records plainly and waits until they are in Kafka.

Only to measure what transactions cost. What it publishes is at least once, and its position does not move with it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from streamer.bus.kafka_clients import discard, give, learn_topics, make_producer
from streamer.bus.open import open_bus
from streamer.bus.protocol import Bus, Outgoing, Position
from streamer.config import TopicSettings
from streamer.worker import child, loop

_ACKNOWLEDGED_S = 60.0


class PlainProducer:
    """Commits as the transactions do, step by step, without beginning and ending any."""

    def __init__(self, bus: Any) -> None:
        self._client = bus.connect(lambda: make_producer(bus.options, None))

    def commit(self, records: Sequence[Outgoing], position: Position | None = None) -> None:
        """Have the records acknowledged; the position stays where it is."""
        del position
        learn_topics(self._client, records)
        futures = [give(self._client, record) for record in records]
        for future in futures:
            future.get(timeout=_ACKNOWLEDGED_S)

    def close(self) -> None:
        """Free the connection."""
        discard(self._client)


class PlainBus:
    """A Kafka bus without transactions."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def producer(self, transactional_id: str | None = None) -> Any:
        """A plain producer, whatever was asked for."""
        return self._bus.producer() if transactional_id is None else PlainProducer(self._bus)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)


def _open_plain(url: str, *, settings: TopicSettings) -> Any:
    return PlainBus(open_bus(url, settings=settings))


if __name__ == "__main__":
    loop.open_bus = _open_plain  # type: ignore[assignment, attr-defined]  # the one place where a child opens its bus
    sys.exit(child.main())
