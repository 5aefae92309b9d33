"""The records on the topics: their fields, their bytes, their ids.

Every value is one MessagePack map, or the same map as JSON by setting; the content-type header says which.
Within a schema version fields are only ever added, and a reader ignores what it does not know. Real numbers are
rounded to 6 decimals, so that bytes are stable and JSON stays readable.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Literal, TypeVar

import msgspec

from streamer.errors import UndecodableRecord

SCHEMA_VERSION = 1
Format = Literal["msgpack", "json"]
CONTENT_TYPE: dict[Format, bytes] = {"msgpack": b"application/msgpack", "json": b"application/json"}

Mode = Literal["live", "archive"]
TimeOrigin = Literal["rtcp", "program_date_time", "container", "arrival", "none"]
VaOrigin = Literal["predicted", "derived"]
Quality = Literal["ok", "low"]
StateOrigin = Literal["cold", "warm", "restored"]
Reused = Literal["search", "inference"]
SourceState = Literal["waiting", "paused", "connecting", "live", "stalled", "backing_off", "ended", "failed"]
RunState = Literal["running", "done", "failed", "interrupted"]
JobState = Literal["waiting", "running", "retrying", "done", "failed", "cancelled"]
JOB_OVER: frozenset[JobState] = frozenset(("done", "failed", "cancelled"))


def r6(value: float) -> float:
    """`value` rounded to 6 decimals, with -0.0 written as 0.0."""
    return round(float(value), 6) + 0.0


def r6s(values: Iterable[float]) -> tuple[float, ...]:
    """Each of `values` through `r6`."""
    return tuple([round(float(v), 6) + 0.0 for v in values])  # r6 in line: this is most of what a record costs


class Track(msgspec.Struct, frozen=True, kw_only=True):
    """A face followed through one stream; the number is unique within the epoch and says nothing of identity."""

    epoch: int
    number: int


class Bare(msgspec.Struct, frozen=True, kw_only=True):
    """What the backbone alone said of the frame, before time was taken into account."""

    label: str
    probs: tuple[float, ...]


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """Minimum, maximum and mean of one number over a block."""

    min: float
    max: float
    mean: float


class ProbsSpan(msgspec.Struct, frozen=True, kw_only=True):
    """Minimum, maximum and mean of the seven probabilities over a block."""

    min: tuple[float, ...]
    max: tuple[float, ...]
    mean: tuple[float, ...]


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """What every record of a stream carries.

    `seq` counts one stream's records in one topic within one epoch, from 0: a hole is a loss. `pts` is in the
    source's time base; `media_time_s` starts at 0 with the source and never goes back; `capture_time_s` is wall
    time (seconds since 1970 UTC) and `time_origin` says who knew it.
    """

    v: int = SCHEMA_VERSION
    id: str
    stream: str
    run: str
    session: str
    model: str
    precision: str
    epoch: int = 0
    epoch_time_s: float | None = None
    seq: int
    prev_epoch: int | None = None
    prev_seq: int | None = None
    pts: int | None
    media_time_s: float
    capture_time_s: float | None = None
    time_origin: TimeOrigin = "none"


class Observation(Envelope, frozen=True, kw_only=True):
    """One face in one frame. `probs` stay when `quality` is low and `label` therefore null.

    `confidence` is the largest of `probs`; `entropy` is theirs in nats, from 0 (certain) to ln 7 = 1.945910 (no
    idea). `box_xywh` is left, top, width and height as fractions of the displayed frame, cut at its edges.
    `state` is `cold` until the track's block has filled once, then `warm`; `restored` from a take-over until one
    full block has passed again. `state_age_s` is the media time since the track's state began. `reused` names what was
    not done for this frame because nothing had changed (see the setting `gates`): the search for faces, the inference
    of this one. It is empty where every frame is worked on. `frame` is the frame's place among all that were decoded
    since the source was opened (`session`), from 0 on; null in records of versions that did not tell it.
    """

    track: Track
    label: str | None
    probs: tuple[float, ...]
    valence: float
    arousal: float
    va_origin: VaOrigin
    confidence: float
    entropy: float
    quality: Quality
    quality_causes: tuple[str, ...] = ()
    box_xywh: tuple[float, ...]
    face_px: float
    detector_score: float
    roll_deg: float
    yaw_deg: float
    state: StateOrigin
    state_age_s: float
    bare: Bare
    reused: tuple[Reused, ...] = ()
    frame: int | None = None


class Window(Envelope, frozen=True, kw_only=True):
    """One face over one tumbling block of observations. `complete` is false when its track ended inside the block."""

    track: Track
    from_media_time_s: float
    to_media_time_s: float
    n_observations: int
    complete: bool
    label: str | None
    probs: ProbsSpan
    valence: Span
    arousal: Span
    va_origin: VaOrigin


class TrackSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A face's whole life: `shares` are the fractions of its labelled observations per expression."""

    from_media_time_s: float
    to_media_time_s: float
    n_observations: int
    n_low_quality: int
    label: str | None
    shares: tuple[float, ...]
    probs_mean: tuple[float, ...]
    valence: Span
    arousal: Span
    confidence_mean: float


