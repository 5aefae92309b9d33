"""The pipe between the supervisor and a child: typed messages, each a MessagePack map behind a 4-byte length.

Plain data only, never pickled objects: a child can be replaced by another version, and nothing a child says can
make the supervisor run code. Stream URLs travel here and not on command lines, where every user could read them.
"""

from __future__ import annotations

import os
import struct
import threading
from fractions import Fraction
from typing import IO

import msgspec

from streamer.config import Config
from streamer.errors import StreamerError
from streamer.log import Level
from streamer.messages import Mode, SourceResult
from streamer.source import Kind, Source

_LENGTH = struct.Struct(">I")
MAX_MESSAGE_BYTES = 16 * 2**20


class LinkClosed(StreamerError):
    """The other end of the pipe is gone."""

    cause = "link_closed"


class Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="t"):
    """Base of what is said over the pipe."""


class Start(Message, frozen=True, kw_only=True, tag="start"):
    """To a child, first: who it is and with which configuration it works. `run` names the run when the user did."""

    child: int
    config: Config
    run: str | None
    live_run: str
    cache: str | None = None
    log_level: Level = "warning"


class Open(Message, frozen=True, kw_only=True, tag="open"):
    """To a child: take this stream. `restarts` counts the children that died under it.

    The fields are those of a Source; `url` is bytes because file names need not be UTF-8.
    """

    stream: str
    url: bytes
    kind: Kind
    mode: Mode
    rate: str | None
    restarts: int = 0

    @staticmethod
    def of(source: Source, restarts: int) -> Open:
        """The message for `source`."""
        return Open(
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


class Close(Message, frozen=True, kw_only=True, tag="close"):
    """To a child: let go of this stream, keeping what was done."""

    stream: str


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

    stream: str
    run: str
    session: str
    mode: str
    width: int
    height: int
    fps: float | None
    duration_s: float | None
    resumed_at_s: float | None = None


class StreamTick(msgspec.Struct, frozen=True, kw_only=True):
    """How far one stream is."""

    stream: str
    media_time_s: float
    faces_now: int
    decoded: int
    analysed: int
    faces: int
    records: int
    corrupt_packets: int
    dropped: dict[str, int]


class Tick(Message, frozen=True, kw_only=True, tag="tick"):
    """From a child, once a second: its streams' counters and the CPU-thread seconds per stage since its start.

    `published` counts the records that are safely on the bus.
    """

    streams: tuple[StreamTick, ...]
    published: int
    stage_s: dict[str, float]


class Ended(Message, frozen=True, kw_only=True, tag="ended"):
    """From a child: a stream is over and everything of it is committed."""

    stream: str
    run: str
    result: SourceResult
    already_done: bool = False


class Fatal(Message, frozen=True, kw_only=True, tag="fatal"):
    """From a child: it cannot go on (bus or models); nothing another child could do better."""

    cause: str
    message: str


class Drained(Message, frozen=True, kw_only=True, tag="drained"):
    """From a child: all is committed, it leaves now."""


ToChild = Start | Open | Close | Drain | Stop
FromChild = Ready | Opened | Tick | Ended | Fatal | Drained


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
