"""The child processes as one: gives them work, hears what becomes of it, replaces those that die.

What to do and what to make of the outcome is the business of the `Boss`: one invocation of `streamer run`, or a
member of the fleet.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from streamer import log
from streamer.bus.protocol import GroupToken
from streamer.clock import Clock
from streamer.config import Config, ModelSettings
from streamer.errors import BusError, ModelError, StreamerError, WorkerNotStarted
from streamer.fleet.placement import Assignment, Placement
from streamer.worker.child_meters import ChildMeters
from streamer.worker.children import Children, Died, Said
from streamer.worker.link import (
    Ended,
    Fatal,
    FromChild,
    Membership,
    Opened,
    Ready,
    Release,
    SourceGone,
    Spent,
    Start,
    Stop,
    Tick,
    ToChild,
)
from streamer.worker.orders import Boss, Order

START_FAILURES_ALLOWED = 3
HUNG_AFTER_S = 120.0
"""A child says something every second, also while the bus is slow; only compiling a model takes it longer."""
SPARE_FOR_S = 30.0
"""A child that is not of the usual ones leaves when it has had nothing to do for so long."""


@dataclass(slots=True)
class _Group:
    """Children with the same models."""

    models: ModelSettings
    placement: Placement
    numbers: dict[int, int] = field(default_factory=dict)


class Crew:
    """Owned by one thread. `spool_of` gives the file in which a child's live records wait for the bus."""

    def __init__(
        self,
        config: Config,
        children: Children,
        clock: Clock,
        boss: Boss,
        *,
        n_children: int,
        meters: ChildMeters,
        hands: int = 0,
        live_run: str,
        run: str | None = None,
        cache: Path | None = None,
        log_level: log.Level = "warning",
        log_format: log.Format = "console",
        spool_of: Callable[[int], Path | None] = lambda _: None,
    ) -> None:
        # Addresses stay here: they may hold passwords, and file names that are no UTF-8.
        self._config = msgspec.structs.replace(config, sources=())
        self._children = children
        self._clock = clock
        self._boss = boss
        self._n_children = n_children
        self._start = Start(
            child=0,
            config=self._config,
            run=run,
            live_run=live_run,
            hands=hands,
            cache=str(cache) if cache else None,
            log_level=log_level,
            log_format=log_format,
        )
        self._spool_of = spool_of
        self._meters = meters
        self._ready: set[int] = set()
        self._orders: dict[str, Order] = {}
        self._groups: dict[ModelSettings, _Group] = {}
        self._group_of: dict[int, _Group] = {}
        self._heard_s: dict[int, float] = {}
        self._spare_since_s: dict[int, float] = {}
        self._waiting: dict[int, int] = {}
        self._start_failures = 0
        self.any_ready = False
        """Whether any child has ever had its models open."""
        self._token: GroupToken | None = None
        self.ending = False
        """No child is replaced any more."""

    @property
    def orders(self) -> dict[str, Order]:
        """What was ordered and is not over, by its name."""
        return self._orders

    @property
    def n_ready(self) -> int:
        """How many children have their models open and warm now."""
        return len(self._ready)

    @property
    def unfinished(self) -> int:
        """Orders placed or waiting for a child."""
        return sum(group.placement.unfinished for group in self._groups.values())

    def add(self, order: Order) -> None:
        """Have it done: a live stream at once, an archive when a child has a free place."""
        self._orders[order.work] = order
        self._group(order).placement.add(order.work, live=order.source.mode == "live")

    def release(self, work: str, message: Release) -> bool:
        """Let go of it. False when no child has it: then it is over at once."""
        child = self.child_of(work)
        if child is None:
            self._orders.pop(work, None)
            for group in self._groups.values():  # it may be between two children: what is known of it goes too
                group.placement.ended(work)
            return False
        self._children.tell(child, message)
        return True

    def abandon(self, work: str) -> None:
        """Forget an order whose child is about to end, or that is not to get another one."""
        order = self._orders.pop(work, None)
        if order is not None:
            self._group(order).placement.ended(work)

    def forgive(self, work: str) -> None:
        """It has run well for long: it is not what its earlier children died of."""
        order = self._orders.get(work)
        if order is not None:
            self._group(order).placement.forgive(work)

    def tell(self, work: str, message: ToChild) -> None:
        """Say something to the child that has it, if any."""
        child = self.child_of(work)
        if child is not None:
            self._children.tell(child, message)

    def join(self, token: GroupToken) -> None:
        """Every child, also those to come, commits jobs as this member from now on."""
        self._token = token
        self._children.tell_all(Membership(token=token))

    def child_of(self, work: str) -> int | None:
        """The child that has it."""
        order = self._orders.get(work)
        if order is None:
            return None
        group = self._group(order)
        local = group.placement.child_of(work)
        return None if local is None else group.numbers.get(local)

    def works_of(self, child: int) -> list[str]:
        """What a child has."""
        return [work for work in self._orders if self.child_of(work) == child]

    def start_child(self, number: int) -> None:
        """Start a child before there is work for it, to have it deliver what an earlier one left in its spool."""
        group = self._group_for(self._config.models)
        group.numbers[number] = number
        self._begin(group, number)

    def place_due(self) -> None:
        """Hand out what waits, but to no child that has ended already: that would count as a death under it."""
        if self._children.unburied:
            return
        for group in self._groups.values():
            for assignment in group.placement.due():
                self._place(group, assignment)

    def take_event(self, timeout_s: float) -> bool:
        """Hear one thing that happened; False when nothing did in time."""
        event = self._children.next_event(max(0.0, timeout_s))
        if event is None:
            return False
        if isinstance(event, Said):
            self._heard_s[event.child] = self._clock.monotonic_s()
            self._hear(event.child, event.message)
        elif isinstance(event, Died):
            self._bury(event)
        else:
            self._boss.happened(event)
        return True

    def end_the_hung(self) -> None:
        """Kill children that have said nothing for too long."""
        now_s = self._clock.monotonic_s()
        for child in self._children:
            if now_s - self._heard_s.get(child, now_s) > HUNG_AFTER_S:
                log.error("child.hung", child=child, silent_s=round(now_s - self._heard_s[child]))
                self._children.kill(child)
                self._heard_s[child] = now_s

    def dismiss_the_spare(self) -> None:
        """End children that were started for other models, for a stream that had to be alone, or for an earlier one's
        spool, once they have had nothing to do for a while."""
        now_s = self._clock.monotonic_s()
        spare: dict[int, float] = {}
        for group in self._groups.values():
            usual = self._n_children if group.models == self._config.models else 0
            busy = group.placement.children
            for local, number in list(group.numbers.items()):
                if local < usual or local in busy or number not in self._children or self._waiting.get(number, 1):
                    continue
                spare[number] = self._spare_since_s.get(number, now_s)
                if now_s - spare[number] >= SPARE_FOR_S:
                    log.info("child.dismissed", child=number)
                    del group.numbers[local], spare[number]
                    self._children.tell(number, Stop())
        self._spare_since_s = spare

    def _place(self, group: _Group, assignment: Assignment) -> None:
        number = group.numbers.get(assignment.child)
        if number is None:
            number = assignment.child if assignment.child not in self._group_of else self._free_number()
            group.numbers[assignment.child] = number
        if number not in self._children and not self._begun(group, number):
            return
        order = self._orders[assignment.stream]
        self._boss.placed(order, assignment.restarts)
        self._children.tell(number, order.message(assignment.restarts))

    def _begun(self, group: _Group, number: int) -> bool:
        """Start it. Where the machine has no room for it just now, that counts as its death."""
        try:
            self._begin(group, number)
        except WorkerNotStarted as error:
            if not self.any_ready:
                raise
            log.error("child.not_started", reason=str(error))
            self._bury(Died(number, 1))
            return False
        return True

    def _begin(self, group: _Group, number: int) -> None:
        self._group_of[number] = group
        self._heard_s[number] = self._clock.monotonic_s()
        self._meters.began()
        spool = self._spool_of(number)
        config = msgspec.structs.replace(self._config, models=group.models)
        start = msgspec.structs.replace(
            self._start, child=number, config=config, spool=str(spool) if spool is not None else None
        )
        self._children.start(start)
        if self._token is not None:
            self._children.tell(number, Membership(token=self._token))

    def _free_number(self) -> int:
        number = self._n_children
        while number in self._group_of:
            number += 1
        return number

    def _group(self, order: Order) -> _Group:
        return self._group_for(order.models or self._config.models)

    def _group_for(self, models: ModelSettings) -> _Group:
        if models not in self._groups:
            settings = self._config.worker
            placement = Placement(self._n_children, settings.streams_per_child, settings.max_restarts)
            self._groups[models] = _Group(models, placement)
        return self._groups[models]

    def _hear(self, child: int, message: FromChild) -> None:
        match message:
            case Ready():
                self._start_failures, self.any_ready = 0, True
                self._ready.add(child)
                self._meters.ready(child, message)
                self._boss.ready(message)
            case Opened():
                if self.child_of(message.work) == child:
                    self._boss.opened(self._orders[message.work], message)
            case Tick():
                self._waiting[child] = message.waiting
                self._meters.ticked(child, message)
                self._boss.ticked(child, message)
            case SourceGone():
                if self.child_of(message.work) == child:
                    self._boss.source_gone(self._orders[message.work], message)
            case Ended():
                self._ended(child, message)
            case Fatal():
                self._boss.fatal(_error_of(message), [self._orders[work] for work in self.works_of(child)])
            case Spent():
                for work in self.works_of(child):  # it is not what the child dies of
                    self.forgive(work)
            case _:
                pass  # drained: its death follows and says all there is to say

    def _ended(self, child: int, message: Ended) -> None:
        if self.child_of(message.work) != child:
            return  # of a life that was given up
        order = self._orders.pop(message.work)
        self._group(order).placement.ended(message.work)
        self._boss.ended(order, message)

    def _bury(self, event: Died) -> None:
        self._ready.discard(event.child)
        self._meters.ended(event.child, event.exit_code)
        self._boss.child_died(event.child)
        group = self._group_of.pop(event.child, None)
        self._waiting.pop(event.child, None)
        if self.ending or group is None:
            return
        if not self.any_ready:
            self._start_failures += 1
            if self._start_failures >= START_FAILURES_ALLOWED:
                raise ModelError(
                    f"child processes end before they are ready (exit code {event.exit_code}): "
                    "run `streamer doctor` to see what is missing on this machine"
                )
        local = next((mine for mine, number in group.numbers.items() if number == event.child), None)
        if local is None:
            return
        del group.numbers[local]
        resumed, given_up = group.placement.died(local)
        if resumed or given_up or event.exit_code:
            log.warning("child.died", child=event.child, exit_code=event.exit_code, resumed=resumed, given_up=given_up)
        for work in resumed:
            order = self._orders[work]
            if order.source.mode == "archive":
                group.placement.add(work, live=False)
            else:  # claimed and ordered again by the boss
                del self._orders[work]
            self._boss.resumed(order)
        for work in given_up:
            group.placement.ended(work)
            self._boss.given_up(self._orders.pop(work), self._config.worker.max_restarts + 1)


def _error_of(message: Fatal) -> StreamerError:
    """The error a child ended with, as the class that has its cause."""
    kinds = [BusError, ModelError]
    for kind in kinds:
        if kind.cause == message.cause:
            return kind(message.message)
        kinds += kind.__subclasses__()
    return BusError(message.message)
