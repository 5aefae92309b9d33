"""The wanted streams and what was last heard of them, together. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from streamer.bus.protocol import Incoming
from streamer.bus.topics import Topics, content_type
from streamer.errors import UndecodableRecord
from streamer.messages import AnyMessage, Claim, DeadLetter, SourceState, Status, StreamDefinition, decode
from streamer.source import redacted

_NUMBER = re.compile(r"[0-9]+")
SETTINGS = ("model", "sample_fps", "keyframes_only", "max_faces", "priority", "paused", "repeat")
"""What a definition says besides its source. None is left to the settings of whoever watches the stream."""


@dataclass(frozen=True, slots=True)
class StreamView:
    """One stream: its definition with the source's secrets masked, and its newest status.

    `state` is None where nothing was heard of it lately. `status_age_s` is how long ago it was, `frame_age_s` how old
    its newest frame was then; `worker` owns it, where claims were read.
    """

    stream: str
    source: str
    model: str | None
    sample_fps: float | None
    keyframes_only: bool | None
    max_faces: int | None
    priority: int
    paused: bool
    repeat: bool
    updated_s: float
    state: SourceState | None = None
    cause: str | None = None
    message: str | None = None
    worker: str | None = None
    run: str | None = None
    epoch: int | None = None
    status_age_s: float | None = None
    frame_age_s: float | None = None
    analysed: int = 0
    faces: int = 0
    dropped: int = 0


def read(record: Incoming | None, kind: type[AnyMessage]) -> AnyMessage | None:
    """The record of that kind; None for a tombstone and for what cannot be read."""
    if record is None or record.value is None:
        return None
    try:
        return decode(record.value, kind, content_type(record.headers))
    except UndecodableRecord:
        return None


def settings_of(definition: StreamDefinition) -> dict[str, Any]:
    """What it says besides its source, by name."""
    return {name: getattr(definition, name) for name in SETTINGS}


def view(definition: StreamDefinition, heard: Incoming | None, claim: Incoming | None, now_s: float) -> StreamView:
    """A stream as it is wanted and as it is."""
    owner = read(claim, Claim)
    wanted = StreamView(
        stream=definition.stream,
        source=redacted(definition.source),
        **settings_of(definition),
        updated_s=definition.updated_s,
        worker=owner.worker if owner else None,
    )
    status = read(heard, Status)
    if status is None or heard is None:
        return wanted
    return replace(
        wanted,
        state=status.state,
        cause=status.cause,
        message=status.message,
        run=status.run,
        epoch=status.epoch,
        status_age_s=round(max(0.0, now_s - heard.time_s), 3),
        frame_age_s=status.frame_age_s,
        analysed=status.analysed,
        faces=status.faces,
        dropped=sum(status.dropped.values()),
    )


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that changed, at the broker's wall time `time_s`: `what` happened to `stream`, with details."""

    time_s: float
    stream: str
    what: str
    details: Mapping[str, object] = field(default_factory=dict)


@dataclass(slots=True)
class StreamWatch:
    """Turns the records of the control topic, the statuses and the dead letters into what has changed.

    A state that is said again says nothing new; the first that is heard of a stream does. What a former owner still
    says of a stream that has another is left out.
    """

    names: Topics
    _states: dict[str, tuple[str, str | None, str]] = field(default_factory=dict)
    _epochs: dict[str, int] = field(default_factory=dict)

    def take(self, record: Incoming) -> list[Happening]:
        """What a record of one of the three topics tells that is new."""
        if record.topic == self.names.streams.name:
            return self._wish(record)
        return self._status(record) if record.topic == self.names.status.name else self._letter(record)

    def _wish(self, record: Incoming) -> list[Happening]:
        stream = record.key.decode("utf-8", "backslashreplace")
        if record.value is None:
            self._states.pop(stream, None)
            return [Happening(record.time_s, stream, "removed")]
        definition = read(record, StreamDefinition)
        if definition is None:
            return []  # whoever owns the stream rejects it
        details = {"source": redacted(definition.source)} | settings_of(definition)
        return [Happening(record.time_s, stream, "defined", details)]

    def _status(self, record: Incoming) -> list[Happening]:
        status = read(record, Status)
        if status is None or status.epoch < self._epochs.get(status.stream, status.epoch):
            return []
        self._epochs[status.stream] = status.epoch
        told = (status.state, status.cause, _NUMBER.sub("", status.message or ""))  # an age that grows is no news
        if self._states.get(status.stream) == told:
            return []
        self._states[status.stream] = told
        details = {"cause": status.cause, "message": status.message, "epoch": status.epoch}
        return [Happening(record.time_s, status.stream, status.state, details)]

    def _letter(self, record: Incoming) -> list[Happening]:
        letter = read(record, DeadLetter)
        if letter is None or letter.topic != self.names.streams.name:
            return []
        stream = record.key.decode("utf-8", "backslashreplace")
        place = f"{letter.topic}/{letter.partition}@{letter.offset}"
        details = {"cause": letter.cause, "message": letter.message, "record": place}
        return [Happening(record.time_s, stream, "rejected", details)]
