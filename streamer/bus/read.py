"""Typed records out of what a bus holds now: for programs that read once and end (reports, exports)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from streamer.bus.protocol import Bus, Incoming, Isolation
from streamer.bus.topics import content_type
from streamer.errors import UndecodableRecord
from streamer.messages import Envelope, RunRecord, decode

POLL_S = 0.5
MAX_RECORDS = 1000
AnyEnvelope = TypeVar("AnyEnvelope", bound=Envelope)


@dataclass(slots=True)
class ReadCounts:
    """What was passed over while reading, by cause: nothing is lost silently."""

    read: int = 0
    skipped: Counter[str] = field(default_factory=Counter)


def drain(bus: Bus, topics: Sequence[str], isolation: Isolation = "read_committed") -> Iterator[Incoming]:
    """Everything in `topics` until now, partition by partition in order; leaves no group behind.

    Only what is committed, unless `isolation` asks for what was taken back, or may be, too.
    """
    consumer = bus.consumer(topics, group=None, start="earliest", isolation=isolation)
    try:
        may_be_more = False  # a full batch says so; asking the broker for the end costs a round trip
        while may_be_more or not consumer.at_end():
            batch = consumer.poll(POLL_S, MAX_RECORDS)
            yield from batch
            may_be_more = len(batch) == MAX_RECORDS
    finally:
        consumer.close()


def typed(
    incoming: Iterable[Incoming],
    kind: type[AnyEnvelope],
    *,
    runs: Container[str] | None = None,
    streams: Container[str] | None = None,
    counts: ReadCounts | None = None,
) -> Iterator[AnyEnvelope]:
    """The records of `kind`, of these runs and streams, in the order read.

    What cannot be decoded is counted as `undecodable`. On live topics a record of an older epoch is kept when it was
    captured before the newest claim seen for its stream (late, from a spool) and counted as `stale_epoch` otherwise:
    a worker that lost its stream wrote it.
    """
    counts = counts if counts is not None else ReadCounts()
    owners = Owners()
    for message in incoming:
        if message.value is None:
            continue
        try:
            record = decode(message.value, kind, content_type(message.headers))
        except UndecodableRecord:
            counts.skipped["undecodable"] += 1
            continue
        if (runs is not None and record.run not in runs) or (streams is not None and record.stream not in streams):
            continue
        if ".archive." not in message.topic and owners.has_left((message.topic, record.stream), record):
            counts.skipped["stale_epoch"] += 1
            continue
        counts.read += 1
        yield record


def run_records(bus: Bus, prefix: str = "affect") -> list[RunRecord]:
    """The newest record of every run that the bus knows, the earliest started first."""
    newest: dict[bytes, RunRecord] = {}
    for message in drain(bus, [f"{prefix}.runs"]):
        if message.value is None:
            newest.pop(message.key, None)
            continue
        try:
            newest[message.key] = decode(message.value, RunRecord, content_type(message.headers))
        except UndecodableRecord:
            continue
    return sorted(newest.values(), key=lambda run: (run.started_s, run.run))


class Owners:
    """The newest owner of each stream in each topic: its epoch, and when that began."""

    def __init__(self) -> None:
        self._newest: dict[tuple[str, str], tuple[int, float | None]] = {}

    def has_left(self, place: tuple[str, str], record: Envelope) -> bool:
        """Whether the record's writer had lost the stream when it saw the frame; `place` is (topic, stream).

        A former owner's record of an earlier frame is merely late (it waited out an outage) and stays.
        """
        epoch, began_s = self._newest.get(place, (record.epoch, record.epoch_time_s))
        if record.epoch >= epoch:
            self._newest[place] = (record.epoch, record.epoch_time_s)
            return False
        return record.capture_time_s is None or (began_s is not None and record.capture_time_s >= began_s)
