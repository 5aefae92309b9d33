"""One invocation of `streamer run`: takes its sources to their end by a crew of child processes.

It loads neither PyAV nor OpenCV nor an engine, so nothing that a hostile video does to a decoder happens here.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from streamer import log
from streamer.bus.protocol import Bus, Placed
from streamer.clock import Clock, SystemClock
from streamer.config import Config
from streamer.errors import BusError, BusUnavailable, StreamerError
from streamer.machine import n_cores
from streamer.messages import SourceResult
from streamer.progress import StreamProgress
from streamer.source import Source
from streamer.worker.children import Children, Event
from streamer.worker.claims import claim
from streamer.worker.crew import Crew
from streamer.worker.link import Drain, Ended, Opened, Ready, SourceGone, Stop, Tick
from streamer.worker.orders import Order, claimed
from streamer.worker.runs import RunBook
from streamer.worker.signals import signals_to
from streamer.worker.streams import StageTotals, StreamView

SHOW_INTERVAL_S = 0.25
MAINTENANCE_INTERVAL_S = 10.0
CLAIM_AGAIN_S = 1.0
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
        self._config = config
        self._bus = bus
        self._run_name = run
        self._show = show
        self._clock = clock or SystemClock()
        self._children = Children() if children is None else children
        self._book = RunBook(config, bus, self._clock)
        self._live_run = run or f"live-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{secrets.token_hex(3)}"
        self._stages = StageTotals()
        self._interrupts = 0
        self._fatal: StreamerError | None = None
        self._loaded_s: float | None = None
        self._first_record_s: float | None = None
        self._started_s = self._clock.monotonic_s()
        self._streams = {source.stream: self._view(source) for source in sources}
        self._crew = Crew(
            config,
            self._children,
            self._clock,
            self,
            n_children=max(1, min(config.worker.children or n_cores(), len(self._streams))),
            live_run=self._live_run,
            run=run,
            cache=cache,
            log_level=log_level,
        )
        self._unclaimed: list[Order] = []
        self._next_claim_s = self._started_s

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
        while (self._crew.unfinished or self._unclaimed) and self._fatal is None and not self._interrupts:
            self._claim_due()
            self._crew.place_due()
            now_s = self._clock.monotonic_s()
            if now_s >= next_show_s:
                self._show([stream.progress for stream in self._streams.values()])
                self._crew.end_the_hung()
                self._book.write(self._stages.seconds)
                next_show_s = now_s + SHOW_INTERVAL_S
            if now_s >= next_maintenance_s:
                self._bus.maintain()
                next_maintenance_s = now_s + MAINTENANCE_INTERVAL_S
            self._crew.take_event(next_show_s - now_s)
        if self._interrupts:
            self._drain()
        self._show([stream.progress for stream in self._streams.values()])

    def _order_all(self) -> None:
        """Order every source, in the order given; whoever writes a live stream claims it first. Raises `BusError`."""
        orders = [Order(name, stream.source) for name, stream in self._streams.items()]
        places = iter(self._claim([order for order in orders if order.source.mode == "live"]))
        for order in orders:
            if order.source.mode == "live":
                place = next(places)
                order = claimed(order, place.offset, place.time_s)
            self._crew.add(order)

    def _claim(self, orders: Sequence[Order]) -> list[Placed]:
        if not orders:
            return []
        return claim(self._bus, [order.source.stream for order in orders], self._live_run, self._config.topics)

    def _claim_due(self) -> None:
        """Claim again the live streams whose child died."""
        if not self._unclaimed or self._clock.monotonic_s() < self._next_claim_s:
            return
        orders, self._unclaimed = self._unclaimed, []
        try:
            places = self._claim(orders)
        except BusUnavailable as error:
            log.warning("claim.delayed", streams=len(orders), reason=str(error))
            self._unclaimed = orders
            self._next_claim_s = self._clock.monotonic_s() + CLAIM_AGAIN_S
            return
        for order, place in zip(orders, places, strict=True):
            self._crew.add(claimed(order, place.offset, place.time_s))

    # -- what becomes of it -----------------------------------------------------------------------------------

    def placed(self, order: Order, restarts: int) -> None:
        self._streams[order.work].placed(restarts)

    def ready(self, message: Ready) -> None:
        self._book.precision = message.precision
        if self._loaded_s is None:
            self._loaded_s = self._clock.monotonic_s() - self._started_s

    def opened(self, order: Order, message: Opened) -> None:
        stream = self._streams[order.work]
        stream.opened(message)
        if message.resumed_at_s is not None:
            log.info("stream.resumed", stream=order.work, media_time_s=message.resumed_at_s)
        self._book.note(stream.run, stream.result)

    def ticked(self, child: int, message: Tick) -> None:
        now_s = self._clock.monotonic_s()
        self._stages.tell(child, message.stage_s)
        if message.published and self._first_record_s is None:
            self._first_record_s = now_s - self._started_s
        for tick in message.streams:
            self._streams[tick.work].ticked(tick, now_s)

    def source_gone(self, order: Order, message: SourceGone) -> None:
        """Nothing of a run is opened again: no order says so."""

    def ended(self, order: Order, message: Ended) -> None:
        stream = self._streams[order.work]
        stream.ended(message, self._clock.wall_s())
        if message.already_done:
            stream.as_recorded(self._book.note_done_before(stream.run, stream.result))
        else:
            self._note(stream)

    def child_died(self, child: int) -> None:
        self._stages.died(child)

    def resumed(self, order: Order) -> None:
        self._streams[order.work].lost_its_child()
        if order.source.mode == "live":
            self._unclaimed.append(order)

    def given_up(self, order: Order, deaths: int) -> None:
        stream = self._streams[order.work]
        message = (
            f"given up: its worker process died {deaths} times on it; look into the file, or report it with the "
            "output of --log-level info"
        )
        stream.given_up("failed", "child_died", message, self._clock.wall_s())
        self._note(stream)

    def fatal(self, error: StreamerError, orders: list[Order]) -> None:
        self._fatal = self._fatal or error
        self._crew.ending = True

    def happened(self, event: Event) -> None:
        """Somebody wanted the loop to look around; nothing else is posted here."""

    def _note(self, stream: StreamView) -> None:
        if stream.run:  # a file that could not be opened has no name for its run
            self._book.note(stream.run, stream.result)

    # -- the end ----------------------------------------------------------------------------------------------

    def _drain(self) -> None:
        """Let the children commit what was done, within one shared deadline."""
        asked = self._interrupts
        self._crew.ending = True
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
