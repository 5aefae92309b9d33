"""Everything the pages show, as records told it: bounded, whatever comes. Written by one thread, read by others."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from streamer.bus.protocol import GroupSeen, Incoming
from streamer.bus.read import Owners
from streamer.bus.topics import Topics, content_type, topics
from streamer.clock import Clock
from streamer.config import TopicSettings
from streamer.errors import UndecodableRecord
from streamer.messages import DeadLetter, Observation, Status, StreamDefinition, TrackEvent, Window, decode
from streamer.source import redacted
from streamer.web.streams import StreamLife
from streamer.wishes.batches import JobBoard
from streamer.wishes.views import read

MAX_STREAMS = 1000
FORGOTTEN_S = 600.0
"""A stream that nobody wants and of which nothing was heard for so long is shown no more."""
UNANSWERED_S = 5.0


@dataclass(slots=True)
class Wanted:
    """What the control topic and the jobs' board say: read whole at each beginning, then kept up."""

    definitions: dict[str, StreamDefinition] = field(default_factory=dict)
    board: JobBoard = field(default_factory=JobBoard)

    def take(self, record: Incoming, names: Topics) -> str | None:
        """What a record of the two topics says; the name of the stream that it is about."""
        if record.topic == names.jobs_status.name:
            self.board.take(record)
            return None
        stream = record.key.decode("utf-8", "backslashreplace")
        definition = read(record, StreamDefinition)
        if definition is not None and definition.stream == stream:
            self.definitions[stream] = definition
        elif record.value is None:
            self.definitions.pop(stream, None)
        return stream


@dataclass(frozen=True, slots=True)
class BusState:
    """How it is with the bus: `connected` since the beginning or again; `problem` is a sentence while it is not.

    `known` tells whether anything was ever read. `silent_s` is how long no question was answered.
    """

    connected: bool
    known: bool
    problem: str | None
    silent_s: float

    @property
    def is_away(self) -> bool:
        """Whether what is shown may be old."""
        return not self.connected or self.silent_s > UNANSWERED_S


class Model:
    """The live picture. `clock` is the wall clock that ages are told by."""

    def __init__(self, settings: TopicSettings, clock: Clock) -> None:
        self.settings = settings
        self.names = topics(settings)
        self.clock = clock
        self.lock = threading.RLock()
        self.streams: dict[str, StreamLife] = {}
        self.wanted = Wanted()
        self.groups: Mapping[str, GroupSeen] = {}
        self.passed_over = 0
        self._owners = Owners()
        self._connected = False
        self._known = False
        self._problem: str | None = None
        self._answered_s = clock.monotonic_s()
        self._readers = {
            self.names.observations.name: self._observation,
            self.names.windows.name: self._window,
            self.names.tracks.name: self._event,
            self.names.status.name: self._status,
            self.names.deadletter.name: self._letter,
        }

    # -- what the reading thread tells ----------------------------------------------------------------------------

    def take(self, records: Iterable[Incoming]) -> None:
        """Records of any topic that is read, in order. What cannot be read is counted and passed over."""
        with self.lock:
            for record in records:
                if record.topic in (self.names.streams.name, self.names.jobs_status.name):
                    self._wish(record)
                elif record.value is not None:
                    try:
                        self._readers[record.topic](record, record.value)
                    except UndecodableRecord:
                        self.passed_over += 1

    def connected(self, wanted: Wanted) -> None:
        """The bus answers, and this is what lies on its control topic."""
        with self.lock:
            self.wanted = wanted
            for life in self.streams.values():
                life.definition = wanted.definitions.get(life.stream)
            for stream, definition in wanted.definitions.items():
                self._stream(stream).definition = definition
            self._connected, self._known, self._problem = True, True, None
            self.answered()

    def away(self, problem: str) -> None:
        """The bus cannot be had: why, in a sentence."""
        with self.lock:
            self._connected, self._problem = False, redacted(problem)
            self.groups = {}

    def answered(self, groups: Mapping[str, GroupSeen] | None = None) -> None:
        """The bus has just answered a question; `groups` by their names, where it was asked for them."""
        with self.lock:
            self._answered_s = self.clock.monotonic_s()
            if groups is not None:
                self.groups = groups

    def tidy(self) -> None:
        """Forget what nobody wants and nothing was heard of for long."""
        with self.lock:
            now_s = self.clock.wall_s()
            for life in list(self.streams.values()):
                if life.definition is None and now_s - life.heard_s > FORGOTTEN_S:
                    del self.streams[life.stream]

    # -- what pages ask (with `lock` held, where more than one thing is looked at) --------------------------------

    def bus(self) -> BusState:
        """How it is with the bus now."""
        with self.lock:
            silent_s = self.clock.monotonic_s() - self._answered_s
            return BusState(self._connected, self._known, self._problem, silent_s)

    def workers(self) -> GroupSeen:
        """The fleet that watches streams; nobody, where there is none."""
        return self.groups.get(self.names.streams.name, GroupSeen((), {}))

    def has_fleet(self) -> bool:
        """Whether somebody follows what is written on the control topic, or did: else nothing can be changed."""
        return bool(self.workers().members) or bool(self.wanted.definitions)

    # -- records ----------------------------------------------------------------------------------------------------

    def _wish(self, record: Incoming) -> None:
        stream = self.wanted.take(record, self.names)
        if stream is None:
            return
        definition = self.wanted.definitions.get(stream)
        if definition is not None:
            life = self._stream(stream)
            life.definition, life.rejected = definition, None
        elif stream in self.streams:
            self.streams[stream].definition = None
            self.streams[stream].rejected = None

    def _observation(self, record: Incoming, value: bytes) -> None:
        observation = decode(value, Observation, content_type(record.headers))
        if not self._owners.has_left((record.topic, observation.stream), observation):
            self._heard(record, observation.stream).observed(observation, _time_of(observation, record))

    def _window(self, record: Incoming, value: bytes) -> None:
        window = decode(value, Window, content_type(record.headers))
        if not self._owners.has_left((record.topic, window.stream), window):
            self._heard(record, window.stream).windowed(window, _time_of(window, record))

    def _event(self, record: Incoming, value: bytes) -> None:
        event = decode(value, TrackEvent, content_type(record.headers))
        if not self._owners.has_left((record.topic, event.stream), event):
            self._heard(record, event.stream).told(event, _time_of(event, record))

    def _status(self, record: Incoming, value: bytes) -> None:
        status = decode(value, Status, content_type(record.headers))
        if not self._owners.has_left((record.topic, status.stream), status):
            self._heard(record, status.stream).stated(status, record.time_s)

    def _letter(self, record: Incoming, value: bytes) -> None:
        letter = decode(value, DeadLetter, content_type(record.headers))
        stream = record.key.decode("utf-8", "backslashreplace")
        if letter.topic == self.names.streams.name and stream in self.streams:
            self.streams[stream].rejected = redacted(letter.message)

    def _heard(self, record: Incoming, stream: str) -> StreamLife:
        life = self._stream(stream)
        life.heard_s = max(life.heard_s, record.time_s)
        return life

    def _stream(self, stream: str) -> StreamLife:
        life = self.streams.get(stream)
        if life is None:
            life = self.streams[stream] = StreamLife(stream)
            life.definition = self.wanted.definitions.get(stream)
            if len(self.streams) > MAX_STREAMS:
                others = (one for one in self.streams.values() if one is not life)
                del self.streams[min(others, key=lambda one: (one.definition is not None, one.heard_s)).stream]
        return life


def _time_of(record: Observation | Window | TrackEvent, incoming: Incoming) -> float:
    return record.capture_time_s if record.capture_time_s is not None else incoming.time_s
