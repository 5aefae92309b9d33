"""The pipe between the supervisor and a child: typed messages, each a MessagePack map behind a 4-byte length.

Plain data only, never pickled objects: a child can be replaced by another version, and nothing a child says can
make the supervisor run code. Stream URLs travel here and not on command lines, where every user could read them.
"""

from __future__ import annotations

import os
import struct
import threading
from fractions import Fraction
from typing import IO, Literal

import msgspec

from streamer.bus.protocol import GroupToken
from streamer.config import Config
from streamer.counting import Counted
from streamer.errors import StreamerError
from streamer.log import Format, Level
from streamer.messages import Job, JobState, JobStatus, Mode, SourceResult, SourceState
from streamer.source import Kind, Source

_LENGTH = struct.Struct(">I")
MAX_MESSAGE_BYTES = 16 * 2**20


class LinkClosed(StreamerError):
    """The other end of the pipe is gone."""

    cause = "link_closed"


class Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="t"):
    """Base of what is said over the pipe."""


class Start(Message, frozen=True, kw_only=True, tag="start"):
    """To a child, first: who it is and with which configuration it works. `run` names the run when the user did.

    `spool` is the file in which its live records wait while the broker is away; None where there is none. `hands` is
    how many processes of its own may work for it, on cores that no child has.
    """

    child: int
    config: Config
    run: str | None
    live_run: str
    spool: str | None = None
    hands: int = 0
    cache: str | None = None
    log_level: Level = "warning"
    log_format: Format = "console"


class JobOrder(msgspec.Struct, frozen=True, kw_only=True):
    """A job as a child does it: `status` is what its progress is written over, `partition` where its record lies.

    `position` is the partition's lowest unfinished offset at the time; `Positions` tells later ones.
    """

    job: Job
    status: JobStatus
    partition: int
    position: int


class Tuning(msgspec.Struct, frozen=True, kw_only=True):
    """What may be changed of a stream while it runs; null is what the settings say (see `FrameSettings`)."""

    sample_fps: float | None = None
    keyframes_only: bool | None = None
    max_faces: int | None = None
    priority: int = 0


class Open(Message, frozen=True, kw_only=True, tag="open"):
    """To a child: take up this work. `restarts` counts the children that died under it.

    `work` names it between the supervisor and its children: the stream's id, or the job's. Live streams are claimed:
    `epoch` and `epoch_time_s` are the claim's. A live source with `reopen` is opened again after it went away (see
    `SourceGone`), with `repeat` also a file that has ended. `guarded`: others asked for it, see
    `streamer.source.Address`. The other fields are those of a Source; `url` is bytes because file names need not be
    UTF-8.
    """

    work: str
    stream: str
    url: bytes
    kind: Kind
    mode: Mode
    rate: str | None
    restarts: int = 0
    epoch: int = 0
    epoch_time_s: float | None = None
    tuning: Tuning = Tuning()
    reopen: bool = False
    repeat: bool = False
    guarded: bool = False
    job: JobOrder | None = None

    @staticmethod
    def of(source: Source, restarts: int, work: str | None = None) -> Open:
        """The message for `source`."""
        return Open(
            work=work or source.stream,
            stream=source.stream,
            url=os.fsencode(source.url),
            kind=source.kind,
            mode=source.mode,
            rate=str(source.rate) if source.rate is not None else None,
            restarts=restarts,
        )

    def source(self) -> Source:
        """The source it speaks of."""
        rate = Fraction(self.rate) if self.rate is not None else None
        return Source(self.stream, os.fsdecode(self.url), self.kind, self.mode, rate)


class Release(Message, frozen=True, kw_only=True, tag="release"):
    """To a child: let go of this work.

    `close` ends it: tracks are closed, an archive keeps its place. `hand_over` leaves everything for the next owner to
    go on with. `discard` publishes nothing more: somebody else may own it already. `cancel` ends a job for good.
    """

    work: str
    how: Literal["close", "hand_over", "discard", "cancel"] = "close"


class Change(Message, frozen=True, kw_only=True, tag="change"):
    """To a child: this stream is to be watched otherwise, from the next frame on."""

    work: str
    tuning: Tuning


class Reopen(Message, frozen=True, kw_only=True, tag="reopen"):
    """To a child: open this stream's source, which was gone, again."""

    work: str


class Membership(Message, frozen=True, kw_only=True, tag="membership"):
    """To a child: the supervisor's present membership in the group of jobs, which every transaction must show."""

    token: GroupToken


class Positions(Message, frozen=True, kw_only=True, tag="positions"):
    """To a child: the lowest unfinished offset of each partition (partition, offset) that its jobs come from."""

    offsets: tuple[tuple[int, int], ...]


class Drain(Message, frozen=True, kw_only=True, tag="drain"):
    """To a child: stop decoding, commit what was done, say `Drained`."""


class Stop(Message, frozen=True, kw_only=True, tag="stop"):
    """To a child without streams: leave."""


class Ready(Message, frozen=True, kw_only=True, tag="ready"):
    """From a child: models are compiled and warm."""

    precision: str
    device: str
    load_s: float


