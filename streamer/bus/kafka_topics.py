"""Topics on Kafka: how they are made, what those that exist are like, and what may be changed of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kafka import errors
from kafka.admin import ConfigResource, ConfigResourceType

from streamer.bus.kafka_options import KafkaOptions
from streamer.bus.protocol import Topic

Configs = dict[str, str]

_BATCH_OVERHEAD_BYTES = 4096
_DEFAULT_MAX_MESSAGE_BYTES = 1_048_588
_COMPACTED = {
    "segment.bytes": str(16 * 1024 * 1024),
    "segment.ms": "600000",
    "min.cleanable.dirty.ratio": "0.1",
    "delete.retention.ms": "3600000",
    # What was replaced or deleted is gone within that of the next segment, however little else changes.
    "max.compaction.lag.ms": "3600000",
}
_SEGMENT_SHARE = 8
_SHORTEST_SEGMENT_MS = 600_000
_LONGEST_SEGMENT_MS = 7 * 86_400_000
_CHANGEABLE = ("retention.ms", "segment.ms", "max.compaction.lag.ms")


def configs_of(topic: Topic, options: KafkaOptions) -> Configs:
    """How `topic` is to be on a broker.

    A broker deletes whole segments, whose newest record is old enough: they are kept short against the retention.
    """
    kept_ms = -1 if topic.retention_s is None else int(topic.retention_s * 1000)
    configs = {
        "cleanup.policy": topic.cleanup,
        "message.timestamp.type": "LogAppendTime",
        "min.insync.replicas": str(options.min_insync_replicas),
        "retention.ms": str(kept_ms),
        "max.message.bytes": str(max(_DEFAULT_MAX_MESSAGE_BYTES, options.max_record_bytes + _BATCH_OVERHEAD_BYTES)),
    }
    if "compact" in topic.cleanup:
        return configs | _COMPACTED
    if kept_ms > 0:
        share_ms = max(_SHORTEST_SEGMENT_MS, kept_ms // _SEGMENT_SHARE)
        configs["segment.ms"] = str(min(_LONGEST_SEGMENT_MS, share_ms))
    return configs


def shapes(admin: Any) -> dict[str, int]:
    """The partition counts of the topics that exist."""
    return {
        topic["name"]: len(topic["partitions"]) for topic in admin.describe_topics() if not topic.get("error_code", 0)
    }


def create(admin: Any, missing: Iterable[Topic], options: KafkaOptions) -> None:
    """Make the topics and wait until they are there."""
    wanted = {
        topic.name: {
            "num_partitions": topic.partitions,
            "replication_factor": options.replication_factor,
            "configs": configs_of(topic, options),
        }
        for topic in missing
    }
    try:
        admin.create_topics(wanted)
    except errors.TopicAlreadyExistsError:
        pass  # somebody else starts too; what they made is checked next
    admin.wait_for_topics(list(wanted))


def describe(admin: Any, names: Sequence[str]) -> dict[str, Configs]:
    """All settings of each topic, as they hold."""
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    described = admin.describe_configs(resources, config_filter="all")["topic"]
    return {name: {key: one["value"] for key, one in described[name].items()} for name in names}


def differences(topics: Iterable[Topic], present: Mapping[str, Configs], options: KafkaOptions) -> dict[str, Configs]:
    """By topic, the settings that say how long records stay and are not as they are to be, as they are to be."""
    found = {}
    for topic in topics:
        wanted = configs_of(topic, options)
        found[topic.name] = {
            key: wanted[key] for key in _CHANGEABLE if key in wanted and present[topic.name].get(key) != wanted[key]
        }
    return {name: configs for name, configs in found.items() if configs}


def change(admin: Any, wanted: Mapping[str, Configs]) -> None:
    """Set these settings of the topics, and no others. Raises `KafkaError` for the first that is refused."""
    resources = [ConfigResource(ConfigResourceType.TOPIC, name, configs) for name, configs in wanted.items()]
    answers = admin.alter_configs(resources)["topic"] if resources else {}
    for name, answer in answers.items():
        if answer != "OK":
            raise errors.PolicyViolationError(f"the retention of {name} cannot be changed: {answer}")
