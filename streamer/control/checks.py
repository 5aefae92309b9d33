"""Whether a definition can be followed here: by the very code that reads the control topic."""

from __future__ import annotations

from dataclasses import dataclass, fields

from streamer.bus.protocol import Incoming
from streamer.config import Config
from streamer.errors import StreamerError
from streamer.fleet.admission import Admission, admission_of
from streamer.fleet.streams import Added, StreamTable, WantedStream
from streamer.messages import Mode, StreamDefinition
from streamer.source import Source
from streamer.wishes import records
from streamer.wishes.records import Rejected


class NotFollowed(StreamerError):
    """A definition cannot be followed; `cause` is that of its rejection."""

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(message)
        self.cause = cause


def checked(definition: StreamDefinition, config: Config, known: WantedStream | None = None) -> WantedStream:
    """The stream that `definition` wants. The source of `known` is what it is where it does not change: it was given
    by whoever started the process. Raises `NotFollowed`.
    """
    admission = admission_of(config)
    if known is not None and known.definition.source == definition.source:
        rules = {field.name: getattr(admission, field.name) for field in fields(admission)}
        admission = _WithSource(**rules, known=known.source)
    out = records.stream_definition(definition, config.topics)
    table = StreamTable(admission, config.topics.partitions)
    written = Incoming(out.topic, out.partition, 0, out.key, out.value, out.headers, definition.updated_s)
    [change] = table.take(written)
    if isinstance(change, Rejected):
        raise NotFollowed(change.cause, change.message)
    assert isinstance(change, Added), "an empty table knows no stream"
    return change.wanted


@dataclass(frozen=True)
class _WithSource(Admission):
    """Takes one source that is known already, whatever its kind."""

    known: Source

    def source(self, stream: str, address: str, mode: Mode) -> Source:
        return self.known
