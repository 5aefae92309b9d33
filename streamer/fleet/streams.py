"""The wanted streams of the partitions we own, as the control topic tells them: records in, changes out."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field

from streamer.bus.protocol import Incoming
from streamer.bus.topics import content_type, partition_of
from streamer.errors import StreamerError
from streamer.fleet.admission import Admission
from streamer.messages import StreamDefinition, decode
from streamer.source import Source, is_stream_id
from streamer.wishes.records import Rejected

_REOPENING = frozenset(("source", "model", "repeat"))
_COMPARED = (*sorted(_REOPENING), "sample_fps", "keyframes_only", "max_faces", "priority", "paused")


@dataclass(frozen=True, slots=True)
class WantedStream:
    """A good definition, the source it means, and the partition it lies in."""

    definition: StreamDefinition
    source: Source
    partition: int

    @property
    def stream(self) -> str:
        """Its id."""
        return self.definition.stream


@dataclass(frozen=True, slots=True)
class Added:
    """A stream is wanted that was not."""

    wanted: WantedStream


@dataclass(frozen=True, slots=True)
class Changed:
    """A stream is wanted otherwise. `reopen`: its source must be opened again for that; else it goes on as it runs."""

    before: WantedStream
    wanted: WantedStream
    fields: frozenset[str]

    @property
    def reopen(self) -> bool:
        return needs_reopening(self.before.definition, self.wanted.definition)


@dataclass(frozen=True, slots=True)
class Removed:
    """A stream is wanted no more."""

    before: WantedStream


StreamChange = Added | Changed | Removed | Rejected


@dataclass(slots=True)
class StreamTable:
    """What the owned partitions of the control topic ask for.

    A definition that cannot be followed is rejected and the last good one of its stream goes on here. That lasts
    while the partition stays: its next owner reads only what compaction has left, which may be the bad one alone.
    """

    admission: Admission
    n_partitions: int
    _wanted: dict[str, WantedStream] = field(default_factory=dict)

    def take(self, record: Incoming) -> list[StreamChange]:
        """What a record of the control topic changes; nothing where it says again what is known."""
        stream = record.key.decode("utf-8", "surrogateescape")
        before = self._wanted.get(stream)
        if record.value is None:
            return self._removed(record, stream)
        try:
            wanted = self._read(record, record.value, stream)
        except StreamerError as error:
            message = str(error)
            if before is not None:
                message += " What was defined before goes on."
            return [Rejected(record, error.cause, message)]
        if before is None:
            self._wanted[stream] = wanted
            return [Added(wanted)]
        fields = frozenset(
            name for name in _COMPARED if getattr(before.definition, name) != getattr(wanted.definition, name)
        )
        self._wanted[stream] = wanted
        return [Changed(before, wanted, fields)] if fields else []

    def _removed(self, record: Incoming, stream: str) -> list[StreamChange]:
        before = self._wanted.get(stream)
        if before is None or before.partition != record.partition:
            return []
        del self._wanted[stream]
        return [Removed(before)]

    def _read(self, record: Incoming, value: bytes, stream: str) -> WantedStream:
        definition = decode(value, StreamDefinition, content_type(record.headers))
        if not is_stream_id(stream):
            raise BadDefinition("its key is no stream's id: use letters, digits, dots, dashes and underscores.")
        if definition.stream != stream:
            raise BadDefinition("it names another stream than its key: both must be the stream's id.")
        if partition_of(stream, self.n_partitions) != record.partition:
            raise BadDefinition(
                "it lies in another partition than its key's murmur2 hash gives, where another worker would run it too."
            )
        rate = definition.sample_fps
        if rate is not None and not (math.isfinite(rate) and rate > 0):
            raise BadDefinition("sample_fps must be more than 0, or null for what the worker's settings say.")
        if definition.max_faces is not None and definition.max_faces < 0:
            raise BadDefinition("max_faces must be 0 (all) or more, or null for what the worker's settings say.")
        self.admission.check_models(definition.model)
        source = self.admission.source(stream, definition.source, "live")
        return WantedStream(definition, source, record.partition)

    def get(self, stream: str) -> WantedStream | None:
        """What is wanted of a stream."""
        return self._wanted.get(stream)

    def all(self) -> list[WantedStream]:
        """Every wanted stream, paused ones too, by id."""
        return sorted(self._wanted.values(), key=lambda wanted: wanted.stream)

    def drop(self, partitions: Collection[int]) -> list[WantedStream]:
        """Forget these partitions; returns what was wanted there."""
        gone = [wanted for wanted in self.all() if wanted.partition in partitions]
        for wanted in gone:
            del self._wanted[wanted.stream]
        return gone


def needs_reopening(before: StreamDefinition, after: StreamDefinition) -> bool:
    """Whether a running stream must be opened anew for its new definition."""
    return any(getattr(before, name) != getattr(after, name) for name in _REOPENING)


class BadDefinition(StreamerError):
    """A definition contradicts itself or its place."""

    cause = "bad_definition"
