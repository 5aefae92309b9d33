"""The supervisor: owns what is one per machine, places streams on child processes, replaces children that die.

It loads neither PyAV nor OpenCV nor an engine, so nothing that a hostile video does to a decoder happens here.
"""

from __future__ import annotations

import secrets
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import msgspec

from streamer import log
from streamer.bus.protocol import Bus
from streamer.clock import Clock, SystemClock
from streamer.config import Config
from streamer.errors import BusError, ModelError, StreamerError
from streamer.fleet.placement import Assignment, Placement
from streamer.machine import n_cores
from streamer.messages import SourceResult
from streamer.progress import StreamProgress
from streamer.source import Source
from streamer.worker.children import Children, Died, Said
from streamer.worker.link import Drain, Drained, Ended, Fatal, FromChild, Open, Opened, Ready, Start, Stop, Tick
from streamer.worker.runs import RunBook
from streamer.worker.streams import StageTotals, StreamView

SHOW_INTERVAL_S = 0.25
MAINTENANCE_INTERVAL_S = 10.0
START_FAILURES_ALLOWED = 3
HUNG_AFTER_S = 120.0
"""A child says something every second, also while the bus is slow; only compiling a model takes it longer."""
KILLED_WITHIN_S = 10.0


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """How an invocation went: a result by source, the run ids, what ended it early, and when results began.

    `interrupted` says that something was left undone because it was asked to stop.
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
        children: Children | None = None,
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
        self._children = Children() if children is None else children
        self._book = RunBook(config, bus, self._clock)
        self._live_run = run or f"live-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{secrets.token_hex(3)}"
        self._stages = StageTotals()
        self._heard_s: dict[int, float] = {}
        self._start_failures = 0
        self._interrupts = 0
        self._ending = False
        self._fatal: StreamerError | None = None
        self._loaded_s: float | None = None
        self._first_record_s: float | None = None
        self._started_s = self._clock.monotonic_s()
        self._streams = {source.stream: self._view(source) for source in sources}
        self._placement = Placement(
            n_children=max(1, min(config.worker.children or n_cores(), len(self._streams))),
            slots=config.worker.streams_per_child,
            max_restarts=config.worker.max_restarts,
        )
        for name, stream in self._streams.items():
            self._placement.add(name, live=stream.source.mode == "live")

    def _view(self, source: Source) -> StreamView:
        run = self._live_run if source.mode == "live" else self._run_name or ""
        return StreamView(source, run, self._clock.wall_s())

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
            for assignment in self._placement.due():
                self._place(assignment)
            now_s = self._clock.monotonic_s()
            if now_s >= next_show_s:
                self._show([stream.progress for stream in self._streams.values()])
                self._end_the_hung(now_s)
                self._book.write(self._stages.seconds)
                next_show_s = now_s + SHOW_INTERVAL_S
            if now_s >= next_maintenance_s:
                self._bus.maintain()
                next_maintenance_s = now_s + MAINTENANCE_INTERVAL_S
            self._take_event(next_show_s - now_s)
        if self._interrupts:
            self._drain()
        self._show([stream.progress for stream in self._streams.values()])

    def _place(self, assignment: Assignment) -> None:
        child = assignment.child
        if child not in self._children:
            self._heard_s[child] = self._clock.monotonic_s()
            self._children.start(
                Start(
                    child=child,
                    config=self._config,
                    run=self._run_name,
                    live_run=self._live_run,
                    cache=str(self._cache) if self._cache else None,
                    log_level=self._log_level,
                )
            )
        stream = self._streams[assignment.stream]
        stream.placed(assignment.restarts)
        self._children.tell(child, Open.of(stream.source, assignment.restarts))

    # -- what children say ------------------------------------------------------------------------------------

    def _take_event(self, timeout_s: float) -> None:
        event = self._children.next_event(max(0.0, timeout_s))
        if isinstance(event, Said):
            self._heard_s[event.child] = self._clock.monotonic_s()
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
                self._ticked(child, message)
            case Ended():
                self._ended(message)
            case Fatal():
                self._fatal = self._fatal or _error_of(message)
            case Drained():
                pass  # its death follows and says all there is to say

    def _opened(self, message: Opened) -> None:
        stream = self._streams[message.stream]
        stream.opened(message)
        if message.resumed_at_s is not None:
            log.info("stream.resumed", stream=message.stream, media_time_s=message.resumed_at_s)
        self._book.note(stream.run, stream.result)

    def _ticked(self, child: int, message: Tick) -> None:
        now_s = self._clock.monotonic_s()
        self._stages.tell(child, message.stage_s)
        if message.published and self._first_record_s is None:
            self._first_record_s = now_s - self._started_s
        for tick in message.streams:
            self._streams[tick.stream].ticked(tick, now_s)

    def _ended(self, message: Ended) -> None:
        stream = self._streams[message.stream]
        self._placement.ended(message.stream)
        stream.ended(message, self._clock.wall_s())
        if message.already_done:
            stream.as_recorded(self._book.note_done_before(stream.run, stream.result))
        else:
            self._note(stream)

    def _note(self, stream: StreamView) -> None:
        if stream.run:  # a file that could not be opened has no name for its run
            self._book.note(stream.run, stream.result)

    # -- children that die ------------------------------------------------------------------------------------

    def _end_the_hung(self, now_s: float) -> None:
        for child in self._children:
            if now_s - self._heard_s[child] > HUNG_AFTER_S:
                log.error("child.hung", child=child, silent_s=round(now_s - self._heard_s[child]))
                self._children.kill(child)
                self._heard_s[child] = now_s

    def _bury(self, event: Died) -> None:
        self._stages.died(event.child)
        if self._ending or self._interrupts or self._fatal is not None:
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
            self._streams[name].lost_its_child()
        for name in given_up:
            stream = self._streams[name]
            deaths = self._config.worker.max_restarts + 1
            message = (
                f"given up: its worker process died {deaths} times on it; look into the file, or report it with the "
                "output of --log-level info"
            )
            stream.given_up("failed", "child_died", message, self._clock.wall_s())
            self._note(stream)

    def _drain(self) -> None:
        """Let the children commit what was done, within one shared deadline."""
        asked = self._interrupts
        self._children.tell_all(Drain())
        deadline_s = self._clock.monotonic_s() + self._config.worker.drain_timeout_s
        while len(self._children) and self._interrupts == asked and self._fatal is None:
            left_s = deadline_s - self._clock.monotonic_s()
            if left_s <= 0:
                log.warning("drain.timeout", children=len(self._children))
                return
            self._take_event(left_s)

    def _end_children(self) -> None:
        """No child is left when this returns: idle ones are let go, others are killed."""
        self._ending = True
        if self._fatal is None and not self._interrupts:
            self._children.tell_all(Stop())
            self._see_them_off(self._config.worker.drain_timeout_s, until_interrupted=True)
        self._children.kill_all()
        self._see_them_off(KILLED_WITHIN_S)
        if len(self._children):  # stuck inside the kernel, on a dead network disk for instance
            log.error("child.immortal", children=list(self._children))

    def _see_them_off(self, timeout_s: float, *, until_interrupted: bool = False) -> None:
        """Hear what they still say, an end that was committed above all, until they are gone."""
        deadline_s = self._clock.monotonic_s() + timeout_s
        while len(self._children) and (left_s := deadline_s - self._clock.monotonic_s()) > 0:
            if until_interrupted and self._interrupts:
                return
            try:
                self._take_event(left_s)
            except StreamerError as error:
                self._fatal = self._fatal or error

    # -- the end ----------------------------------------------------------------------------------------------

    def _outcome(self) -> RunOutcome:
        undone = [stream for stream in self._streams.values() if stream.result.state == "running"]
        try:
            for stream in undone:
                if self._fatal is None:
                    stream.given_up("interrupted", None, None, self._clock.wall_s())
                else:
                    stream.given_up("failed", self._fatal.cause, str(self._fatal), self._clock.wall_s())
                self._note(stream)
            self._book.close(self._stages.seconds)
        except BusError as error:
            self._fatal = self._fatal or error
        results = tuple(stream.result for stream in self._streams.values())
        return RunOutcome(
            results=results,
            runs=self._book.runs,
            interrupted=self._interrupts > 0 and any(result.state == "interrupted" for result in results),
            wall_s=self._clock.monotonic_s() - self._started_s,
            loaded_s=self._loaded_s,
            first_record_s=self._first_record_s,
            stage_s=self._stages.seconds,
            fatal=self._fatal,
        )

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
    """The error a child ended with, as the class that has its cause."""
    kinds = [BusError, ModelError]
    for kind in kinds:
        if kind.cause == message.cause:
            return kind(message.message)
        kinds += kind.__subclasses__()
    return BusError(message.message)
