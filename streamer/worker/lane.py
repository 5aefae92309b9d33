"""One stream of a child: where it stands, its state, and the connection that reads it just now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from streamer.batching.exchange import Exchange
from streamer.clock import Clock
from streamer.config import Config, ConnectSettings
from streamer.counting import Counted, total
from streamer.decode import DecoderInfo
from streamer.errors import (
    AbsurdDimensions,
    NotAVideo,
    NoVideoStream,
    ResolutionChanged,
    SourceDamaged,
    SourceError,
    SourceTruncated,
)
from streamer.messages import SourceState
from streamer.pipeline import StreamState
from streamer.source import ENDLESS_KINDS, NETWORK_KINDS
from streamer.sources import Source, session_of
from streamer.types import Counters, Frame, Mode
from streamer.worker.connection import Connection, ConnectionEvent
from streamer.worker.intake import Intake
from streamer.worker.link import JobOrder, Open, Tuning
from streamer.worker.watch import SourceWatch

_IN_THE_BYTES = (NotAVideo, NoVideoStream, AbsurdDimensions, ResolutionChanged, SourceTruncated, SourceDamaged)
Stored = Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True)
class LaneRead:
    """What the bus holds of the lane's state is here; the source is being opened next."""

    lane: Lane
    stored: Stored


LaneEvent = LaneRead | ConnectionEvent


