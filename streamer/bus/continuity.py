"""What the numbers of records tell a reader: what came before, what is missing, what a crash may have cost.

`seq` counts a stream's records in one topic, within an epoch (live) or within a run (archive), from 0. Pure: records
in, answers out.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal

from streamer.bus.protocol import Incoming
from streamer.messages import Envelope

GapKind = Literal["hole", "crash"]
_EPOCHS_KEPT = 4  # of one stream: late records come from the epoch before, hardly ever from an older one
_HOLES_KEPT = 64
_STREAMS_KEPT = 10_000  # of one partition; in the archive each run of a stream counts


@dataclass(frozen=True, slots=True)
class Gap:
    """Records of `stream` in `topic` that should have come by now and did not.

    `hole`: the numbers `first_missing` to `last_missing` of the epoch were given to records that did not come.
    `crash`: a new epoch began whose writer did not know the former epoch as far as it was read, or further. What the
    former epoch had from `first_missing` on may be lost, up to `last_missing` where that is known. A record that was
    only late may still come after its gap was told.
    """

    topic: str
    stream: str
    epoch: int
    first_missing: int
    last_missing: int | None
    kind: GapKind = "hole"
    run: str = ""


class Continuity:
    """Follows the numbers of every stream in what one reader reads.

    Only what lies between two records of uninterrupted reading can be missing: who begins in the middle, or was
    overtaken by retention, or got a live partition back from another member of its group, begins anew. `compacted`
    topics leave numbers out by design and `shared` archive topics are read by several members: there repetitions are
    recognised and gaps are not told.
    """

    def __init__(self, compacted: frozenset[str] = frozenset(), *, shared: bool = False) -> None:
        self._compacted = compacted
        self._shared = shared
        self._partitions: dict[tuple[str, int], _Partition] = {}

    def passed(self, incoming: Incoming) -> None:
        """A record was read, whatever it holds: to be told of all, in order."""
        place = (incoming.topic, incoming.partition)
        partition = self._partitions.setdefault(place, _Partition(incoming.offset))
        # Transactions and compaction leave offsets out; elsewhere a missing offset says that reading was interrupted.
        every_offset = incoming.topic not in self._compacted and not _is_archive(incoming.topic)
        if every_offset and incoming.offset > partition.next_offset:
            partition = self._partitions[place] = _Partition(incoming.offset)
        partition.next_offset = max(partition.next_offset, incoming.offset + 1)

    def is_repeated(self, incoming: Incoming, record: Envelope) -> bool:
        """Whether a record of this number was read before; `passed` was called for it."""
        counts = self._counts(incoming, record)
        count = None if counts is None else counts.get(record.epoch)
        return count is not None and count.has(record.seq)

    def take(self, incoming: Incoming, record: Envelope) -> list[Gap]:
        """Take a record that is no repetition into account: the gaps it shows."""
        counts = self._counts(incoming, record)
        if counts is None:
            return []
        count, gaps = counts.get(record.epoch), list[Gap]()
        if count is None:
            is_next = bool(counts) and record.epoch > max(counts)
            if is_next:
                gaps += _crash(incoming.topic, record, counts)
            # The first record of a stream, or of an epoch older than those read: reading began in the middle of it.
            count = counts[record.epoch] = _Count(0 if is_next else record.seq)
            while len(counts) > _EPOCHS_KEPT:
                del counts[min(counts)]
        hole = count.take(record.seq)
        if hole is not None:
            gaps.append(Gap(incoming.topic, record.stream, record.epoch, *hole, run=record.run))
        untold = incoming.topic in self._compacted or (self._shared and _is_archive(incoming.topic))
        return [] if untold else gaps

    def _counts(self, incoming: Incoming, record: Envelope) -> dict[int, _Count] | None:
        """The counts of the record's stream by epoch; None where numbers say nothing.

        That is what was written outside the archive without a claim: the status of archive work, whose numbers begin
        anew with each attempt.
        """
        partition = self._partitions[incoming.topic, incoming.partition]
        if _is_archive(incoming.topic):
            return partition.counts((record.stream, record.run))
        return None if record.epoch_time_s is None else partition.counts((record.stream, ""))


class _Count:
    """Which numbers of one epoch have come: those below `next`, without the holes."""

    __slots__ = ("holes", "next")

    def __init__(self, begins_at: int) -> None:
        self.next = begins_at
        self.holes: list[tuple[int, int]] = [(0, begins_at - 1)] if begins_at > 0 else []

    def has(self, seq: int) -> bool:
        return seq < self.next and not any(first <= seq <= last for first, last in self.holes)

    def take(self, seq: int) -> tuple[int, int] | None:
        """Count a number that has not come yet; returns the hole that it leaves before it."""
        if seq < self.next:
            self.holes = [part for hole in self.holes for part in _without(hole, seq)]
            return None
        hole = (self.next, seq - 1) if seq > self.next else None
        if hole is not None:
            self.holes.append(hole)
            if len(self.holes) > _HOLES_KEPT:  # rather a repetition let through than a late record taken for one
                self.holes[:2] = [(self.holes[0][0], self.holes[1][1])]
        self.next = seq + 1
        return hole


class _Partition:
    """One partition while its reading goes on: the counts of each stream by epoch."""

    __slots__ = ("_streams", "next_offset")

    def __init__(self, next_offset: int) -> None:
        self.next_offset = next_offset
        self._streams: OrderedDict[tuple[str, str], dict[int, _Count]] = OrderedDict()

    def counts(self, name: tuple[str, str]) -> dict[int, _Count]:
        counts = self._streams.setdefault(name, {})
        self._streams.move_to_end(name)
        if len(self._streams) > _STREAMS_KEPT:
            self._streams.popitem(last=False)
        return counts


def _crash(topic: str, record: Envelope, counts: dict[int, _Count]) -> list[Gap]:
    """What the epoch before may have lost, by what its successor knew of it and what was read of it."""
    if record.seq > 0 or record.prev_epoch is None or record.prev_epoch < max(counts):
        return []  # the record that would say is missing itself, or says nothing of what was read
    before = counts.get(record.prev_epoch)
    read = 0 if before is None else before.next
    known = 0 if record.prev_seq is None else record.prev_seq + 1
    if read == known:  # handed over after its last record
        return []
    last_missing = known - 1 if known > read else None
    return [Gap(topic, record.stream, record.prev_epoch, read, last_missing, "crash", record.run)]


def _without(hole: tuple[int, int], seq: int) -> list[tuple[int, int]]:
    first, last = hole
    return [(a, b) for a, b in ((first, min(last, seq - 1)), (max(first, seq + 1), last)) if a <= b]


def _is_archive(topic: str) -> bool:
    return ".archive." in topic
