"""What both homes refuse, in the same words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from streamer.bus.protocol import Outgoing, Topic
from streamer.errors import DeliveryFailed, TopicMismatch, TopicMissing

DEFAULT_MAX_RECORD_BYTES = 1_000_000
"""Below the 1 MiB that Kafka clients and brokers take by default, with room for a batch's own fields."""


def check_topic(wanted: Topic, partitions: int, cleanup: str) -> None:
    """Raise `TopicMismatch` when the topic that exists is not the one that is wanted."""
    if partitions != wanted.partitions:
        raise TopicMismatch(
            f"topic {wanted.name} has {partitions} partitions, the settings say {wanted.partitions}: set"
            f" topics.partitions to {partitions}, or choose another topics.prefix"
        )
    if {part.strip() for part in cleanup.split(",")} != set(wanted.cleanup.split(",")):
        raise TopicMismatch(
            f"topic {wanted.name} has cleanup policy {cleanup}, it must be {wanted.cleanup}: change the topic, or"
            " choose another topics.prefix"
        )


def check_records(records: Sequence[Outgoing], partitions: Callable[[str], int], max_record_bytes: int) -> None:
    """Raise `DeliveryFailed`, naming the places of all records that can never be taken, before any is."""
    shapes: Mapping[str, int] = {name: partitions(name) for name in {record.topic for record in records}}
    refused: dict[int, str] = {}
    for place, record in enumerate(records):
        size = record_bytes(record)
        if size > max_record_bytes:
            refused[place] = (
                f"a record of {size} bytes for {record.topic} is over the limit of {max_record_bytes}: raise"
                " max_record_bytes in the bus address (and the broker's max.message.bytes)"
            )
        elif not 0 <= record.partition < shapes[record.topic]:
            refused[place] = f"topic {record.topic} has no partition {record.partition}"
    if refused:
        more = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
        raise DeliveryFailed(next(iter(refused.values())) + more, tuple(refused))


def record_bytes(record: Outgoing) -> int:
    """What a record weighs: key, value and headers."""
    return len(record.key) + len(record.value or b"") + sum(len(name) + len(value) for name, value in record.headers)


def topic_missing(name: str) -> TopicMissing:
    """The error for a topic that does not exist."""
    return TopicMissing(f"topic {name} does not exist: create the topics with `streamer topics create`")