class Opened(Message, frozen=True, kw_only=True, tag="opened"):
    """From a child: the source is open. `resumed_at_s` is the media time a checkpoint took it back to."""

    work: str
    run: str
    session: str
    mode: str
    width: int
    height: int
    fps: float | None
    duration_s: float | None
    resumed_at_s: float | None = None


class StreamTick(msgspec.Struct, frozen=True, kw_only=True):
    """How far one stream is. `entries` counts how often its source came to each state.

    `latency` counts the analysed frames by the time from the arrival of their packets to the acknowledgement of their
    records, from the start of the child on.
    """

    work: str
    state: SourceState = "connecting"
    entries: dict[str, int] = {}
    frame_age_s: float | None = None
    reorder_delay_s: float | None = None
    media_time_s: float
    faces_now: int
    decoded: int
    analysed: int
    faces: int
    records: int
    corrupt_packets: int
    dropped: dict[str, int]
    latency: Counted = Counted()


class Batches(msgspec.Struct, frozen=True, kw_only=True):
    """The batches of a child: by the frames in them, by their faces, and by how much of a full batch they were."""

    frames: Counted = Counted()
    faces: Counted = Counted()
    fill: Counted = Counted()


class Tick(Message, frozen=True, kw_only=True, tag="tick"):
    """From a child, once a second: its streams' counters and the CPU-thread seconds per stage since its start.

    `passes` counts the passes of each stage by their wall time, `batches` the batches. `helpers` are the ids of the
    processes that work for it.

    `hung` readers are stuck in it for good. `published` counts the records that are safely on the bus; `bus_away_s` is
    how long the bus has been away. What waited on the disk meanwhile is counted in `spooled`, `replayed` and
    `discarded`, and lies there still: `waiting`. `unacknowledged` records are under way, the oldest of them, or of what
    waits, for `lag_s`.
    """

    streams: tuple[StreamTick, ...]
    published: int
    bus_away_s: float = 0.0
    spooled: int = 0
    replayed: int = 0
    discarded: int = 0
    waiting: int = 0
    unacknowledged: int = 0
    lag_s: float = 0.0
    hung: int = 0
    stage_s: dict[str, float]
    passes: dict[str, Counted] = {}
    batches: Batches = Batches()
    helpers: tuple[int, ...] = ()


class SourceGone(Message, frozen=True, kw_only=True, tag="gone"):
    """From a child: a live source ended or could not be opened; its state is kept, `Reopen` has it tried again.

    `opened` says whether it had given frames since it was last opened.
    """

    work: str
    cause: str
    message: str
    opened: bool


class Ended(Message, frozen=True, kw_only=True, tag="ended"):
    """From a child: a stream is over, or was let go of, and everything of it is committed.

    `retry` says that reading the source again may go better; `job_state` is what a job's last commit says of it.
    """

    work: str
    run: str
    result: SourceResult
    already_done: bool = False
    retry: bool = False
    job_state: JobState | None = None


class Fatal(Message, frozen=True, kw_only=True, tag="fatal"):
    """From a child: it cannot go on (bus or models); nothing another child could do better."""

    cause: str
    message: str


class Drained(Message, frozen=True, kw_only=True, tag="drained"):
    """From a child: all is committed, it leaves now."""


class Spent(Message, frozen=True, kw_only=True, tag="spent"):
    """From a child: too many readers are stuck in it, it ends now; what it had is to go on in another one."""


ToChild = Start | Open | Release | Change | Reopen | Membership | Positions | Drain | Stop
FromChild = Ready | Opened | Tick | SourceGone | Ended | Fatal | Drained | Spent


class Link:
    """One end of the pipe. `send` may be called by several threads, `receive` by one."""

    def __init__(self, reading: IO[bytes], writing: IO[bytes]) -> None:
        self._reading = reading
        self._writing = writing
        self._lock = threading.Lock()

    def send(self, message: Message) -> None:
        """Write one message; raises `LinkClosed` when the other end is gone."""
        body = msgspec.msgpack.encode(message)
        try:
            with self._lock:
                self._writing.write(_LENGTH.pack(len(body)) + body)
                self._writing.flush()
        except (OSError, ValueError) as error:
            raise LinkClosed("the other process is gone") from error

    def receive(self, kind: type[ToChild] | type[FromChild]) -> ToChild | FromChild:
        """The next message; raises `LinkClosed` at the end, and where what comes is no message of ours."""
        header = self._read(_LENGTH.size)
        (length,) = _LENGTH.unpack(header)
        if length > MAX_MESSAGE_BYTES:
            raise LinkClosed(f"a message of {length} bytes is not one of ours")
        try:
            return msgspec.msgpack.decode(self._read(length), type=kind)
        except msgspec.MsgspecError as error:
            raise LinkClosed(f"the other process said something that is not one of ours: {error}") from error

    def _read(self, n_bytes: int) -> bytes:
        chunks = bytearray()
        while len(chunks) < n_bytes:
            try:
                chunk = self._reading.read(n_bytes - len(chunks))
            except (OSError, ValueError) as error:
                raise LinkClosed("the other process is gone") from error
            if not chunk:
                raise LinkClosed("the other process is gone")
            chunks += chunk
        return bytes(chunks)

    def close(self) -> None:
        """Close both directions."""
        for end in (self._writing, self._reading):
            try:
                end.close()
            except OSError:
                pass