class TrackEvent(Envelope, frozen=True, kw_only=True):
    """A face appeared, or left with a summary of its life."""

    track: Track
    event: Literal["appeared", "left"]
    cause: str | None = None
    va_origin: VaOrigin = "derived"
    summary: TrackSummary | None = None


class Status(Envelope, frozen=True, kw_only=True):
    """A source changed its state, or is simply alive: no faces differs from dead."""

    state: SourceState
    cause: str | None = None
    message: str | None = None
    frame_age_s: float | None = None
    reorder_delay_s: float | None = None
    decoded: int = 0
    analysed: int = 0
    faces: int = 0
    records: int = 0
    corrupt_packets: int = 0
    dropped: dict[str, int] = {}


class SourceResult(msgspec.Struct, frozen=True, kw_only=True):
    """How one source of a run went. `done_before`: an earlier run had finished it, nothing was analysed now."""

    stream: str
    source: str
    state: RunState
    mode: Mode
    session: str | None = None
    cause: str | None = None
    message: str | None = None
    width: int = 0
    height: int = 0
    duration_s: float = 0.0
    decoded: int = 0
    analysed: int = 0
    faces: int = 0
    records: int = 0
    tracks: int = 0
    corrupt_packets: int = 0
    restarts: int = 0
    done_before: bool = False
    dropped: dict[str, int] = {}
    started_s: float = 0.0
    finished_s: float | None = None


class RunRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The run record: what ran, with which models, how it went.

    `stage_s` are CPU-thread seconds per stage over all sources of the invocation that wrote the record.
    """

    v: int = SCHEMA_VERSION
    run: str
    state: RunState
    started_s: float
    finished_s: float | None = None
    software: dict[str, str] = {}
    machine: dict[str, str] = {}
    models: dict[str, str] = {}
    licences: dict[str, str] = {}
    precision: str = ""
    va_origin: VaOrigin = "derived"
    calibration: str = ""
    settings: dict[str, str] = {}
    stage_s: dict[str, float] = {}
    sources: tuple[SourceResult, ...] = ()


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A record that could not be read, with its bytes, its place and the cause."""

    v: int = SCHEMA_VERSION
    topic: str
    partition: int
    offset: int
    cause: str
    message: str
    value: bytes


