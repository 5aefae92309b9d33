"""One stream inside a child: its decoder thread, what it knows of itself, and how it tells the loop.

The thread opens the source, names the session, waits until the loop has its state ready, and then offers frames.
Nothing here touches a model or the bus.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

from streamer import log
from streamer.batching.exchange import Exchange
from streamer.clock import Clock
from streamer.config import Config
from streamer.decode import Decoder, DecoderInfo, open_source
from streamer.errors import (
    AbsurdDimensions,
    NotAVideo,
    NoVideoStream,
    ResolutionChanged,
    SourceBroke,
    SourceDamaged,
    SourceError,
    SourceTruncated,
)
from streamer.pipeline import StreamState
from streamer.sources import Source, session_of
from streamer.types import Counters, Frame, Mode

_IN_THE_BYTES = (NotAVideo, NoVideoStream, AbsurdDimensions, ResolutionChanged, SourceTruncated, SourceDamaged)


@dataclass(frozen=True, slots=True)
class LaneOpened:
    """The source is open; the lane waits for `go`. `session` is the sha256 of an archive file."""

    lane: Lane
    info: DecoderInfo
    session: str


@dataclass(frozen=True, slots=True)
class LaneFailed:
    """The source could not be opened. A failure after that comes through the exchange, behind the last frame."""

    lane: Lane
    error: SourceError


LaneEvent = LaneOpened | LaneFailed


@dataclass(slots=True)
class _Intake:
    """What the decoder thread counts; nobody else writes it."""

    decoded: int = 0
    corrupt_packets: int = 0
    queue_full: int = 0
    last_arrival_s: float | None = None
    cpu_s: float = 0.0


@dataclass(slots=True, eq=False)
class Lane:
    """A stream's place in the child, which is also its name in the exchange. All but `error` is the loop's.

    `phase` is `opening` until the state is ready, `ending` once nothing more is analysed and only the commit of what
    was is awaited. `counters` hold an earlier child's counts, and the thread's own from the last `count` on.
    """

    stream: str
    source: Source
    mode: Mode
    restarts: int
    phase: Literal["opening", "running", "ending"] = "opening"
    state: StreamState | None = None
    run: str = ""
    session: str = ""
    info: DecoderInfo | None = None
    error: SourceError | None = None
    counters: Counters = field(default_factory=Counters)
    skip_until_index: int = 0
    join_at_s: float = 0.0
    finished: bool = False
    _before: Counters = field(default_factory=Counters)
    _intake: _Intake = field(default_factory=_Intake)
    _closing: bool = False
    _go: threading.Event = field(default_factory=threading.Event)
    _decoder: Decoder | None = None
    _thread: threading.Thread | None = None

    def start(
        self, config: Config, clock: Clock, exchange: Exchange[Lane, Frame], tell: Callable[[LaneEvent], None]
    ) -> None:
        """Open the source on a thread of its own and report through `tell`."""
        self._thread = threading.Thread(
            target=self._run, args=(config, clock, exchange, tell), name=f"decode {self.stream}", daemon=True
        )
        self._thread.start()

    @property
    def epoch(self) -> int:
        """0 until streams are claimed over the bus; a live stream taken over from a dead child is in a new one."""
        return self.restarts if self.mode == "live" else 0

    @property
    def over(self) -> bool:
        """Whether reading the source again could tell nothing new: it ended, or it failed for what is in its bytes.

        Bytes that came over a network may come better the next time.
        """
        return self.error is None or (isinstance(self.error, _IN_THE_BYTES) and self.source.kind != "http")

    @property
    def open_state(self) -> StreamState:
        """The state of a lane that was opened."""
        assert self.state is not None, f"{self.stream} has no state before it is open"
        return self.state

    @property
    def cpu_s(self) -> float:
        """CPU seconds of the decoder thread."""
        return self._intake.cpu_s

    @property
    def last_arrival_s(self) -> float | None:
        """When the newest frame arrived, on the monotonic clock; None before the first."""
        return self._intake.last_arrival_s

    def go_on_from(self, counters: Counters, *, anew: bool) -> None:
        """Count on from an earlier child's `counters`; `anew` when the decoder goes over what it decoded again."""
        self._before = Counters(decoded=counters.decoded, corrupt_packets=counters.corrupt_packets)
        if anew:
            self._before = Counters()
        self._before.dropped = dict(counters.dropped)
        self.counters.analysed, self.counters.faces = counters.analysed, counters.faces
        self.counters.records, self.counters.dropped = counters.records, dict(counters.dropped)

    def count(self) -> Counters:
        """The counters with what the decoder thread has counted so far."""
        intake, before = self._intake, self._before
        self.counters.decoded = before.decoded + intake.decoded
        self.counters.corrupt_packets = before.corrupt_packets + intake.corrupt_packets
        if intake.queue_full:
            self.counters.dropped["queue_full"] = before.dropped.get("queue_full", 0) + intake.queue_full
        return self.counters

    def go(self) -> None:
        """The loop is ready for frames."""
        self.phase = "running"
        self._go.set()

    def stop(self, exchange: Exchange[Lane, Frame]) -> None:
        """No further frames are wanted; what waits is forgotten (and counted by nobody: it was never analysed)."""
        self.phase = "ending"
        self._closing = True
        self._go.set()
        exchange.close(self)
        if self._decoder is not None:
            self._decoder.interrupt()

    def _run(
        self, config: Config, clock: Clock, exchange: Exchange[Lane, Frame], tell: Callable[[LaneEvent], None]
    ) -> None:
        try:
            session = session_of(self.source) if self.mode == "archive" else ""
            with open_source(self.source, config.decode, clock) as decoder:
                self._decoder = decoder
                tell(LaneOpened(self, decoder.info, session))
                self._go.wait()
                if not self._closing:
                    self._offer_all(decoder, exchange)
            self._over(None, exchange, tell)
        except SourceError as error:
            self._over(error, exchange, tell)
        except Exception as error:  # a thread that dies silently would leave its stream waiting for ever
            broke = SourceBroke(
                f"{self.source.name} could not be read on ({type(error).__name__}: {error}): what was done is kept; "
                "run it again, and if it fails again report it."
            )
            self._over(broke, exchange, tell)
            log.error("source.broke", stream=self.stream, exc_info=True)

    def _over(
        self, error: SourceError | None, exchange: Exchange[Lane, Frame], tell: Callable[[LaneEvent], None]
    ) -> None:
        self.error = error
        if error is not None and not self._go.is_set():
            tell(LaneFailed(self, error))
        else:
            exchange.end(self)

    def _offer_all(self, decoder: Decoder, exchange: Exchange[Lane, Frame]) -> None:
        if self.source.kind != "webcam":
            decoder.join_at(self.join_at_s)
        try:
            for frame in decoder:
                if self._closing:
                    return
                self._note(decoder)
                placed = self._placed(frame)
                if placed is None:
                    continue
                self._intake.last_arrival_s = frame.arrival_s
                if exchange.put(self, placed, self.mode) is not None and not self._closing:
                    self._intake.queue_full += 1
        finally:
            self._note(decoder)

    def _placed(self, frame: Frame) -> Frame | None:
        """The frame with its media time in the stream's whole life; None when an earlier child has analysed it."""
        if frame.index < self.skip_until_index:
            return None
        if self.source.kind == "webcam":  # a new connection counts from 0
            return replace(frame, media_time_s=frame.media_time_s + self.join_at_s) if self.join_at_s else frame
        return frame if frame.media_time_s >= self.join_at_s else None

    def _note(self, decoder: Decoder) -> None:
        self._intake.decoded = decoder.counters.decoded
        self._intake.corrupt_packets = decoder.counters.corrupt_packets
        self._intake.cpu_s = time.thread_time()
