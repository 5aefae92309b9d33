"""One invocation of `streamer run`: takes its sources to their end by a crew of child processes.

Live sources that go on while nobody looks have no end: they are opened again whenever they are gone, until the run is
interrupted. Neither PyAV nor OpenCV nor an engine is loaded, so nothing that a hostile video does to a decoder happens
here.
"""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from streamer import log
from streamer.bus.protocol import Bus, Placed
from streamer.bus.topics import partition_of
from streamer.clock import Clock, SystemClock
from streamer.config import Config
from streamer.control.words import Readiness
from streamer.errors import BusError, ModelError, StreamerError
from streamer.fleet.starts import StartGate
from streamer.machine import n_cores
from streamer.messages import SourceResult
from streamer.metrics.declared import Phase
from streamer.progress import StreamProgress
from streamer.source import Source
from streamer.worker.asking import Asked, Asking
from streamer.worker.children import Children, Event
from streamer.worker.claims import claim
from streamer.worker.crew import Crew
from streamer.worker.desk import AtOnce
from streamer.worker.instruments import Instruments
from streamer.worker.link import Drain, Ended, Opened, Ready, SourceGone, Stop, Tick
from streamer.worker.notices import Notices
from streamer.worker.orders import Order
from streamer.worker.readiness import readiness
from streamer.worker.run_control import RunControl
from streamer.worker.run_streams import RunStreams, goes_on, wanted_of
from streamer.worker.runs import RunBook
from streamer.worker.sentences import Sentences
from streamer.worker.signals import signals_to
from streamer.worker.streams import StageTotals, StreamView

