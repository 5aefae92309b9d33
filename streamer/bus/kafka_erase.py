"""Forgetting records on Kafka, as far as brokers can.

A broker deletes no single record. In a compacted topic a tombstone has it remove what the key had. Elsewhere it can
only move the beginning of a partition: that is done as far as nothing but what is to be forgotten lies before; what
lies behind somebody else's record stays until retention takes its segment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kafka.structs import TopicPartition

from streamer.bus.kafka_topics import Configs
from streamer.bus.protocol import Erased, Found, Headers, Incoming, Judge, Outgoing, Verdict

_CHECKS_S = 660.0
"""How long after a segment is due its broker may take: it looks every 5 minutes and keeps a deleted file for one."""
_UNBOUNDED_MS = 10 * 365 * 86_400_000


@dataclass(slots=True)
class _Partition:
    """What is known of a partition.

    `before` is up to where it holds nothing but what is to be forgotten, `n_before` how much that is. `readable` are
    the keys of which something is to be forgotten whose value can still be read; `newest` what is to become of the
    newest record of each key, with its headers.
    """

    before: int | None = None
    n_before: int = 0
    mixed: bool = False
    readable: set[bytes] = field(default_factory=set)
    newest: dict[bytes, tuple[Verdict, Headers]] = field(default_factory=dict)


class Survey:
    """Takes all records of some topics, in the order of each partition, and says what can be done about them."""

    def __init__(self, configs: Mapping[str, Configs], judge: Judge) -> None:
        self._configs = configs
        self._judge = judge
        self._partitions: dict[tuple[str, int], _Partition] = {}
        self.found = {name: Found(name) for name in configs}

    def take(self, records: Iterable[Incoming]) -> None:
        """Look at these."""
        for record in records:
            verdict = self._judge(record)
            at = self._partitions.setdefault((record.topic, record.partition), _Partition())
            if self._is_compacted(record.topic):
                at.newest[record.key] = (verdict, record.headers)
            if verdict == "keep":
                at.mixed = True
                continue
            self.found[record.topic].count(record)
            if record.value is not None:
                at.readable.add(record.key)
            if not at.mixed:
                at.before, at.n_before = record.offset + 1, at.n_before + 1

    def close(self) -> None:
        """All records were taken: say by when the brokers will have removed them."""
        for name, found in self.found.items():
            found.gone_by_s = gone_by_s(found, self._configs[name]) if found.n else None

    def beginnings(self) -> dict[TopicPartition, int]:
        """Where partitions may begin without losing anything of others."""
        return {TopicPartition(*place): at.before for place, at in self._deletable() if at.before is not None}

    def removable(self) -> dict[str, int]:
        """By topic, how many records moving the beginnings removes."""
        counts: dict[str, int] = {}
        for (topic, _), at in self._deletable():
            counts[topic] = counts.get(topic, 0) + at.n_before
        return counts

    def replacements(self) -> list[Outgoing]:
        """What to write to compacted topics: a tombstone, or the value that stands instead.

        Also for a key that has a tombstone while older values can be read: whatever is written has the broker close
        the segment they lie in when it is old enough, and only closed ones are compacted.
        """
        written = []
        for (topic, partition), at in self._partitions.items():
            for key in at.readable if self._is_compacted(topic) else ():
                verdict, headers = at.newest[key]
                if isinstance(verdict, bytes):
                    written.append(Outgoing(topic, partition, key, verdict, headers))
                elif verdict == "forget":
                    written.append(Outgoing(topic, partition, key, None))
        return written

    def _is_compacted(self, topic: str) -> bool:
        return "compact" in self._configs[topic]["cleanup.policy"]

    def _deletable(self) -> Sequence[tuple[tuple[str, int], _Partition]]:
        return [
            (place, at) for place, at in self._partitions.items() if at.n_before and not self._is_compacted(place[0])
        ]


def move_beginnings(admin: Any, beginnings: Mapping[TopicPartition, int]) -> None:
    """Have partitions begin there. Raises `KafkaError`."""
    if beginnings:
        admin.delete_records(dict(beginnings))


def gone_by_s(found: Found, configs: Configs) -> float | None:
    """The wall time by which the brokers remove what was found, given that others go on to write to its partitions.

    By age: once the newest record of its segment is too old. By compaction: once its segment is closed and old enough.
    """
    by_age = _sum_s(configs, "retention.ms", "segment.ms") if "delete" in configs["cleanup.policy"] else None
    lags = ("max.compaction.lag.ms", "segment.ms", "delete.retention.ms")
    by_key = _sum_s(configs, *lags) if "compact" in configs["cleanup.policy"] else None
    waits_s = [span_s for span_s in (by_age, by_key) if span_s is not None]
    return found.newest_s + min(waits_s) + _CHECKS_S if waits_s else None


def erased(survey: Survey, written: Sequence[Outgoing]) -> Erased:
    """What was done, in the words of both homes."""
    tombstones: dict[str, int] = {}
    for record in written:
        tombstones[record.topic] = tombstones.get(record.topic, 0) + (record.value is None)
    return Erased(survey.found, survey.removable(), tombstones)


def _sum_s(configs: Configs, *keys: str) -> float | None:
    spans_ms = [int(configs[key]) for key in keys]
    if any(span_ms < 0 or span_ms > _UNBOUNDED_MS for span_ms in spans_ms):
        return None
    return sum(spans_ms) / 1000