@dataclass(slots=True, eq=False)
class Lane:
    """A stream's place in the child. All of it is the loop's.

    `phase` is `opening` until frames may come, `resting` while the source is gone and its state is kept, `ending` once
    nothing more is analysed and only the commit of what was is awaited. `counters` hold an earlier child's counts, and
    those of the connections from the last `count` on. `session` is the sha256 of an archive file; live, it is the epoch
    and the number of the connection. `unwatched` until the first frame after a time in which nobody looked. `given_run`
    is the run that somebody named, empty where the source's bytes name it. `warm` is told the size of its pictures, on
    the connection's thread.
    """

    order: Open
    source: Source
    watch: SourceWatch
    config: Config
    clock: Clock
    tuning: Tuning
    phase: Literal["opening", "running", "resting", "ending"] = "opening"
    state: StreamState | None = None
    run: str = ""
    given_run: str = ""
    session: str = ""
    info: DecoderInfo | None = None
    error: SourceError | None = None
    counters: Counters = field(default_factory=Counters)
    skip_until_index: int = 0
    join_at_s: float = 0.0
    resumed_at_s: float | None = None
    finished: bool = False
    unwatched: bool = False
    n_connections: int = 0
    rested_at_s: float = 0.0
    connection: Connection | None = None
    warm: Callable[[tuple[int, int]], None] = lambda _: None
    _before: Counters = field(default_factory=Counters)
    _cpu_s: float = 0.0
    _decoding: Counted = field(default_factory=Counted)

    @staticmethod
    def of(order: Open, config: Config, clock: Clock) -> Lane:
        """The lane of what the supervisor asked for."""
        source = order.source()
        watch = SourceWatch(config.connect, source.mode, source.name, entered_s=clock.monotonic_s())
        return Lane(order, source, watch, config, clock, order.tuning)

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
        return self.error is None or (isinstance(self.error, _IN_THE_BYTES) and self.source.kind not in NETWORK_KINDS)

    @property
    def returns(self) -> bool:
        """Whether the source is opened again after its end: a camera, or a file that is shown again and again."""
        if self.mode == "archive" or not self.order.reopen:
            return False
        return self.error is not None or self.order.repeat or self.source.kind in ENDLESS_KINDS

    @property
    def connect(self) -> ConnectSettings:
        """How its source may be reached: what others asked for leads to the networks that are open to others."""
        connect = self.config.connect
        if not self.order.guarded:
            return connect
        return msgspec.structs.replace(connect, networks=self.config.fleet.networks)

    @property
    def counts_on(self) -> bool:
        """Whether a new connection's media time begins at 0: a camera's, or that of a file begun again."""
        return self.source.kind in ENDLESS_KINDS or self.order.repeat or self.n_connections > 0

    @property
    def sample_fps(self) -> float | None:
        """Frames a second of media time that are analysed at most; None for all."""
        wanted = self.tuning.sample_fps
        return self.config.frames.sample_fps if wanted is None else wanted

    @property
    def keyframes_only(self) -> bool:
        """Whether nothing but key frames is decoded."""
        wanted = self.tuning.keyframes_only
        return self.config.frames.keyframes_only if wanted is None else wanted

    @property
    def max_faces(self) -> int:
        """How many faces of a frame are analysed at most; 0 for all."""
        wanted = self.tuning.max_faces
        return self.config.frames.max_faces if wanted is None else wanted

    @property
    def closing(self) -> bool:
        """Whether nobody waits for its threads any more."""
        return self.phase == "ending"

    @property
    def open_state(self) -> StreamState:
        """The state of a lane that was opened."""
        assert self.state is not None, f"{self.stream} has no state before it is open"
        return self.state

    @property
    def cpu_s(self) -> float:
        """CPU seconds of its decoder threads."""
        return self._cpu_s + (0.0 if self.connection is None else self.connection.counts.cpu_s)

    @property
    def decoding(self) -> Counted:
        """Its decoded frames by the CPU time that each took."""
        return (
            self._decoding
            if self.connection is None
            else total((self._decoding, self.connection.counts.decoding.counted))
        )

    @property
    def last_arrival_s(self) -> float | None:
        """When the connection's newest frame arrived, on the monotonic clock; None before its first."""
        return None if self.connection is None else self.connection.counts.last_arrival_s

    @property
    def newest_s(self) -> float:
        """When the newest analysed frame arrived, however often the source was tried since, on the monotonic clock.

        Where there was none yet, when the lane went to rest.
        """
        arrival_s = self.open_state.arrival_s
        return self.rested_at_s if arrival_s is None else arrival_s

    # -- its connections ------------------------------------------------------------------------------------------

    def start(
        self,
        exchange: Exchange[Connection, Frame],
        fetch: Callable[[Lane], Stored],
        tell: Callable[[LaneEvent], None],
    ) -> None:
        """Find the stored state and open the source on a thread of its own; report through `tell`.

        `fetch` reads what the bus holds of the lane; it may wait for a bus that is away.
        """

        def prepare() -> None:
            self.session = self._session()
            tell(LaneRead(self, fetch(self)))

        self._connect(exchange, tell, prepare)

    def _session(self) -> str:
        if self.mode == "live":
            return f"{self.epoch}.0"
        return session_of(self.source, self.connect, guarded=self.order.guarded)

    def reconnect(self, exchange: Exchange[Connection, Frame], tell: Callable[[LaneEvent], None]) -> None:
        """Open the source of a resting lane again; its media time goes on counting through the gap."""
        self.join_at_s = self.open_state.media_time_s + max(0.0, self.clock.monotonic_s() - self.newest_s)
        self.n_connections += 1
        self.session = f"{self.epoch}.{self.n_connections}"
        self.error, self.phase, self.unwatched = None, "opening", True
        self._connect(exchange, tell, lambda: None)

    def _connect(
        self, exchange: Exchange[Connection, Frame], tell: Callable[[LaneEvent], None], prepare: Callable[[], None]
    ) -> None:
        connection = Connection(
            self.work,
            self.source,
            self.config,
            self.clock,
            exchange,
            tell,
            prepare,
            connect=self.connect,
            guarded=self.order.guarded,
            warm=self.warm,
        )
        connection.keyframes_only = self.keyframes_only
        self._fold()
        self.connection = connection
        connection.start()

    def go(self) -> None:
        """The loop is ready for frames."""
        assert self.connection is not None, "only what was opened goes"
        self.phase = "running"
        self.connection.go(Intake(self.counts_on, self.join_at_s, self.skip_until_index, self.sample_fps))

    def tune(self, tuning: Tuning) -> None:
        """Watch it otherwise, from the next frame on."""
        self.tuning = tuning
        if self.state is not None:
            self.state.max_faces = self.max_faces
        if self.connection is not None:
            self.connection.intake.sample_fps = self.sample_fps
            self.connection.keyframes_only = self.keyframes_only

    def rest(self, state: SourceState, error: SourceError | None) -> None:
        """The source is gone for now; the stream's state stays."""
        self._leave()
        self.phase, self.rested_at_s, self.error = "resting", self.clock.monotonic_s(), error
        self.enter(state)

    def stop(self) -> None:
        """No further frames are wanted; those that wait are forgotten."""
        self.phase = "ending"
        self._leave()

    def enter(self, state: SourceState) -> bool:
        """Go to a state of the source; False when it is there already."""
        return self.watch.enter(state, self.clock.monotonic_s())

    def _leave(self) -> None:
        if self.connection is not None:
            self.connection.leave()

    # -- what it counts -------------------------------------------------------------------------------------------

    def go_on_from(self, counters: Counters, *, anew: bool) -> None:
        """Count on from an earlier child's `counters`; `anew` when the decoder goes over what it decoded again."""
        self._before = Counters(decoded=counters.decoded, corrupt_packets=counters.corrupt_packets)
        if anew:
            self._before = Counters()
        self._before.dropped = dict(counters.dropped)
        self.counters.decoded, self.counters.corrupt_packets = self._before.decoded, self._before.corrupt_packets
        self.counters.analysed, self.counters.faces = counters.analysed, counters.faces
        self.counters.records, self.counters.dropped = counters.records, dict(counters.dropped)

    def count(self) -> Counters:
        """The counters with what the connections have counted so far."""
        before = self._before
        counts = None if self.connection is None else self.connection.counts
        if counts is None:
            return self.counters
        self.counters.decoded = before.decoded + counts.decoded
        self.counters.corrupt_packets = before.corrupt_packets + counts.corrupt_packets
        for cause, n in (
            ("queue_full", counts.queue_full),
            ("sample_rate", counts.sample_rate),
            ("closed", counts.closed),
        ):
            if n:
                self.counters.dropped[cause] = before.dropped.get(cause, 0) + n
        return self.counters

    def _fold(self) -> None:
        """Before the next connection counts from 0: keep what the present one counted."""
        if self.connection is not None:
            counters, self._cpu_s, self._decoding = self.count(), self.cpu_s, self.decoding
            self._before = Counters(
                decoded=counters.decoded, corrupt_packets=counters.corrupt_packets, dropped=dict(counters.dropped)
            )