MOST_HANDS = 6
"""With more of them, what a child does alone (decoding, following faces, records) takes longest."""
SHOW_INTERVAL_S = 0.25
MAINTENANCE_INTERVAL_S = 10.0
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
    """Runs sources to their end. `run` blocks; `interrupt` (also SIGINT and SIGTERM) drains and returns.

    `say` is called with a sentence when a source is gone or back, and with whether somebody has to put something right.
    With `controlled` the run lasts until it is interrupted, whatever is left to do: `control` may be asked for more, by
    any thread.
    """

    def __init__(
        self,
        config: Config,
        sources: Sequence[Source],
        bus: Bus,
        *,
        run: str | None = None,
        cache: Path | None = None,
        show: Callable[[Sequence[StreamProgress]], None] = lambda _: None,
        say: Callable[[str, bool], None] = lambda *_: None,
        controlled: bool = False,
        clock: Clock | None = None,
        log_level: log.Level = "warning",
        log_format: log.Format = "console",
        children: Children | None = None,
    ) -> None:
        """The models must be in the cache already."""
        self._config = config
        self._bus = bus
        self._run_name = run
        self._show = show
        self._clock = clock or SystemClock()
        self._children = Children() if children is None else children
        self._book = RunBook(config, bus, self._clock)
        self._live_run = run or f"live-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{secrets.token_hex(3)}"
        self._notices = Notices(config, AtOnce(bus), self._clock, self._live_run, self._live_run)
        self._stages = StageTotals()
        self._interrupts = 0
        self._fatal: StreamerError | None = None
        self._loaded_s: float | None = None
        self._first_record_s: float | None = None
        self._started_s = self._clock.monotonic_s()
        self._controlled = controlled
        self._hopeless: list[tuple[str, str, str]] = []
        self._streams = {source.stream: self._view(source) for source in sources}
        self._taken_out: list[SourceResult] = []
        n_processes = config.worker.children or n_cores()
        n_children = n_processes if controlled else max(1, min(n_processes, len(self._streams)))
        spare = n_processes // n_children - 1
        # Files alone: what is live may not wait for a batch of that length. A GPU is shared by all children already.
        has_hands = not controlled and config.models.device != "cuda" and all(one.mode == "archive" for one in sources)
        self._instruments = Instruments.of("run", self._children, self._clock)
        self._meters = self._instruments.streams
        self._crew = Crew(
            config,
            self._children,
            self._clock,
            self,
            n_children=n_children,
            hands=min(MOST_HANDS, spare) if has_hands else 0,
            live_run=self._live_run,
            run=run,
            cache=cache,
            log_level=log_level,
            log_format=log_format,
            meters=self._instruments.of_children,
        )
        self._live = RunStreams(
            config,
            self._crew,
            self._clock,
            self._claim,
            Sentences(say, self._clock),
            StartGate(config.fleet.host_starts, config.fleet.starts_per_s),
        )
        self.control = RunControl(
            config,
            Asking(self._children.post),
            self._instruments.metrics,
            self._live,
            self._streams,
            self._view,
            self._changed,
            lambda: len(self._children),
            self._readiness,
            self._live_run,
        )

    def _view(self, source: Source) -> StreamView:
        run = self._live_run if source.mode == "live" else self._run_name or ""
        return StreamView(source, run, self._clock.wall_s())

    def interrupt(self) -> None:
        """Drain: what was done is kept. A second call ends the children at once."""
        self._interrupts += 1
        self._children.wake()

    def run(self) -> RunOutcome:
        """Run every source to its end, or until interrupted, or until nothing can go on."""
        with signals_to(self.interrupt):
            try:
                self._loop()
            except StreamerError as error:
                self._fatal = error
            finally:
                self._end_children()
            return self._outcome()

    def _loop(self) -> None:
        self._order_all()
        next_show_s = next_maintenance_s = self._clock.monotonic_s()
        while self._goes_on and self._fatal is None and not self._interrupts:
            for order in self._live.due():
                self._crew.add(order)
            self._crew.place_due()
            now_s = self._clock.monotonic_s()
            if now_s >= next_show_s:
                self._look_at_metrics()
                self._show([stream.progress for stream in self._streams.values()])
                self._crew.end_the_hung()
                self._notices.send_due()
                self._book.write(self._stages.seconds)
                self._look_for_hope()
                next_show_s = now_s + SHOW_INTERVAL_S
            if now_s >= next_maintenance_s:
                self._bus.maintain()
                self._crew.dismiss_the_spare()
                next_maintenance_s = now_s + MAINTENANCE_INTERVAL_S
            self._crew.take_event(next_show_s - now_s)
        if self._interrupts or self._hopeless:
            self._drain()
        for name, cause, message in self._hopeless:
            self._streams[name].given_up("failed", cause, message, self._clock.wall_s())
            self._note(self._streams[name])
        self._show([stream.progress for stream in self._streams.values()])

    def _readiness(self) -> Readiness:
        draining = bool(self._interrupts) or self._crew.ending or not self._goes_on
        return readiness(draining=draining, n_ready=self._crew.n_ready)

    def _look_at_metrics(self) -> None:
        phases: Counter[str] = Counter(map(self._phase, self._streams))
        self._instruments.look(self._crew, phases, ready=self._readiness().ready)

    def _phase(self, stream: str) -> Phase:
        view = self._streams[stream]
        if view.source.mode == "live":
            return self._live.phase(stream)
        if view.result.state != "running":
            return "over"
        return "waiting" if self._crew.child_of(stream) is None else "running"

    @property
    def _goes_on(self) -> bool:
        if self._hopeless:
            return False
        return self._controlled or self._live.unfinished or self._crew.unfinished > 0

    def _look_for_hope(self) -> None:
        """A run that was given nothing but sources that cannot work ends: nobody may be there to see it try."""
        others = [one for one in self._streams.values() if one.source.mode == "archive"]
        if not self._controlled and all(one.result.state != "running" for one in others):
            self._hopeless = self._live.hopeless()

    def _order_all(self) -> None:
        """Order every source, in the order given; whoever writes a live stream claims it first. Raises `BusError`.

        Where there is none yet, one child loads its models meanwhile.
        """
        if not self._streams:
            self._crew.start_child(0)
        for view in self._streams.values():
            if view.source.mode == "live":
                self._live.want(wanted_of(view.source, self._partition_of), returns=goes_on(view.source))
        first = {order.work: order for order in self._live.due()}
        for name, view in self._streams.items():
            if view.source.mode == "archive":
                self._crew.add(Order(name, view.source))
            elif name in first:
                self._crew.add(first[name])

    def _partition_of(self, stream: str) -> int:
        return partition_of(stream, self._config.topics.partitions)

    def _claim(self, orders: Sequence[Order]) -> list[Placed]:
        return claim(self._bus, [order.source.stream for order in orders], self._live_run, self._config.topics)

    # -- what becomes of it -----------------------------------------------------------------------------------

    def placed(self, order: Order, restarts: int) -> None:
        self._streams[order.work].placed(restarts)
        self._meters.placed(order, restarts)

    def ready(self, message: Ready) -> None:
        self._book.precision = message.precision
        if self._loaded_s is None:
            self._loaded_s = self._clock.monotonic_s() - self._started_s

    def opened(self, order: Order, message: Opened) -> None:
        stream = self._streams[order.work]
        stream.opened(message)
        self._meters.opened(order, message)
        if order.source.mode == "live":
            self._live.opened(order, message)
        if message.resumed_at_s is not None:
            log.info("stream.resumed", stream=order.work, media_time_s=message.resumed_at_s)
        self._book.note(stream.run, stream.result)

    def ticked(self, child: int, message: Tick) -> None:
        now_s = self._clock.monotonic_s()
        self._stages.tell(child, message.stage_s)
        if message.published and self._first_record_s is None:
            self._first_record_s = now_s - self._started_s
        self._meters.ticked(message)
        for tick in message.streams:
            if tick.work in self._streams:
                self._streams[tick.work].ticked(tick, now_s)
                self._live.ticked(tick)

    def source_gone(self, order: Order, message: SourceGone) -> None:
        stream = self._streams[order.work]
        stream.gone(message.cause, message.message)
        self._live.source_gone(order, message)
        self._note(stream)

    def ended(self, order: Order, message: Ended) -> None:
        stream, result = self._streams[order.work], message.result
        if order.source.mode == "live" and not self._live.ended(order, message):
            self._meters.ended(order, result, "backing_off")
            stream.gone(result.cause or "failed", result.message or "it failed")
            return
        self._meters.ended(order, result)
        stream.ended(message, self._clock.wall_s())
        if message.already_done:
            stream.as_recorded(self._book.note_done_before(stream.run, stream.result))
        else:
            self._note(stream)
        if order.source.mode == "live":
            self._changed(order.work)

    def _changed(self, name: str) -> None:
        """A live stream is let go of, is to wait, or is wanted no more."""
        stream, one = self._streams[name], self._live.streams.get(name)
        if one is None or not one.paused:
            self._notices.forget(name)  # its child speaks for it, or nobody any more
        if one is None:
            stream.given_up("done", None, "taken out of the run", self._clock.wall_s())
            self._note(stream)
            self._taken_out.append(stream.result)
            del self._streams[name]
            self._meters.forget(name)
        elif one.phase == "idle":
            state: Literal["paused", "waiting"] = "paused" if one.paused else "waiting"
            stream.held(state)
            self._meters.entered(name, state)
            if state == "paused":
                self._notices.say(name, state)

    def child_died(self, child: int) -> None:
        self._stages.died(child)

    def resumed(self, order: Order) -> None:
        self._streams[order.work].lost_its_child()
        if order.source.mode == "live":
            self._live.resumed(order)
            if (one := self._live.streams.get(order.work)) is None or one.paused:
                self._changed(order.work)

    def given_up(self, order: Order, deaths: int) -> None:
        message = (
            f"given up: its worker process died {deaths} times on it; look into the file, or report it with the "
            "output of --log-level info"
        )
        self._refused(order, "child_died", message)

    def fatal(self, error: StreamerError, orders: list[Order]) -> None:
        """A child cannot go on. Models that a request asked for are the matter of the streams that it named."""
        asked = [order for order in orders if order.models not in (None, self._config.models)]
        if isinstance(error, ModelError) and asked:
            for order in orders:
                self._crew.abandon(order.work)
                self._refused(order, error.cause, str(error))
            return
        self._fatal = self._fatal or error
        self._crew.ending = True

    def _refused(self, order: Order, cause: str, message: str) -> None:
        stream = self._streams[order.work]
        if order.source.mode == "live" and self._live.failed(order, cause, message):
            stream.gone(cause, message)
            self._meters.entered(order.work, "backing_off")
        else:
            stream.given_up("failed", cause, message, self._clock.wall_s())
            self._meters.entered(order.work, "failed")
        self._note(stream)

    def happened(self, event: Event) -> None:
        """Somebody asks something, or wanted the loop to look around."""
        if isinstance(event, Asked):
            event.answer()

    def _note(self, stream: StreamView) -> None:
        if stream.run:  # a file that could not be opened has no name for its run
            self._book.note(stream.run, stream.result)

    # -- the end ----------------------------------------------------------------------------------------------

    def _drain(self) -> None:
        """Let the children commit what was done, within one shared deadline."""
        asked = self._interrupts
        self._crew.ending = True
        self._look_at_metrics()
        self._children.tell_all(Drain())
        deadline_s = self._clock.monotonic_s() + self._config.worker.drain_timeout_s
        while len(self._children) and self._interrupts == asked and self._fatal is None:
            left_s = deadline_s - self._clock.monotonic_s()
            if left_s <= 0:
                log.warning("drain.timeout", children=len(self._children))
                return
            self._crew.take_event(left_s)

    def _end_children(self) -> None:
        """No child is left when this returns: idle ones are let go, others are killed."""
        self._crew.ending = True
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
                self._crew.take_event(left_s)
            except StreamerError as error:
                self._fatal = self._fatal or error

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
        results = (*self._taken_out, *(stream.result for stream in self._streams.values()))
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
