"""The supervisor: owns what is one per machine, places streams on child processes, replaces children that die.

It loads neither PyAV nor OpenCV nor an engine, so nothing that a hostile video does to a decoder happens here.
"""

from __future__ import annotations

import secrets
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec

from streamer import log
from streamer.bus.protocol import Bus
from streamer.clock import Clock, SystemClock
from streamer.config import Config
from streamer.errors import BusError, BusFull, ModelError, StreamerError
from streamer.fleet.placement import Placement
from streamer.machine import n_cores
from streamer.messages import SourceResult
from streamer.progress import StreamProgress
from streamer.source import Source
from streamer.worker.children import Children, Died, Said
from streamer.worker.link import (
    Drain,
    Drained,
    Ended,
    Fatal,
    FromChild,
    Open,
    Opened,
    Ready,
    Start,
    Stop,
    StreamTick,
    Tick,
)
from streamer.worker.runs import RunBook

SHOW_INTERVAL_S = 0.25
MAINTENANCE_INTERVAL_S = 10.0
START_FAILURES_ALLOWED = 3


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """How an invocation went: a result by source, the run ids, what ended it early, and when results began.

    `first_record_s` is the time from the start to the first records on the bus; `stage_s` the CPU seconds by stage
    over all children; `loaded_s` the time until the first child had its models compiled.
    """

    results: tuple[SourceResult, ...]
    runs: tuple[str, ...]
    interrupted: bool
    wall_s: float
    loaded_s: float | None
    first_record_s: float | None
    stage_s: dict[str, float]
    fatal: StreamerError | None = None


@dataclass(slots=True)
class _Stream:
    source: Source
    progress: StreamProgress
    result: SourceResult
    run: str = ""
    last_tick: tuple[float, float, int] | None = None

    def now(self, **changes: Any) -> None:
        """Change what the progress display shows."""
        self.progress = replace(self.progress, **changes)

    def note(self, **changes: Any) -> None:
        """Change what the run record says."""
        self.result = msgspec.structs.replace(self.result, **changes)


