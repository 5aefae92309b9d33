"""One opening of a source: a thread that finds its address, opens it and offers its frames.

A reader stuck inside of FFmpeg cannot be stopped, so a connection can be left behind: from then on nothing that its
thread still does is heard, offered or counted, and the stream goes on with another one.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from streamer import log
from streamer.batching.exchange import Exchange
from streamer.clock import Clock
from streamer.config import Config, ConnectSettings
from streamer.counting import STAGE_BUCKETS_S, Counting
from streamer.decode import Decoder, DecoderInfo, open_source
from streamer.errors import ModelError, SourceBroke, SourceError
from streamer.source import Source
from streamer.sources import resolve
from streamer.types import Frame
from streamer.worker.intake import Intake
from streamer.worker.watch import Phase, Signs


@dataclass(frozen=True, slots=True)
class ConnectionOpened:
    """The source is open; its thread waits for `go`."""

    connection: Connection
    info: DecoderInfo


@dataclass(frozen=True, slots=True)
class ConnectionFailed:
    """The source could not be opened. A failure after that comes through the exchange, behind the last frame."""

    connection: Connection
    error: SourceError


ConnectionEvent = ConnectionOpened | ConnectionFailed


@dataclass(slots=True)
class Counts:
    """What became of the frames of one connection. `decoded` = given to the loop + the dropped + the known."""

    decoded: int = 0
    corrupt_packets: int = 0
    queue_full: int = 0
    sample_rate: int = 0
    closed: int = 0
    last_arrival_s: float | None = None
    reorder_delay_s: float | None = None
    cpu_s: float = 0.0
    decoding: Counting = field(default_factory=lambda: Counting(STAGE_BUCKETS_S))


class Connection:
    """Its own name in the exchange. `counts` are its thread's to write; everything public is for the child's loop.

    `prepare`, where given, is called on the thread before anything is opened; it may wait for the bus. `tell` brings
    events to the loop. `work` is the work that it is for. `guarded`: others asked for it, see `Address`. `warm` makes
    ready what pictures of a size need: here and not in the loop, where every other stream would wait for it.
    """

    def __init__(
        self,
        work: str,
        source: Source,
        config: Config,
        clock: Clock,
        exchange: Exchange[Connection, Frame],
        tell: Callable[[ConnectionEvent], None],
        prepare: Callable[[], None] = lambda: None,
        *,
        connect: ConnectSettings | None = None,
        guarded: bool = False,
        warm: Callable[[tuple[int, int]], None] = lambda _: None,
    ) -> None:
        self.work = work
        self.source = source
        self.intake = Intake()
        self.counts = Counts()
        self.error: SourceError | None = None
        self._config = config
        self._clock = clock
        self._exchange = exchange
        self._tell = tell
        self._prepare = prepare
        self._connect = config.connect if connect is None else connect
        self._guarded = guarded
        self._warm = warm
        self._traced = bool(config.tracing.endpoint)
        self._keyframes_only = False
        self._decoder: Decoder | None = None
        self._go = threading.Event()
        self._left = False
        self._left_s = 0.0
        self._fate = threading.Lock()
        self._phase: Phase = "preparing"
        self._since_s = clock.monotonic_s()
        self._found_at_s = 0.0
        self._expires_at_s: float | None = None
        self._thread = threading.Thread(target=self._run, name=f"decode {source.stream}", daemon=True)

    # -- for the loop ---------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin; an event follows."""
        self._thread.start()

    def go(self, intake: Intake) -> None:
        """The loop is ready for frames, which go through `intake`."""
        self.intake = intake
        self._go.set()

    @property
    def keyframes_only(self) -> bool:
        """Whether nothing but key frames is decoded."""
        return self._keyframes_only

    @keyframes_only.setter
    def keyframes_only(self, value: bool) -> None:
        self._keyframes_only = value
        if (decoder := self._decoder) is not None:
            decoder.keyframes_only = value

    @property
    def signs(self) -> Signs:
        """What the watch wants to know of it."""
        decoder, since_s = self._decoder, self._since_s
        beat_s = since_s if decoder is None else decoder.beat_s
        return Signs(self._phase, since_s, beat_s, self.counts.last_arrival_s, self._found_at_s, self._expires_at_s)

    @property
    def was_left(self) -> bool:
        """Whether nobody waits for its thread any more."""
        return self._left

    def leave(self) -> None:
        """Hear nothing more of it; frames that wait are forgotten, counted as `closed`. Returns at once."""
        with self._fate:
            if self._left:
                return
            self._left, self._left_s = True, self._clock.monotonic_s()
        waiting = self._exchange.close(self)
        if self.source.mode == "live":  # an archive's are read again
            self.counts.closed += len(waiting)
        self._go.set()
        if (decoder := self._decoder) is not None:
            decoder.interrupt()

    @property
    def is_alive(self) -> bool:
        """Whether its thread has not ended yet."""
        return self._thread.is_alive()

    def hung_s(self) -> float:
        """For how long its thread has gone on after it was left; 0 once it has ended."""
        if not self._left or not self._thread.is_alive():
            return 0.0
        return self._clock.monotonic_s() - self._left_s

    # -- on the thread --------------------------------------------------------------------------------------------

    def _enter(self, phase: Phase) -> None:
        self._since_s = self._clock.monotonic_s()
        self._phase = phase

    def _run(self) -> None:
        error: SourceError | None = None
        try:
            self._prepare()
            if not self._left:
                self._open()
        except SourceError as found:
            error = found
        except Exception as found:  # a thread that died silently would leave its stream waiting for ever
            error = SourceBroke(
                f"{self.source.name} could not be read on ({type(found).__name__}: {found}): what was done is kept; "
                "run it again, and if it fails again report it."
            )
            log.error("source.broke", stream=self.source.stream, exc_info=True)
        finally:
            self._decoder = None
        self._over(error)

    def _open(self) -> None:
        connect = self._connect
        self._enter("resolving")
        self._found_at_s = self._clock.wall_s()
        address = resolve(self.source, connect, self._found_at_s, guarded=self._guarded)
        self._expires_at_s = address.expires_at_s
        self._enter("opening")
        with open_source(self.source, self._config.decode, self._clock, connect, address) as decoder:
            decoder.keyframes_only = self._keyframes_only
            self._decoder = decoder
            self._enter("waiting")
            with contextlib.suppress(ModelError):  # the loop asks again, and hears of it
                self._warm(decoder.info.display_wh)
            self._say(ConnectionOpened(self, decoder.info))
            self._go.wait()
            if not self.was_left:
                self._read(decoder)

    def _read(self, decoder: Decoder) -> None:
        if not self.intake.counts_on:
            decoder.join_at(self.intake.join_at_s)
        counts = self.counts
        counts.cpu_s = time.thread_time()
        self._enter("reading")
        try:
            for frame in decoder:
                counts.corrupt_packets = decoder.counters.corrupt_packets
                counts.reorder_delay_s = decoder.reorder_delay_s
                cpu_s = time.thread_time()
                counts.decoding.observe(cpu_s - counts.cpu_s)
                counts.cpu_s = cpu_s
                taken = self.intake.take(frame)
                if taken != "known":
                    counts.last_arrival_s = frame.arrival_s
                if isinstance(taken, Frame):
                    self._offer(taken)
                    continue
                with self._fate:
                    if self.was_left:
                        return
                    counts.decoded += 1
                    counts.sample_rate += taken == "sample_rate"
        finally:
            counts.corrupt_packets = decoder.counters.corrupt_packets
            counts.cpu_s = time.thread_time()

    def _offer(self, frame: Frame) -> None:
        if self._traced:
            frame = replace(frame, decoded_s=self._clock.monotonic_s())
        if self.source.mode == "archive":  # waits for room, and nothing is dropped
            self._phase = "offering"
            self.counts.decoded += 1
            self._exchange.put(self, frame, "archive")
            self._enter("reading")
            return
        with self._fate:  # so that who leaves it finds every frame either counted and waiting, or not counted
            if self.was_left:
                return
            self.counts.decoded += 1
            if self._exchange.put(self, frame, "live", frame.arrival_s) is not None:
                self.counts.queue_full += 1

    def _say(self, event: ConnectionEvent) -> None:
        if not self._left:
            self._tell(event)

    def _over(self, error: SourceError | None) -> None:
        if error is not None:
            # Others hold it for as long as the source is away: not the decoder and its pictures along with it, which
            # the places where it was raised remember.
            error.__cause__ = error.__context__ = None
            error.__traceback__ = None
        self.error = error
        self._phase = "over"
        if error is not None and not self._go.is_set():
            self._say(ConnectionFailed(self, error))
        else:
            self._exchange.end(self)
