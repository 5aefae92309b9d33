"""A worker's live streams: which of the wanted ones run here, from their definition to the child that reads them.

    wanted (control topic) -> carried or waiting (capacity) -> let go (start gate) -> claimed -> ordered (a child)

All of it happens in the supervisor's loop; nothing here waits for the bus.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from streamer import log
from streamer.bus.protocol import Load, Placed
from streamer.bus.topics import partition_of
from streamer.clock import Clock
from streamer.config import Config
from streamer.errors import StreamerError
from streamer.fleet.admission import admission_of, host_of, networks_allowed
from streamer.fleet.capacity import Capacity
from streamer.fleet.starts import StartGate
from streamer.fleet.streams import StreamTable, WantedStream, needs_reopening
from streamer.wishes import records
from streamer.wishes.records import Rejected
from streamer.worker.crew import Crew
from streamer.worker.departures import Departures
from streamer.worker.desk import Desk
from streamer.worker.forgetting import Forgetting
from streamer.worker.link import Change, Ended, Opened, Release, SourceGone, StreamTick
from streamer.worker.membership import Lost, Records, Revoked
from streamer.worker.notices import Notices
from streamer.worker.openings import Openings, order_of, tuning_of
from streamer.worker.orders import Order, claimed
from streamer.worker.refusals import Refusals
from streamer.worker.wards import Ward

FORGIVEN_AFTER_S = 600.0
"""A stream that ran for so long is not what its processes died of before."""


@dataclass(slots=True)
class StreamDuty:
    """The live streams of one worker. Its methods are called by the supervisor's loop only."""

    config: Config
    crew: Crew
    desk: Desk
    clock: Clock
    notices: Notices
    worker: str
    capacity: Capacity
    gate: StartGate
    table: StreamTable = field(init=False)
    _wards: dict[str, Ward] = field(default_factory=dict)
    _ready: set[int] = field(default_factory=set)
    _departures: Departures = field(default_factory=Departures)
    _refusals: Refusals = field(init=False)
    _forgetting: Forgetting = field(init=False)
    _openings: Openings = field(init=False)
    stopping: bool = False

    def __post_init__(self) -> None:
        self.table = StreamTable(admission_of(self.config), self.config.topics.partitions)
        self._refusals = Refusals(self.config, self.desk, self.notices)
        self._forgetting = Forgetting(self.config, self.desk)
        self._openings = Openings(self.crew, self.gate, self.clock)

    # -- what the group tells -------------------------------------------------------------------------------------

    def take(self, event: Records) -> None:
        """Records of the control topic. A partition counts once all that lay in it has been read: before that, what
        is taken back further on would be begun for nothing."""
        for record in event.records:
            self._refusals.take(record)
            for change in self.table.take(record):
                if isinstance(change, Rejected):
                    stream = change.record.key.decode("utf-8", "surrogateescape")
                    self._refusals.add(change, followed=self.table.get(stream) is not None)
        self._ready |= event.caught_up
        for wanted in self.table.all():
            if wanted.partition in self._ready:
                self._want(wanted)
        for stream, ward in list(self._wards.items()):
            if self.table.get(stream) is None and ward.wanted.partition in self._ready:
                self._remove(stream, ward)

    def revoked(self, event: Revoked) -> None:
        """These partitions go to another worker: hand their streams over."""
        self._leave(event.partitions, event.done, "hand_over")

    def lost(self, event: Lost) -> None:
        """These partitions may be another worker's already."""
        self._leave(event.partitions, event.done, "discard")

    def hand_over_all(self) -> None:
        """The worker leaves: everything is to be taken up by others."""
        self.stopping = True
        everything = frozenset(range(self.config.topics.partitions))
        self._leave(everything, threading.Event(), "hand_over")

    @property
    def busy(self) -> bool:
        """Whether a child still has a stream that is to be let go of."""
        return self._departures.busy

    def phases(self) -> Counter[str]:
        """How many streams there are, by what is done with them."""
        return Counter(ward.shown_phase for ward in self._wards.values())

    def load(self, name: str) -> Load:
        """What we carry, by partition, and could carry. Partitions without streams are told of too: those of which
        nothing is known count as one of the others."""
        weights: dict[int, tuple[int, float]] = dict.fromkeys(self._ready, (0, 0.0))
        for ward in self._wards.values():
            if not ward.over and not ward.wanted.definition.paused:
                units, rate = weights.get(ward.wanted.partition, (0, 0.0))
                weights[ward.wanted.partition] = (units + 1, rate + ward.demand.rate_fps)
        partitions = tuple((at, units, round(rate, 1)) for at, (units, rate) in sorted(weights.items()))
        return Load(name, self.capacity.max_streams, self.capacity.max_fps, partitions)

    # -- what is to be done ---------------------------------------------------------------------------------------

    def step(self) -> None:
        """Let begin what may, have end what must, and say of the rest why it waits."""
        if self.stopping:
            return
        now_s = self.clock.monotonic_s()
        able = [ward for ward in self._wards.values() if not ward.over and not ward.wanted.definition.paused]
        running = [ward.wanted.stream for ward in able if ward.phase in ("claiming", "running")]
        share = self.capacity.share([ward.demand for ward in able], running)
        known = self.gate.wanted()
        for stream, ward in self._wards.items():
            if ward.over:
                continue
            if ward.wanted.definition.paused:
                self._hold(stream, ward, "paused", None)
            elif (reason := share.waiting.get(stream)) is not None:
                self._hold(stream, ward, "waiting", reason)
            elif stream not in known:
                self.gate.want(stream, host_of(ward.wanted.source), now_s)
        self._begin(self._openings.due(lambda stream: self._wards[stream].phase == "running"))
        self._forgetting.step(self._may_be_forgotten)
        self.notices.send_due()

    def _begin(self, streams: list[str]) -> None:
        """The gate lets these begin."""
        starting = [ward for ward in map(self._wards.__getitem__, streams) if ward.phase == "idle"]
        if starting:
            self._claim(starting)

    def _hold(self, stream: str, ward: Ward, state: Literal["paused", "waiting"], reason: str | None) -> None:
        """It is not to run here now: have it let go of, and say why."""
        self.gate.forget(stream)
        if ward.phase == "running":
            self._let_go(ward, "hand_over")
        elif ward.phase == "idle":
            self.notices.say(stream, state, reason, cause="capacity" if state == "waiting" else None)

    def _let_go(self, ward: Ward, how: Literal["hand_over", "close"]) -> None:
        stream = ward.wanted.stream
        ward.phase = "leaving" if self.crew.release(stream, Release(work=stream, how=how)) else "idle"

    def _claim(self, wards: list[Ward]) -> None:
        for ward in wards:
            ward.phase = "claiming"
            self.notices.forget(ward.wanted.stream)
        claims = [records.claim(ward.wanted.stream, self.worker, self.config.topics) for ward in wards]
        self.desk.append(
            claims, lambda places: self._claimed(wards, places), lambda error: self._unclaimed(wards, error)
        )

    def _unclaimed(self, wards: list[Ward], error: StreamerError) -> None:
        """The bus refused the claims: they are tried again."""
        log.error("claim.refused", streams=[ward.wanted.stream for ward in wards], reason=str(error))
        for ward in wards:
            if self._wards.get(ward.wanted.stream) is ward and ward.phase == "claiming":
                ward.phase = "idle"
                self.gate.failed(ward.wanted.stream, error.cause, self.clock.monotonic_s())

    def _claimed(self, wards: list[Ward], places: list[Placed]) -> None:
        for ward, place in zip(wards, places, strict=True):
            wanted = ward.wanted
            if self._wards.get(wanted.stream) is not ward or ward.phase != "claiming":
                continue  # taken from us, or taken back, meanwhile
            ward.begins(self.clock.monotonic_s())
            order = order_of(wanted, self.config.models, guarded=networks_allowed(self.config) is not None)
            self.crew.add(claimed(order, place.offset, place.time_s))

    def _want(self, wanted: WantedStream) -> None:
        stream = wanted.stream
        ward = self._wards.get(stream)
        if ward is None:
            self._wards[stream] = Ward(wanted)
            return
        before, ward.wanted = ward.wanted, wanted
        if before.definition == wanted.definition:
            return
        if ward.over:
            ward.over = False
            self.gate.forget(stream)
        if needs_reopening(before.definition, wanted.definition):
            self.gate.forget(stream)
            if ward.phase == "running":
                self._let_go(ward, "close")
            elif ward.phase == "claiming":
                self._wards[stream] = Ward(wanted)
        elif tuning_of(before.definition) != tuning_of(wanted.definition) and ward.phase == "running":
            self.crew.tell(stream, Change(work=stream, tuning=tuning_of(wanted.definition)))

    def _remove(self, stream: str, ward: Ward) -> None:
        """Nobody wants it any more: its tracks end, and what was kept of it is forgotten."""
        del self._wards[stream]
        self.notices.forget(stream)
        self.gate.forget(stream)
        if not self.crew.release(stream, Release(work=stream, how="close")):
            self._forgetting.add(stream)
        log.info("stream.removed", stream=stream)

    def _may_be_forgotten(self, stream: str) -> bool:
        partition = partition_of(stream, self.config.topics.partitions)
        return partition in self._ready and self.table.get(stream) is None

    def _leave(self, partitions: frozenset[int], done: threading.Event, how: Literal["hand_over", "discard"]) -> None:
        self.table.drop(partitions)
        self._ready -= partitions
        self._refusals.drop(partitions)
        for stream, ward in list(self._wards.items()):
            if ward.wanted.partition in partitions:
                del self._wards[stream]
                self.notices.forget(stream)
                self.gate.forget(stream)
        # Of what was leaving already too: it is waited for, and where it is late nothing more of it is published.
        n = self.config.topics.partitions
        streams = [stream for stream, order in self.crew.orders.items() if order.job is None]
        leaving = [
            stream
            for stream in streams
            if partition_of(stream, n) in partitions and self.crew.release(stream, Release(work=stream, how=how))
        ]
        self._departures.begin(leaving, done)

    # -- what becomes of the orders -------------------------------------------------------------------------------

    def opened(self, order: Order, message: Opened) -> None:
        """Its source gives frames."""
        self.gate.opened(order.work, self.clock.monotonic_s())
        ward = self._wards.get(order.work)
        tuning = order.tuning if ward is None else tuning_of(ward.wanted.definition)
        if tuning != order.tuning:  # changed since it was ordered
            self.crew.tell(order.work, Change(work=order.work, tuning=tuning))

    def source_gone(self, order: Order, message: SourceGone) -> None:
        """Its source went away: the gate says when it is tried again."""
        if order.work in self._wards:
            self._openings.source_gone(order, message)

    def ended(self, order: Order, message: Ended) -> None:
        """It is over, or was let go of."""
        stream = order.work
        self.left(stream)
        ward = self._wards.get(stream)
        if ward is None:
            return
        if ward.phase == "running" and message.result.state == "done":
            ward.over = True
            self.gate.forget(stream)
        elif ward.phase == "running":
            self.gate.failed(stream, message.result.cause or "failed", self.clock.monotonic_s())
        ward.phase = "idle"

    def resumed(self, order: Order) -> None:
        """Its child died: it is claimed again and goes to another."""
        self.left(order.work)
        ward = self._wards.get(order.work)
        if ward is not None:
            ward.phase = "idle"
            self.gate.interrupted(order.work, self.clock.monotonic_s())

    def given_up(self, order: Order, deaths: int) -> None:
        """Its children died too often: it is tried again, rarely."""
        message = f"the process that read it died {deaths} times: it is tried again later"
        self.refused(order, message, "child_died")

    def refused(self, order: Order, message: str, cause: str) -> None:
        """It cannot be done now, with these models for instance: it is tried again, rarely."""
        self.left(order.work)
        ward = self._wards.get(order.work)
        if ward is not None:
            ward.phase = "idle"
            self.gate.failed(order.work, cause, self.clock.monotonic_s())
            self.notices.say(order.work, "failed", message, cause=cause)

    def ticked(self, tick: StreamTick) -> None:
        """How far it is: its rate is measured by what was decoded."""
        ward = self._wards.get(tick.work)
        if ward is None:
            return
        now_s = self.clock.monotonic_s()
        if ward.since_s is not None and now_s >= ward.since_s + FORGIVEN_AFTER_S:
            ward.since_s = None
            self.crew.forgive(tick.work)
        ward.ticked(tick, now_s)

    def left(self, stream: str) -> None:
        """No child has it any more."""
        self._departures.left(stream)
        self._openings.left(stream)
        if not self.stopping and self._may_be_forgotten(stream):
            self._forgetting.add(stream)