class Supervisor:
    """Runs sources to their end. `run` blocks; `interrupt` (also SIGINT and SIGTERM) drains and returns."""

    def __init__(
        self,
        config: Config,
        sources: Sequence[Source],
        bus: Bus,
        *,
        run: str | None = None,
        cache: Path | None = None,
        show: Callable[[Sequence[StreamProgress]], None] = lambda _: None,
        clock: Clock | None = None,
        log_level: log.Level = "warning",
    ) -> None:
        """The models must be in the cache already."""
        # Addresses stay here: they may hold passwords, and file names that are no UTF-8.
        self._config = msgspec.structs.replace(config, sources=())
        self._bus = bus
        self._run_name = run
        self._cache = cache
        self._show = show
        self._clock = clock or SystemClock()
        self._log_level = log_level
        self._children = Children()
        self._book = RunBook(config, bus, self._clock)
        self._live_run = run or f"live-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{secrets.token_hex(3)}"
        self._stage_s: dict[int, dict[str, float]] = {}
        self._stage_s_of_the_dead: dict[str, float] = {}
        self._start_failures = 0
        self._interrupts = 0
        self._fatal: StreamerError | None = None
        self._loaded_s: float | None = None
        self._first_record_s: float | None = None
        self._started_s = self._clock.monotonic_s()
        self._streams = {source.stream: self._new_stream(source) for source in sources}
        self._placement = Placement(
            n_children=max(1, min(config.worker.children or n_cores(), len(self._streams))),
            slots=config.worker.streams_per_child,
            max_restarts=config.worker.max_restarts,
        )
        for name, stream in self._streams.items():
            self._placement.add(name, live=stream.source.mode == "live")

    def _new_stream(self, source: Source) -> _Stream:
        return _Stream(
            source=source,
            progress=StreamProgress(stream=source.stream, state="waiting"),
            result=SourceResult(
                stream=source.stream,
                source=source.name,
                state="running",
                mode=source.mode,
                started_s=self._clock.wall_s(),
            ),
        )

    def interrupt(self) -> None:
        """Drain: what was done is kept. A second call ends the children at once."""
        self._interrupts += 1
        self._children.wake()

    def run(self) -> RunOutcome:
        """Run every source to its end, or until interrupted, or until nothing can go on."""
        with self._signals():
            try:
                self._loop()
            except StreamerError as error:
                self._fatal = error
            finally:
                self._end_children()
        return self._outcome()

    def _loop(self) -> None:
        next_show_s = next_maintenance_s = self._clock.monotonic_s()
        while self._placement.unfinished and self._fatal is None and not self._interrupts:
            self._place()
            now_s = self._clock.monotonic_s()
            if now_s >= next_show_s:
                self._show([stream.progress for stream in self._streams.values()])
                next_show_s = now_s + SHOW_INTERVAL_S
            if now_s >= next_maintenance_s:
                self._bus.maintain()
                next_maintenance_s = now_s + MAINTENANCE_INTERVAL_S
            self._take_event(next_show_s - now_s)
        if self._interrupts:
            self._drain()
        self._show([stream.progress for stream in self._streams.values()])

    def _place(self) -> None:
        for assignment in self._placement.due():
            if assignment.child not in self._children:
                self._children.start(
                    Start(
                        child=assignment.child,
                        config=self._config,
                        run=self._run_name,
                        live_run=self._live_run,
                        cache=str(self._cache) if self._cache else None,
                        log_level=self._log_level,
                    )
                )
            stream = self._streams[assignment.stream]
            stream.now(state="connecting")
            stream.note(restarts=assignment.restarts)
            self._children.tell(assignment.child, Open.of(stream.source, assignment.restarts))

    def _take_event(self, timeout_s: float) -> None:
        event = self._children.next_event(max(0.0, timeout_s))
        if isinstance(event, Said):
            self._hear(event.child, event.message)
        elif isinstance(event, Died):
            self._bury(event)

    def _hear(self, child: int, message: FromChild) -> None:
        match message:
            case Ready():
                self._start_failures = 0
                self._book.precision = message.precision
                if self._loaded_s is None:
                    self._loaded_s = self._clock.monotonic_s() - self._started_s
            case Opened():
                self._opened(message)
            case Tick():
                self._stage_s[child] = message.stage_s
                if message.published and self._first_record_s is None:
                    self._first_record_s = self._clock.monotonic_s() - self._started_s
                for tick in message.streams:
                    self._ticked(tick)
            case Ended():
                self._ended(message)
            case Fatal():
                self._fatal = _error_of(message)
            case Drained():
                pass  # its death follows and says all there is to say

    def _opened(self, message: Opened) -> None:
        stream = self._streams[message.stream]
        stream.run = message.run
        stream.now(state="running", duration_s=message.duration_s)
        stream.note(
            session=message.session,
            width=message.width,
            height=message.height,
            duration_s=message.duration_s or 0.0,
        )
        if message.resumed_at_s is not None:
            log.info("stream.resumed", stream=message.stream, media_time_s=message.resumed_at_s)
        self._book.note(message.run, stream.result, self._stages())

    def _ticked(self, tick: StreamTick) -> None:
        stream = self._streams.get(tick.stream)
        if stream is None:
            return
        now_s = self._clock.monotonic_s()
        if stream.last_tick is not None:
            then_s, then_media_s, then_analysed = stream.last_tick
            if now_s > then_s:
                stream.now(
                    fps=max(0.0, (tick.analysed - then_analysed) / (now_s - then_s)),
                    speed=max(0.0, (tick.media_time_s - then_media_s) / (now_s - then_s)),
                )
        stream.last_tick = (now_s, tick.media_time_s, tick.analysed)
        stream.now(
            position_s=tick.media_time_s,
            decoded=tick.decoded,
            analysed=tick.analysed,
            faces=tick.faces_now,
            dropped=sum(tick.dropped.values()),
        )
        stream.note(
            decoded=tick.decoded,
            analysed=tick.analysed,
            faces=tick.faces,
            records=tick.records,
            corrupt_packets=tick.corrupt_packets,
            dropped=tick.dropped,
        )

    def _ended(self, message: Ended) -> None:
        stream = self._streams[message.stream]
        self._placement.ended(message.stream)
        stream.result = msgspec.structs.replace(
            message.result,
            source=stream.result.source,
            started_s=stream.result.started_s,
            finished_s=self._clock.wall_s(),
            restarts=stream.result.restarts,
        )
        result = message.result
        stream.now(
            state=result.state,
            message="already on this bus: nothing to do" if message.already_done else result.message,
            position_s=max(stream.progress.position_s, result.duration_s),
            decoded=result.decoded,
            analysed=result.analysed,
        )
        if message.already_done:
            self._book.note_done_before(message.run)
        elif message.run:
            stream.run = message.run
            self._book.note(message.run, stream.result, self._stages())

    def _bury(self, event: Died) -> None:
        for stage, seconds in self._stage_s.pop(event.child, {}).items():
            self._stage_s_of_the_dead[stage] = self._stage_s_of_the_dead.get(stage, 0.0) + seconds
        if self._interrupts or self._fatal is not None:
            return
        if self._loaded_s is None:
            self._start_failures += 1
            if self._start_failures >= START_FAILURES_ALLOWED:
                raise ModelError(
                    f"child processes end before they are ready (exit code {event.exit_code}): "
                    "run `streamer doctor` to see what is missing on this machine"
                )
        resumed, given_up = self._placement.died(event.child)
        log.warning("child.died", child=event.child, exit_code=event.exit_code, resumed=resumed, given_up=given_up)
        for name in resumed:
            self._streams[name].now(state="connecting", message="resuming")
            self._streams[name].last_tick = None
        for name in given_up:
            self._give_up(name, "child_died", "its worker process died again and again on it; the rest went on")

    def _give_up(self, name: str, cause: str, message: str) -> None:
        stream = self._streams[name]
        stream.now(state="failed", message=message)
        stream.note(state="failed", cause=cause, message=message, finished_s=self._clock.wall_s())
        if stream.run:
            self._book.note(stream.run, stream.result, self._stages())

    def _drain(self) -> None:
        """Let the children commit what was done, within one shared deadline."""
        asked = self._interrupts
        self._children.tell_all(Drain())
        deadline_s = self._clock.monotonic_s() + self._config.worker.drain_timeout_s
        while len(self._children) and self._interrupts == asked:
            left_s = deadline_s - self._clock.monotonic_s()
            if left_s <= 0:
                log.warning("drain.timeout", children=len(self._children))
                return
            self._take_event(left_s)

    def _end_children(self) -> None:
        if self._fatal is None and not self._interrupts:
            self._children.tell_all(Stop())
            deadline_s = self._clock.monotonic_s() + self._config.worker.drain_timeout_s
            while len(self._children) and (left_s := deadline_s - self._clock.monotonic_s()) > 0:
                event = self._children.next_event(left_s)
                if isinstance(event, Said) and isinstance(event.message, Tick):
                    self._stage_s[event.child] = event.message.stage_s
        self._children.kill_all()
        while len(self._children):
            self._children.next_event(10.0)

    def _outcome(self) -> RunOutcome:
        for stream in self._streams.values():
            if stream.result.state == "running":
                stream.note(
                    state="interrupted" if self._fatal is None else "failed",
                    finished_s=self._clock.wall_s(),
                    cause=None if self._fatal is None else self._fatal.cause,
                )
                if stream.run and self._fatal is None:
                    self._book.note(stream.run, stream.result, self._stages())
        try:
            self._book.close(self._stages())
        except BusError as error:
            self._fatal = self._fatal or error
        return RunOutcome(
            results=tuple(stream.result for stream in self._streams.values()),
            runs=self._book.runs,
            interrupted=self._interrupts > 0,
            wall_s=self._clock.monotonic_s() - self._started_s,
            loaded_s=self._loaded_s,
            first_record_s=self._first_record_s,
            stage_s=self._stages(),
            fatal=self._fatal,
        )

    def _stages(self) -> dict[str, float]:
        total = dict(self._stage_s_of_the_dead)
        for stages in self._stage_s.values():
            for name, seconds in stages.items():
                total[name] = total.get(name, 0.0) + seconds
        return total

    @contextmanager
    def _signals(self) -> Iterator[None]:
        def on_signal(number: int, frame: FrameType | None) -> None:
            self.interrupt()

        try:
            before = {name: signal.signal(name, on_signal) for name in (signal.SIGINT, signal.SIGTERM)}
        except ValueError:  # not the main thread: whoever embeds us calls `interrupt`
            before = {}
        try:
            yield
        finally:
            for name, handler in before.items():
                signal.signal(name, handler)


def _error_of(message: Fatal) -> StreamerError:
    kinds: dict[str, type[StreamerError]] = {BusFull.cause: BusFull, ModelError.cause: ModelError}
    return kinds.get(message.cause, BusError)(message.message)
