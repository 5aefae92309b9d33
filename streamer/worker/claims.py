"""Claims: who writes a live stream from here on. The offset of a claim is the stream's epoch."""

from __future__ import annotations

from collections.abc import Sequence

from streamer.bus.protocol import Bus, Placed
from streamer.config import TopicSettings
from streamer.wishes import records

TIMEOUT_S = 10.0


def claim(bus: Bus, streams: Sequence[str], worker: str, settings: TopicSettings) -> list[Placed]:
    """Claim the streams for `worker`: the epoch of each and when it began. Raises `BusError`."""
    producer = bus.producer()
    try:
        return producer.append([records.claim(stream, worker, settings) for stream in streams], TIMEOUT_S)
    finally:
        producer.close()
