"""What is said over HTTP: how a stream is wanted, how it is, and what went wrong."""

from __future__ import annotations

from typing import Protocol

import msgspec
from msgspec import UNSET, UnsetType

from streamer.errors import StreamerError
from streamer.messages import Mode, StreamDefinition
from streamer.metrics import Metrics


class Wish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of a PUT: a stream with all its settings. See `StreamDefinition`."""

    source: str
    model: str | None = None
    sample_fps: float | None = None
    keyframes_only: bool | None = None
    max_faces: int | None = None
    priority: int = 0
    paused: bool = False
    repeat: bool = False


class Change(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of a PATCH: what is given changes, the rest stays."""

    source: str | UnsetType = UNSET
    model: str | UnsetType | None = UNSET
    sample_fps: float | UnsetType | None = UNSET
    keyframes_only: bool | UnsetType | None = UNSET
    max_faces: int | UnsetType | None = UNSET
    priority: int | UnsetType = UNSET
    paused: bool | UnsetType = UNSET
    repeat: bool | UnsetType = UNSET


class StreamShown(msgspec.Struct, frozen=True, kw_only=True):
    """A stream as it is shown: `source` holds no secret. Counters go from the stream's beginning here."""

    stream: str
    source: str
    mode: Mode
    state: str
    cause: str | None = None
    message: str | None = None
    model: str | None = None
    sample_fps: float | None = None
    keyframes_only: bool | None = None
    max_faces: int | None = None
    priority: int = 0
    paused: bool = False
    repeat: bool = False
    media_time_s: float = 0.0
    frame_age_s: float | None = None
    reorder_delay_s: float | None = None
    decoded: int = 0
    analysed: int = 0
    faces: int = 0
    records: int = 0
    corrupt_packets: int = 0
    restarts: int = 0
    dropped: dict[str, int] = {}


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """The process works: its loop answered."""

    status: str = "ok"
    role: str
    run: str
    streams: int
    children: int


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the process does what it is for: its models are warm, and a worker has partitions. Where it does not, a
    stable word and a sentence that say why.
    """

    ready: bool
    cause: str | None = None
    reason: str | None = None


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why a request was not followed: a stable word, and a sentence without secrets."""

    cause: str
    error: str


class Unknown(StreamerError):
    """There is no stream of that name."""

    cause = "unknown_stream"


class NotChangeable(StreamerError):
    """What is analysed as archive is not changed while it runs."""

    cause = "not_changeable"


class Busy(StreamerError):
    """The process did not answer in time."""

    cause = "busy"


class Backend(Protocol):
    """The process that is looked at and changed. Called by threads of the server; each call waits for its answer.

    Raises `StreamerError` for what is not followed: `Unknown`, `Busy`, or what is wrong with the definition.
    """

    metrics: Metrics

    def health(self) -> Health:
        """How the process is."""

    def readiness(self) -> Readiness:
        """Whether it does its work."""

    def streams(self) -> list[StreamShown]:
        """Every stream, by name."""

    def put(self, stream: str, wish: Wish) -> str:
        """Have a stream watched so, with all its settings: `added` or `replaced`."""

    def change(self, stream: str, change: Change) -> str:
        """Change what is given: `changed`."""

    def remove(self, stream: str) -> str:
        """Have it watched no more: `removed`."""


def defined(stream: str, wish: Wish, now_s: float) -> StreamDefinition:
    """The definition that a PUT means."""
    return msgspec.convert(
        {"stream": stream, "updated_s": round(now_s, 6)} | msgspec.to_builtins(wish), StreamDefinition
    )


def changed(definition: StreamDefinition, change: Change, now_s: float) -> StreamDefinition:
    """The definition that a PATCH leads to."""
    return msgspec.structs.replace(definition, updated_s=round(now_s, 6), **msgspec.to_builtins(change))
