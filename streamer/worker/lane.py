"""One stream of a child: the decoder thread that reads it, and where it stands.

The thread finds the stored state, opens the source and offers frames; everything else belongs to the child's loop.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
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
from streamer.worker.link import JobOrder, Open

_IN_THE_BYTES = (NotAVideo, NoVideoStream, AbsurdDimensions, ResolutionChanged, SourceTruncated, SourceDamaged)
Stored = Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True)
class LaneRead:
    """What the bus holds of the lane's state is here; the source is being opened next."""

    lane: Lane
    stored: Stored


@dataclass(frozen=True, slots=True)
class LaneOpened:
    """The source is open; the lane waits for `go`."""

    lane: Lane
    info: DecoderInfo


@dataclass(frozen=True, slots=True)
class LaneFailed:
    """The source could not be opened. A failure after that comes through the exchange, behind the last frame."""

    lane: Lane
    error: SourceError


LaneEvent = LaneRead | LaneOpened | LaneFailed


@dataclass(slots=True)
class _Intake:
    """What the decoder thread counts; nobody else writes it."""

    decoded: int = 0
    corrupt_packets: int = 0
    queue_full: int = 0
    sample_rate: int = 0
    last_arrival_s: float | None = None
    cpu_s: float = 0.0


@dataclass(slots=True, eq=False)
class Lane:
    """A stream's place in the child, which is also its name in the exchange. All but `error` is the loop's.

    `phase` is `opening` until frames may come, `resting` while the source is gone and its state is kept, `ending` once
    nothing more is analysed and only the commit of what was is awaited. `counters` hold an earlier child's counts, and
    the thread's own from the last `count` on. `session` is the sha256 of an archive file; live, it is the epoch and the
    number of the connection. `unwatched` until the first frame after a time in which nobody looked.
    """

    order: Open
    source: Source
    phase: Literal["opening", "running", "resting", "ending"] = "opening"
    state: StreamState | None = None
    run: str = ""
    session: str = ""
    info: DecoderInfo | None = None
    error: SourceError | None = None
    counters: Counters = field(default_factory=Counters)
    sample_fps: float | None = None
    skip_until_index: int = 0
    join_at_s: float = 0.0
    resumed_at_s: float | None = None
    finished: bool = False
    unwatched: bool = False
    n_connections: int = 0
    rested_at_s: float = 0.0
    _before: Counters = field(default_factory=Counters)
    _intake: _Intake = field(default_factory=_Intake)
    _sampled: int = -1
    _closing: bool = False
    _go: threading.Event = field(default_factory=threading.Event)
    _decoder: Decoder | None = None
    _thread: threading.Thread | None = None

    @staticmethod
    def of(order: Open) -> Lane:
        """The lane of what the supervisor asked for."""
        return Lane(order, order.source(), sample_fps=order.tuning.sample_fps)

    @property
    def work(self) -> str:
        """Its name between the supervisor and the child."""
        return self.order.work

    @property
    def stream(self) -> str:
        """The stream's id."""
        return self.order.stream

    @property
    def mode(self) -> Mode:
        """Live or archive."""
        return self.order.mode

    @property
    def epoch(self) -> int:
        """The claim under which a live stream is written; 0 in archive mode."""
        return self.order.epoch

    @property
    def epoch_time_s(self) -> float | None:
        """The broker's time of the claim."""
        return self.order.epoch_time_s

    @property
    def restarts(self) -> int:
        """How many children died under it."""
        return self.order.restarts

    @property
    def job(self) -> JobOrder | None:
        """The job that asked for it."""
        return self.order.job

    @property
    def over(self) -> bool:
        """Whether reading the source again could tell nothing new: it ended, or it failed for what is in its bytes.

        Bytes that came over a network may come better the next time.
        """
        return self.error is None or (isinstance(self.error, _IN_THE_BYTES) and self.source.kind != "http")

    @property
    def returns(self) -> bool:
        """Whether the source is opened again after its end: a camera, or a file that is shown again and again."""
        if self.mode == "archive" or not self.order.reopen:
            return False
        return self.error is not None or self.order.repeat or self.source.kind == "webcam"

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

    @property
    def newest_s(self) -> float:
        """When the newest analysed frame arrived, however often the source was tried since, on the monotonic clock.

        Where there was none yet, when the lane went to rest.
        """
        arrival_s = self.open_state.arrival_s
        return self.rested_at_s if arrival_s is None else arrival_s

    def start(
        self,
        config: Config,
        clock: Clock,
        exchange: Exchange[Lane, Frame],
        fetch: Callable[[Lane], Stored],
        tell: Callable[[LaneEvent], None],
    ) -> None:
        """Find the stored state and open the source on a thread of its own; report through `tell`.

        `fetch` reads what the bus holds of the lane; it may wait for a bus that is away.
        """
        self._connect(lambda: self._begin(config, clock, exchange, fetch, tell))

    def reconnect(
        self, config: Config, clock: Clock, exchange: Exchange[Lane, Frame], tell: Callable[[LaneEvent], None]
    ) -> None:
        """Open the source of a resting lane again; its media time goes on counting through the gap."""
        self._before, self._intake = self.count_now(), _Intake(last_arrival_s=self.last_arrival_s)
        self.join_at_s = self.open_state.media_time_s + max(0.0, clock.monotonic_s() - self.newest_s)
        self.n_connections += 1
        self.session = f"{self.epoch}.{self.n_connections}"
        self._sampled, self.error, self.phase, self.unwatched = -1, None, "opening", True
        self._go = threading.Event()
        self._connect(lambda: self._read(config, clock, exchange, tell))

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
        for cause, n in (("queue_full", intake.queue_full), ("sample_rate", intake.sample_rate)):
            if n:
                self.counters.dropped[cause] = before.dropped.get(cause, 0) + n
        return self.counters

    def count_now(self) -> Counters:
        """A copy of `count` that stays as it is."""
        counters = self.count()
        return Counters(
            decoded=counters.decoded, corrupt_packets=counters.corrupt_packets, dropped=dict(counters.dropped)
        )

    def go(self) -> None:
        """The loop is ready for frames."""
        self.phase = "running"
        self._go.set()

    def rest(self, exchange: Exchange[Lane, Frame], now_s: float) -> None:
        """The source is gone for now; the state stays."""
        exchange.close(self)
        self.phase, self.rested_at_s = "resting", now_s

    def stop(self, exchange: Exchange[Lane, Frame]) -> None:
        """No further frames are wanted; what waits is forgotten (and counted by nobody: it was never analysed)."""
        self.phase = "ending"
        self._closing = True
        self._go.set()
        exchange.close(self)
        if self._decoder is not None:
            self._decoder.interrupt()

    @property
    def closing(self) -> bool:
        """Whether nobody waits for its thread any more."""
        return self._closing

    def _connect(self, run: Callable[[], None]) -> None:
        self._thread = threading.Thread(target=run, name=f"decode {self.stream}", daemon=True)
        self._thread.start()

    def _begin(
        self,
        config: Config,
        clock: Clock,
        exchange: Exchange[Lane, Frame],
        fetch: Callable[[Lane], Stored],
        tell: Callable[[LaneEvent], None],
    ) -> None:
        try:
            self.session = session_of(self.source) if self.mode == "archive" else f"{self.epoch}.0"
            stored = fetch(self)
        except SourceError as error:
            self._over(error, exchange, tell)
            return
        except Exception as error:
            self._broke(error, exchange, tell)
            return
        if not self._closing:
            tell(LaneRead(self, stored))
        self._read(config, clock, exchange, tell)

    def _read(
        self, config: Config, clock: Clock, exchange: Exchange[Lane, Frame], tell: Callable[[LaneEvent], None]
    ) -> None:
        try:
            with open_source(self.source, config.decode, clock) as decoder:
                self._decoder = decoder
                tell(LaneOpened(self, decoder.info))
                self._go.wait()
                if not self._closing:
                    self._offer_all(decoder, exchange)
            self._over(None, exchange, tell)
        except SourceError as error:
            self._over(error, exchange, tell)
        except Exception as error:
            self._broke(error, exchange, tell)
        finally:
            self._decoder = None

    def _broke(self, error: Exception, exchange: Exchange[Lane, Frame], tell: Callable[[LaneEvent], None]) -> None:
        """A thread that died silently would leave its stream waiting for ever."""
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
        if not self._counts_on:
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
                if not self._is_sampled(placed):
                    self._intake.sample_rate += 1
                elif exchange.put(self, placed, self.mode) is not None and not self._closing:
                    self._intake.queue_full += 1
        finally:
            self._note(decoder)

    @property
    def _counts_on(self) -> bool:
        """Whether a new connection's media time begins at 0: a camera's, or that of a file begun again."""
        return self.source.kind == "webcam" or self.order.repeat or self.n_connections > 0

    def _placed(self, frame: Frame) -> Frame | None:
        """The frame with its media time in the stream's whole life; None when an earlier child has analysed it."""
        if frame.index < self.skip_until_index:
            return None
        if self._counts_on:
            return replace(frame, media_time_s=frame.media_time_s + self.join_at_s) if self.join_at_s else frame
        return frame if frame.media_time_s >= self.join_at_s else None

    def _is_sampled(self, frame: Frame) -> bool:
        """Whether the frame is the first of its sampling interval. Intervals lie on the media time from 0 on, so
        which frames are taken does not depend on when somebody began to look."""
        rate = self.sample_fps
        if rate is None:
            return True
        interval = int(frame.media_time_s * rate + 1e-9)
        if interval == self._sampled:
            return False
        self._sampled = interval
        return True

    def _note(self, decoder: Decoder) -> None:
        self._intake.decoded = decoder.counters.decoded
        self._intake.corrupt_packets = decoder.counters.corrupt_packets
        self._intake.cpu_s = time.thread_time()
