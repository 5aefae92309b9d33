"""What workers say they have accepted, against what lies on the topics.

A worker's status records carry its count of the records it made of a stream. Within an epoch the last status says how
many there were, the first how many there had been before; all of them must be on the topics.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass

import msgspec

from streamer.bench.checker import RESULTS
from streamer.bus.protocol import Bus
from streamer.bus.read import drain
from streamer.bus.topics import content_type
from streamer.messages import Envelope, Status, decode


@dataclass(slots=True)
class Accepted:
    """`accepted` by the workers' count, `there` on the topics without repetitions, `missing` those that are not."""

    accepted: int = 0
    there: int = 0
    missing: int = 0
    streams: int = 0
    epochs: int = 0


def check_accepted(bus: Bus, prefix: str, streams: Collection[str]) -> Accepted:
    """Count both. The topics must reach back to their beginning; status records may not be compacted yet."""
    said: dict[tuple[str, int], list[Status]] = defaultdict(list)
    for record in drain(bus, [f"{prefix}.status"]):
        if record.value is not None:
            status = decode(record.value, Status, content_type(record.headers))
            if status.stream in streams and status.model:  # a supervisor's notices count nothing
                said[status.stream, status.epoch].append(status)
    there: dict[tuple[str, int], set[tuple[str, int]]] = defaultdict(set)
    for record in drain(bus, [f"{prefix}.{name}" for name in RESULTS]):
        envelope = msgspec.convert(msgspec.msgpack.decode(record.value or b""), Envelope)
        if envelope.stream in streams:
            there[envelope.stream, envelope.epoch].add((record.topic, envelope.seq))
    found = Accepted(streams=len({stream for stream, _ in said}), epochs=len(said))
    for place, statuses in said.items():
        first, last = min(statuses, key=lambda one: one.seq), max(statuses, key=lambda one: one.seq)
        accepted, on_topics = last.records - first.records, len(there[place])
        found.accepted += accepted
        found.there += on_topics
        found.missing += max(0, accepted - on_topics)
    return found
