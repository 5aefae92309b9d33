"""The topics: their names, their shapes, and which partition of which topic a record goes to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

import msgspec

from streamer.bus.protocol import Headers, Outgoing, Topic
from streamer.config import TopicSettings
from streamer.errors import UsageError
from streamer.messages import (
    CONTENT_TYPE,
    DeadLetter,
    Format,
    Mode,
    Observation,
    RunRecord,
    Status,
    TrackEvent,
    Window,
    encode,
)

CONTENT_TYPE_HEADER = "content-type"
EPOCH_HEADER = "epoch"
JOB_PARTITIONS = 64
_RESULTS: dict[type[msgspec.Struct], str] = {Observation: "observations", Window: "windows", TrackEvent: "tracks"}
_PREFIX = re.compile(r"[A-Za-z0-9._-]{1,100}")
_M = 0x5BD1E995
_MASK = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Topics:
    """Every topic of one prefix."""

    observations: Topic
    windows: Topic
    tracks: Topic
    archive_observations: Topic
    archive_windows: Topic
    archive_tracks: Topic
    archive_state: Topic
    status: Topic
    streams: Topic
    state: Topic
    jobs: Topic
    jobs_status: Topic
    runs: Topic
    deadletter: Topic

    def all(self) -> tuple[Topic, ...]:
        """Each topic once."""
        return tuple(getattr(self, name) for name in self.__slots__)


@lru_cache(maxsize=32)
def topics(settings: TopicSettings) -> Topics:
    """The topics as they must be: all stream topics share one partition count, fixed when they are created.

    Raises `UsageError` for a prefix that Kafka would not take.
    """
    if not _PREFIX.fullmatch(settings.prefix):
        raise UsageError(
            f"topics.prefix {settings.prefix!r} must be 1 to 100 letters, digits, dots, dashes and underscores"
        )

    def topic(name: str, cleanup: str, partitions: int = settings.partitions) -> Topic:
        own_s = getattr(settings.retention, f"{name.replace('.', '_')}_s", None)
        kept_s = (settings.retention_s if own_s is None else own_s) if "delete" in cleanup else None
        return Topic(f"{settings.prefix}.{name}", partitions, cleanup, kept_s)  # type: ignore[arg-type]  # literals below

    return Topics(
        observations=topic("observations", "delete"),
        windows=topic("windows", "delete"),
        tracks=topic("tracks", "delete"),
        archive_observations=topic("archive.observations", "delete"),
        archive_windows=topic("archive.windows", "delete"),
        archive_tracks=topic("archive.tracks", "delete"),
        archive_state=topic("archive.state", "compact"),
        status=topic("status", "delete,compact"),
        streams=topic("streams", "compact"),
        state=topic("state", "compact"),
        jobs=topic("jobs", "delete", JOB_PARTITIONS),
        jobs_status=topic("jobs.status", "compact", JOB_PARTITIONS),
        runs=topic("runs", "compact", 1),
        deadletter=topic("deadletter", "delete", 1),
    )


def murmur2(data: bytes) -> int:
    """The 32-bit hash by which Kafka's own clients choose partitions (Appleby's MurmurHash2, seed 0x9747b28c)."""
    n = len(data)
    h = 0x9747B28C ^ n
    whole = n - n % 4
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at : at + 4], "little") * _M & _MASK
        k = (k ^ k >> 24) * _M & _MASK
        h = (h * _M & _MASK) ^ k
    if n % 4:
        h = (h ^ int.from_bytes(data[whole:], "little")) * _M & _MASK
    h = (h ^ h >> 13) * _M & _MASK
    return h ^ h >> 15


@lru_cache(maxsize=65536)
def partition_of(stream: str, n_partitions: int) -> int:
    """The partition of a stream (or run, or job) in a topic of `n_partitions`: what any Kafka client computes."""
    return (murmur2(key_of(stream)) & 0x7FFFFFFF) % n_partitions


def key_of(stream: str, track: str | int | None = None) -> bytes:
    """The record key: the stream id, or `stream/track`."""
    return (stream if track is None else f"{stream}/{track}").encode("utf-8", "surrogateescape")


def outgoing(
    record: Observation | Window | TrackEvent | Status | RunRecord, settings: TopicSettings, mode: Mode = "live"
) -> Outgoing:
    """Where `record` goes, and its bytes. Results go to the live or the archive topics by `mode`."""
    names = topics(settings)
    if isinstance(record, RunRecord):
        topic, key = names.runs, record.run
    elif isinstance(record, Status):
        topic, key = names.status, record.stream
    else:
        name = _RESULTS[type(record)]
        topic, key = getattr(names, f"archive_{name}" if mode == "archive" else name), record.stream
    return Outgoing(
        topic.name,
        partition_of(key, topic.partitions),
        key_of(key),
        encode(record, settings.format),
        _content(settings.format),
    )


def state_record(
    settings: TopicSettings,
    mode: Mode,
    stream: str,
    value: bytes | None,
    *,
    key: bytes,
    epoch: int | None = None,
) -> Outgoing:
    """A snapshot (or, with `value` None, its tombstone) under the stream's or the track's key, in the stream's
    partition."""
    names = topics(settings)
    topic = names.archive_state if mode == "archive" else names.state
    headers: Headers = () if value is None else _content("msgpack")
    if epoch is not None:
        headers = (*headers, (EPOCH_HEADER, str(epoch).encode()))
    return Outgoing(topic.name, partition_of(stream, topic.partitions), key, value, headers)


def dead_letter(record: DeadLetter, key: bytes, settings: TopicSettings) -> Outgoing:
    """A record that could not be read, on its way to the dead letters under its original key."""
    topic = topics(settings).deadletter
    return Outgoing(topic.name, 0, key, encode(record, settings.format), _content(settings.format))


def content_type(headers: Headers) -> bytes:
    """What the headers say of the value's format; MessagePack when they say nothing."""
    for name, value in headers:
        if name == CONTENT_TYPE_HEADER:
            return value
    return CONTENT_TYPE["msgpack"]


def _content(format: Format) -> Headers:
    return ((CONTENT_TYPE_HEADER, CONTENT_TYPE[format]),)
