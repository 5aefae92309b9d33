"""One stream inside a child: its decoder thread, what it knows of itself, and how it tells the loop.

The thread opens the source, names the session, waits until the loop has its state ready, and then offers frames.
Nothing here touches a model or the bus.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from streamer.batching.exchange import Exchange
from streamer.clock import Clock
from streamer.config import Config
from streamer.decode import Decoder, DecoderInfo, open_source
from streamer.errors import SourceError, StreamerError
from streamer.pipeline import StreamState
from streamer.sources import Source, session_of
from streamer.types import Counters, Frame, Mode


@dataclass(frozen=True, slots=True)
class LaneOpened:
    """The source is open; the lane waits for `go`. `session` is the sha256 of an archive file."""

    lane: Lane
    info: DecoderInfo
    session: str


@dataclass(frozen=True, slots=True)
class LaneFailed:
    """The source failed, before its first frame or after its last good one."""

    lane: Lane
    error: StreamerError


LaneEvent = LaneOpened | LaneFailed


@dataclass(slots=True)
class Lane:
    """A stream's place in the child. The thread writes `decoded`, `corrupt` and `cpu_s`; the loop the rest."""

    stream: str
    source: Source
    mode: Mode
    restarts: int
    state: StreamState | None = None
    run: str = ""
    session: str = ""
    info: DecoderInfo | None = None
    error: StreamerError | None = None
    counters: Counters = field(default_factory=Counters)
    skip_until_index: int = 0
    join_at_s: float = 0.0
    last_arrival_s: float = 0.0
    finished: bool = False
    cpu_s: float = 0.0
    started_s: float = 0.0
    closing: bool = False
    _go: threading.Event = field(default_factory=threading.Event)
    _decoder: Decoder | None = None
    _thread: threading.Thread | None = None

    def start(self, config: Config, clock: Clock, exchange: Exchange[Frame], tell: Callable[[LaneEvent], None]) -> None:
        """Open the source on a thread of its own and report through `tell`."""
        self.started_s = clock.wall_s()
        self._thread = threading.Thread(
            target=self._run, args=(config, clock, exchange, tell), name=f"decode {self.stream}", daemon=True
        )
        self._thread.start()

    @property
    def epoch(self) -> int:
        """0 until streams are claimed over the bus; a live stream taken over from a dead child is in a new one."""
        return self.restarts if self.mode == "live" else 0

    def go(self) -> None:
        """The loop is ready for frames."""
        self._go.set()

    def stop(self, exchange: Exchange[Frame]) -> None:
        """No further frames are wanted; what waits is forgotten (and counted by nobody: it was never analysed)."""
        self.closing = True
        self._go.set()
        exchange.close(self.stream)
        if self._decoder is not None:
            self._decoder.interrupt()

    def _run(self, config: Config, clock: Clock, exchange: Exchange[Frame], tell: Callable[[LaneEvent], None]) -> None:
        try:
            session = session_of(self.source) if self.mode == "archive" else ""
            with open_source(self.source, config.decode, clock) as decoder:
                self._decoder = decoder
                tell(LaneOpened(self, decoder.info, session))
                self._go.wait()
                if not self.closing:
                    self._offer_all(decoder, exchange)
        except SourceError as error:
            self.error = error
            if not self._go.is_set():
                tell(LaneFailed(self, error))
                return
        exchange.end(self.stream)

    def _offer_all(self, decoder: Decoder, exchange: Exchange[Frame]) -> None:
        if self.source.kind != "webcam":
            decoder.join_at(self.join_at_s)
        try:
            for frame in decoder:
                if self.closing:
                    return
                self._count(decoder)
                placed = self._placed(frame)
                if placed is None:
                    continue
                self.last_arrival_s = frame.arrival_s
                if exchange.put(self.stream, placed, self.mode) is not None and not self.closing:
                    self.counters.drop("queue_full")
        finally:
            self._count(decoder)

    def _placed(self, frame: Frame) -> Frame | None:
        """The frame with its media time in the stream's whole life; None when an earlier child has analysed it."""
        if frame.index < self.skip_until_index:
            return None
        if self.source.kind == "webcam":  # a new connection counts from 0
            return replace(frame, media_time_s=frame.media_time_s + self.join_at_s) if self.join_at_s else frame
        return frame if frame.media_time_s >= self.join_at_s else None

    def _count(self, decoder: Decoder) -> None:
        self.counters.decoded = decoder.counters.decoded
        self.counters.corrupt_packets = decoder.counters.corrupt_packets
        self.cpu_s = time.thread_time()
