"""A member of the fleet: takes its share of the wanted streams and of the jobs, for as long as it is let.

One loop decides everything. What waits for the bus does so elsewhere: the groups on threads of their own
(`membership`), claims and statuses at the desk (`desk`), results in the children. It loads neither PyAV nor OpenCV nor
an engine.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from pathlib import Path

from streamer import log
from streamer.bus.protocol import Bus, Load
from streamer.bus.topics import topics
from streamer.clock import Clock, SystemClock
from streamer.config import Config
from streamer.control.words import Readiness
from streamer.errors import BusFull, ModelError, StreamerError
from streamer.fleet.capacity import Capacity
from streamer.fleet.starts import StartGate
from streamer.machine import n_cores
from streamer.worker.asking import Asked, Asking
from streamer.worker.books import Books
from streamer.worker.children import Children, Event
from streamer.worker.crew import Crew
from streamer.worker.desk import Desk, Done
from streamer.worker.fleet_control import FleetControl
from streamer.worker.fleet_meters import FleetMeters
from streamer.worker.follower import Follower
from streamer.worker.instruments import Instruments
from streamer.worker.job_duty import JobDuty
from streamer.worker.link import Ended, Opened, Ready, SourceGone, Stop, Tick
from streamer.worker.membership import Assigned, Joined, Lost, Membership, Records, Revoked
from streamer.worker.notices import Notices
from streamer.worker.orders import Order
from streamer.worker.readiness import readiness
from streamer.worker.signals import signals_to
from streamer.worker.spools import Spools
from streamer.worker.stream_duty import StreamDuty
from streamer.worker.streams import StageTotals, StreamView

STEP_INTERVAL_S = 0.1
LOOK_INTERVAL_S = 5.0
METERS_INTERVAL_S = 1.0
JOBS_ANNOUNCED_S = 30.0
"""Jobs come and go all the time, and each sharing-out makes every child wait for a newer membership."""
MODEL_FAILURES_ALLOWED = 5
"""So many children in a row whose models failed, and none that was ready in between: others do better."""
KILLED_WITHIN_S = 10.0


class FleetWorker:
    """Runs until `interrupt` (also SIGINT and SIGTERM), then hands everything over; a second call ends at once.

    `control` may be asked by any thread while it runs."""

    def __init__(
        self,
        config: Config,
        bus: Bus,
        name: str,
        spools: Spools,
        *,
        cache: Path | None = None,
        clock: Clock | None = None,
        log_level: log.Level = "warning",
        log_format: log.Format = "console",
        children: Children | None = None,
    ) -> None:
        """The models must be in the cache already; `bus` has the topics, or will have them when it answers."""
        self._config = config
        self._bus = bus
        self._name = name
        self._clock = clock or SystemClock()
        self._children = Children() if children is None else children
        self._spools = spools
        n_children = config.worker.children or n_cores()
        self._live_run = f"{name}-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{secrets.token_hex(3)}"
        self._stages = StageTotals()
        self._views: dict[str, StreamView] = {}
        self._interrupts = self._model_failures = 0
        self._fatal: StreamerError | None = None
        self._desk = Desk(bus, f"affect-streamer-{self._live_run}", self._children.post)
        self._books = Books(config, self._desk, self._clock, self._live_run)
        self._instruments = Instruments.of("worker", self._children, self._clock)
        self._meters = self._instruments.streams
        self._fleet_meters = FleetMeters(self._instruments.metrics, config.fleet.roles)
        self._joined = False
        self._crew = Crew(
            config,
            self._children,
            self._clock,
            self,
            n_children=n_children,
            live_run=self._live_run,
            cache=cache,
            log_level=log_level,
            log_format=log_format,
            spool_of=spools.path,
            meters=self._instruments.of_children,
        )
        fleet = config.fleet
        slots = n_children * config.worker.streams_per_child
        self._streams = StreamDuty(
            config,
            self._crew,
            self._desk,
            self._clock,
            Notices(config, self._desk, self._clock, self._live_run, name),
            name,
            Capacity(fleet.max_streams or slots, fleet.max_fps, fleet.host_streams),
            StartGate(fleet.host_starts, fleet.starts_per_s),
        )
        self.control = FleetControl(
            config,
            Asking(self._children.post),
            self._instruments.metrics,
            self._desk,
            self._streams.table,
            lambda stream: self._views.get(stream),
            lambda: len(self._children),
            self._readiness,
            self._live_run,
        )
        self._jobs = JobDuty(
            config,
            self._crew,
            self._desk,
            self._clock,
            name,
            fleet.job_slots or slots,
            self._commit_positions,
            self._children.tell_all,
            self._fleet_meters.job_ended,
        )
        self._memberships: dict[str, Membership] = {}
        self._announced: dict[str, Load] = {}
        self._next_announcement_s = 0.0
        self._follower: Follower | None = None

    def interrupt(self) -> None:
        """Hand everything over and leave. A second call ends the children at once."""
        self._interrupts += 1
        self._children.wake()

    def run(self) -> None:
        """Work until interrupted. Raises the `StreamerError` after which nothing could go on."""
        with signals_to(self.interrupt):
            try:
                self._join()
                self._loop()
                self._hand_over()
            except StreamerError as error:
                self._fatal = error
            finally:
                self._end()
        if self._fatal is not None:
            raise self._fatal

    # -- the loop -------------------------------------------------------------------------------------------------

    def _join(self) -> None:
        """Wait for the bus, however long; then become a member."""
        names = topics(self._config.topics)
        joined = False

        def then(_: object) -> None:
            nonlocal joined
            joined = True

        self._desk.do(lambda: self._bus.ensure_topics(names.all()), then, self._failed)
        while not joined and not self._interrupts and self._fatal is None:
            self._crew.take_event(LOOK_INTERVAL_S)
        if self._interrupts or self._fatal is not None:
            return
        for number in self._spools.left_behind() or [0]:  # one at least, to have its models warm when work comes
            self._crew.start_child(number)
        if "streams" in self._config.fleet.roles:
            self._become(names.streams.name, "streams", self._streams.load(self._name), whole=True)
        if "jobs" in self._config.fleet.roles:
            # Wishes to cancel must not fall between what is read on assignment and what is followed.
            self._follower = Follower(self._bus, names.jobs_status.name, self._children.post)
            while not self._follower.ready.is_set() and not self._interrupts:
                self._crew.take_event(STEP_INTERVAL_S)
            self._become(names.jobs.name, "jobs", self._jobs.load(self._name))
        self._joined = True
        log.info("worker.joined", worker=self._name, run=self._live_run)

    def _become(self, topic: str, role: str, load: Load, *, whole: bool = False) -> None:
        fleet = self._config.fleet
        self._announced[topic] = load
        self._memberships[topic] = Membership(
            self._bus,
            topic,
            f"{self._config.topics.prefix}.{role}",
            load,
            self._children.post,
            whole=whole,
            instance=self._name if fleet.static_membership else None,
            session_timeout_s=fleet.session_timeout_s,
            hand_over_s=fleet.hand_over_s,
        )

    def _loop(self) -> None:
        next_step_s = next_look_s = next_meters_s = self._clock.monotonic_s()
        while not self._interrupts and self._fatal is None:
            now_s = self._clock.monotonic_s()
            if now_s >= next_step_s:
                self._streams.step()
                self._jobs.step()
                self._crew.place_due()
                next_step_s = now_s + STEP_INTERVAL_S
            if now_s >= next_meters_s:
                self._look_at_metrics()
                next_meters_s = now_s + METERS_INTERVAL_S
            if now_s >= next_look_s:
                self._look_around()
                next_look_s = now_s + LOOK_INTERVAL_S
            self._crew.take_event(next_step_s - now_s)

    def _readiness(self) -> Readiness:
        return readiness(
            draining=bool(self._interrupts) or self._fatal is not None,
            n_ready=self._crew.n_ready,
            joining=not self._joined,
            without=self._fleet_meters.without,
            bus_away_s=self._desk.away_s,
        )

    def _look_at_metrics(self) -> None:
        self._fleet_meters.look(self._jobs.load(self._name), self._jobs.n_running)
        ready = self._readiness().ready
        self._instruments.look(self._crew, self._streams.phases(), ready=ready, bus_away_s=self._desk.away_s)

    def _look_around(self) -> None:
        """What is done now and then."""
        self._crew.end_the_hung()
        self._crew.dismiss_the_spare()
        self._meters.keep({wanted.stream for wanted in self._streams.table.all()})
        self._views = {work: view for work, view in self._views.items() if work in self._crew.orders}
        self._books.keep(self._stages)
        names = topics(self._config.topics)
        self._announce(names.streams.name, self._streams.load(self._name))
        now_s = self._clock.monotonic_s()
        if now_s >= self._next_announcement_s:
            self._next_announcement_s = now_s + JOBS_ANNOUNCED_S
            self._announce(names.jobs.name, self._jobs.load(self._name))

    def _announce(self, topic: str, load: Load) -> None:
        membership = self._memberships.get(topic)
        if membership is not None and load != self._announced[topic]:
            self._announced[topic] = load
            membership.announce(load)

    def happened(self, event: Event) -> None:
        """Another thread has something to tell."""
        names = topics(self._config.topics)
        match event:
            case Done():
                event.then()
            case Asked():
                event.answer()
            case Records(topic=topic) if topic == names.jobs_status.name:
                self._jobs.take_statuses(event)
            case Records(topic=topic):
                (self._streams if topic == names.streams.name else self._jobs).take(event)
            case Assigned():
                self._fleet_meters.moved(self._role_of(event.topic), "assigned", event.partitions)
                log.info("partitions.assigned", topic=event.topic, partitions=sorted(event.partitions))
                if event.topic == names.jobs.name:
                    self._jobs.assigned(event)
            case Revoked():
                self._fleet_meters.moved(self._role_of(event.topic), "revoked", event.partitions)
                log.info("partitions.revoked", topic=event.topic, partitions=sorted(event.partitions))
                (self._streams if event.topic == names.streams.name else self._jobs).revoked(event)
            case Lost():
                self._fleet_meters.moved(self._role_of(event.topic), "lost", event.partitions)
                log.warning("partitions.lost", topic=event.topic, partitions=sorted(event.partitions))
                (self._streams if event.topic == names.streams.name else self._jobs).lost(event)
            case Joined():
                if event.topic == names.jobs.name:
                    self._jobs.joined(event.token)
            case _:
                pass  # somebody wanted the loop to look around

    def _role_of(self, topic: str) -> str:
        return "streams" if topic == topics(self._config.topics).streams.name else "jobs"

    def _commit_positions(self, offsets: dict[int, int]) -> None:
        membership = self._memberships.get(topics(self._config.topics).jobs.name)
        if membership is not None:
            membership.commit(offsets)

    def _failed(self, error: StreamerError) -> None:
        self._fatal = self._fatal or error

    # -- what becomes of the orders -------------------------------------------------------------------------------

    def placed(self, order: Order, restarts: int) -> None:
        view = self._views.get(order.work)
        if view is None:
            view = StreamView(order.source, "", self._clock.wall_s())
            self._views[order.work] = view
        view.placed(restarts)
        self._meters.placed(order, restarts)

    def ready(self, message: Ready) -> None:
        self._books.precision(message.precision)
        self._model_failures = 0

    def opened(self, order: Order, message: Opened) -> None:
        view = self._views[order.work]
        view.opened(message)
        self._meters.opened(order, message)
        self._books.note(view)
        if order.job is None:
            self._streams.opened(order, message)

    def ticked(self, child: int, message: Tick) -> None:
        now_s = self._clock.monotonic_s()
        self._stages.tell(child, message.stage_s)
        self._meters.ticked(message)
        if message.bus_away_s or message.discarded:
            log.info("bus.behind", child=child, away_s=message.bus_away_s, waiting=message.waiting)
        for tick in message.streams:
            if tick.work in self._views:
                self._views[tick.work].ticked(tick, now_s)
                self._streams.ticked(tick)

    def source_gone(self, order: Order, message: SourceGone) -> None:
        log.info("source.gone", stream=order.work, cause=message.cause, reason=message.message)
        self._views[order.work].gone(message.cause, message.message)
        self._streams.source_gone(order, message)

    def ended(self, order: Order, message: Ended) -> None:
        wanted = self._streams.table.get(order.work)
        self._meters.ended(order, message.result, "paused" if wanted and wanted.definition.paused else None)
        view = self._views.pop(order.work, None)
        if view is not None:
            view.ended(message, self._clock.wall_s())
            self._books.note(view)
        if order.job is None:
            self._streams.ended(order, message)
        else:
            self._jobs.ended(order, message)

    def child_died(self, child: int) -> None:
        self._stages.died(child)
        if self._crew.ending:  # no other child takes up what it was to hand over
            for work in self._crew.works_of(child):
                self._crew.abandon(work)
                self._streams.left(work)
                self._jobs.left(work)

    def resumed(self, order: Order) -> None:
        (self._streams if order.job is None else self._jobs).resumed(order)

    def given_up(self, order: Order, deaths: int) -> None:
        self._views.pop(order.work, None)
        if order.job is None:
            self._streams.given_up(order, deaths)
        else:
            self._jobs.given_up(order, deaths)

    def fatal(self, error: StreamerError, orders: list[Order]) -> None:
        """A child cannot go on. A full disk is everybody's. Models that some ask for are their matter; without its own
        the worker does not begin, nor goes on for long. Anything else may pass: others take up what the child had."""
        own = self._config.models
        if isinstance(error, BusFull):
            self._failed(error)
            return
        asked = [order for order in orders if order.models not in (None, own)]
        if not isinstance(error, ModelError) or not asked:
            self._model_failures += isinstance(error, ModelError)
            if isinstance(error, ModelError) and (
                not self._crew.any_ready or self._model_failures >= MODEL_FAILURES_ALLOWED
            ):
                self._failed(error)
            log.error("child.failed", cause=error.cause, reason=str(error), works=[order.work for order in orders])
            return
        log.error("models.refused", reason=str(error), streams=[order.work for order in orders])
        for order in orders:
            self._crew.abandon(order.work)
            self._views.pop(order.work, None)
            if order.job is None:
                self._streams.refused(order, str(error), error.cause)
            else:
                self._jobs.refused(order, str(error), error.cause)

    # -- the end --------------------------------------------------------------------------------------------------

    def _hand_over(self) -> None:
        """Leave everything as the next owner is to find it, within one shared deadline; then leave the groups."""
        asked = self._interrupts
        deadline_s = self._clock.monotonic_s() + self._config.worker.drain_timeout_s
        self._look_at_metrics()
        self._streams.hand_over_all()
        self._jobs.hand_over_all()
        self._crew.ending = True
        while (self._streams.busy or self._jobs.busy) and self._interrupts == asked and self._fatal is None:
            left_s = deadline_s - self._clock.monotonic_s()
            if left_s <= 0:
                log.warning("drain.timeout", children=len(self._children))
                break
            self._crew.take_event(left_s)

    def _end(self) -> None:
        """No child, no membership and no thread is left when this returns."""
        self._crew.ending = True
        self._children.tell_all(Stop())
        self._wait(lambda: not len(self._children), self._config.worker.drain_timeout_s if not self._fatal else 1.0)
        self._children.kill_all()
        self._wait(lambda: not len(self._children), KILLED_WITHIN_S)
        for membership in self._memberships.values():
            membership.leave()
        if self._follower is not None:
            self._follower.close()
        self._wait(
            lambda: all(membership.left for membership in self._memberships.values()), self._config.fleet.hand_over_s
        )
        self._books.close(self._stages)
        self._desk.close(self._config.worker.drain_timeout_s)

    def _wait(self, over: Callable[[], bool], timeout_s: float) -> None:
        asked = self._interrupts
        deadline_s = self._clock.monotonic_s() + timeout_s
        while not over() and (left_s := deadline_s - self._clock.monotonic_s()) > 0 and self._interrupts == asked:
            try:
                self._crew.take_event(min(left_s, STEP_INTERVAL_S))
            except StreamerError as error:
                self._failed(error)