class StreamDefinition(msgspec.Struct, frozen=True, kw_only=True):
    """A wanted stream, written by operators under its id; a tombstone removes it.

    `source` is an address as `streamer run` takes it and may hold secrets: show it through `streamer.source.redacted`.
    Where `sample_fps`, `keyframes_only` or `max_faces` are null the worker's settings hold (see `frames`). Of streams
    that compete for one process, those of a higher `priority` go first.
    """

    v: int = SCHEMA_VERSION
    stream: str
    source: str
    model: str | None = None
    sample_fps: float | None = None
    keyframes_only: bool | None = None
    max_faces: int | None = None
    priority: int = 0
    paused: bool = False
    repeat: bool = False
    updated_s: float = 0.0


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """Who writes a stream from here on: the offset of this record is the stream's epoch."""

    v: int = SCHEMA_VERSION
    stream: str
    worker: str


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """Archive work: one file. A later attempt is a new record of the same `job`."""

    v: int = SCHEMA_VERSION
    job: str
    batch: str
    stream: str
    source: str
    run: str | None = None
    model: str | None = None
    head: str | None = None
    detector: str | None = None
    precision: str | None = None
    attempt: int = 1
    not_before_s: float | None = None
    submitted_s: float = 0.0


class JobStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How far a job is. Progress and the end are committed together with the results they speak of.

    `starts` counts how often any worker began it; `state_from` is the offset in the archive's state topic from which
    on its checkpoints lie.
    """

    v: int = SCHEMA_VERSION
    job: str
    batch: str
    stream: str
    source: str
    run: str | None = None
    model: str | None = None
    state: JobState
    attempt: int = 1
    starts: int = 0
    worker: str | None = None
    state_from: int | None = None
    media_time_s: float = 0.0
    duration_s: float | None = None
    decoded: int = 0
    analysed: int = 0
    faces: int = 0
    records: int = 0
    cause: str | None = None
    message: str | None = None
    submitted_s: float = 0.0
    started_s: float | None = None
    updated_s: float = 0.0
    finished_s: float | None = None


class JobCancel(msgspec.Struct, frozen=True, kw_only=True):
    """The wish that a job be not done: lies beside its status under the key `JOB/cancel`."""

    v: int = SCHEMA_VERSION
    job: str
    requested_s: float = 0.0


Record = Observation | Window | TrackEvent | Status
AnyMessage = TypeVar("AnyMessage", bound=msgspec.Struct)


def encode(record: msgspec.Struct, format: Format = "msgpack") -> bytes:
    """The record's bytes."""
    return msgspec.json.encode(record) if format == "json" else msgspec.msgpack.encode(record)


def decode(value: bytes, kind: type[AnyMessage], content_type: bytes = CONTENT_TYPE["msgpack"]) -> AnyMessage:
    """The record in `value`. Unknown fields are ignored; raises `UndecodableRecord` naming what is wrong."""
    try:
        if content_type == CONTENT_TYPE["json"]:
            record = msgspec.json.decode(value, type=kind)
        elif content_type == CONTENT_TYPE["msgpack"]:
            record = msgspec.msgpack.decode(value, type=kind)
        else:
            raise UndecodableRecord(f"content type {content_type!r} is neither MessagePack nor JSON")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UndecodableRecord(f"not a {kind.__name__} record: {error}") from error
    version = getattr(record, "v", SCHEMA_VERSION)
    if version > SCHEMA_VERSION:
        raise UndecodableRecord(f"schema version {version} is newer than {SCHEMA_VERSION}, which this program reads")
    return record


def record_id(*parts: str | int | None) -> str:
    """A 128-bit id in hex, the same for the same parts: (kind, stream, run, session, pts, track)."""
    pieces = [b"\xc0" if part is None else str(part).encode("utf-8", "surrogateescape") for part in parts]
    framed = b"".join([len(piece).to_bytes(4, "big") + piece for piece in pieces])
    return hashlib.blake2b(framed, digest_size=16).hexdigest()


def archive_run_id(sha256: str, stream: str, models: Sequence[str], precision: str, options: bytes) -> str:
    """The run of an archive file when none is given: the same work has the same name."""
    return "r-" + record_id("run", sha256, stream, *models, precision, options.hex())[:20]
