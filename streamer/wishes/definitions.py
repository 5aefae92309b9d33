"""The control topic: what lies on it now, and how something is written to it."""

from __future__ import annotations

from collections.abc import Sequence

from streamer.bus.protocol import Bus, Incoming, Outgoing
from streamer.bus.read import drain
from streamer.bus.topics import topics
from streamer.config import TopicSettings
from streamer.messages import StreamDefinition
from streamer.wishes.views import read

ACKNOWLEDGED_S = 30.0


def newest(bus: Bus, settings: TopicSettings) -> dict[bytes, Incoming]:
    """The newest record of each key of the control topic that has one."""
    found: dict[bytes, Incoming] = {}
    for record in drain(bus, [topics(settings).streams.name]):
        if record.value is None:
            found.pop(record.key, None)
        else:
            found[record.key] = record
    return found


def definitions(bus: Bus, settings: TopicSettings) -> dict[str, StreamDefinition]:
    """The definitions that can be read, by stream."""
    found = (read(record, StreamDefinition) for record in newest(bus, settings).values())
    return {definition.stream: definition for definition in found if definition is not None}


def write(bus: Bus, outgoing: Sequence[Outgoing]) -> None:
    """Write records and return once all are acknowledged. Raises `BusError`."""
    if not outgoing:
        return
    producer = bus.producer()
    try:
        producer.send(outgoing)
        producer.flush(ACKNOWLEDGED_S)
    finally:
        producer.close()
