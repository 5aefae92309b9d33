"""The live streams of one run: begun, opened again whenever their sources are gone, changed while they run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from streamer import log
from streamer.bus.protocol import Placed
from streamer.clock import Clock
from streamer.config import Config
from streamer.errors import BusUnavailable, UsageError
from streamer.fleet.admission import host_of, networks_allowed
from streamer.fleet.starts import PERMANENT, StartGate
from streamer.fleet.streams import WantedStream, needs_reopening
from streamer.fleet.submission import address_of
from streamer.messages import StreamDefinition
from streamer.metrics.declared import Phase
from streamer.source import ENDLESS_KINDS, Source
from streamer.worker.crew import Crew
from streamer.worker.link import Change, Ended, Opened, Release, SourceGone, StreamTick
from streamer.worker.openings import Openings, order_of, tuning_of
from streamer.worker.orders import Order, claimed
from streamer.worker.sentences import Sentences

CLAIM_AGAIN_S = 1.0
PATIENCE_S = 30.0
"""So long after the start nothing is taken for permanent: a server may be starting too."""


@dataclass(slots=True)
class RunStream:
    """A live stream of the run. `returns`: its source is opened again whenever it is gone. `guarded`: it was asked for
    while the run went on (see `streamer.source.Address`).

    `idle`: no child has it; `leaving`: the child was asked to let go; `over`: it has ended for good. `seen`: its source
    has given frames. `failure` is the cause and the sentence of what is wrong with it now.
    """

    wanted: WantedStream
    returns: bool
    guarded: bool = False
    phase: Literal["idle", "running", "leaving", "over"] = "idle"
    seen: bool = False
    failure: tuple[str, str] | None = None

    @property
    def paused(self) -> bool:
        """Whether it is not to be read for now."""
        return self.wanted.definition.paused


@dataclass(slots=True)
class RunStreams:
    """Owned by the supervisor's loop. `claim` claims streams on the bus. Raises `BusError`."""

    config: Config
    crew: Crew
    clock: Clock
    claim: Callable[[Sequence[Order]], list[Placed]]
    sentences: Sentences
    gate: StartGate
    streams: dict[str, RunStream] = field(default_factory=dict)
    _openings: Openings = field(init=False)
    _claimed_once: bool = False
    _started_s: float = field(init=False)

    def __post_init__(self) -> None:
        self._openings = Openings(self.crew, self.gate, self.clock)
        self._started_s = self.clock.monotonic_s()

    # -- what is wanted -------------------------------------------------------------------------------------------

    def want(self, wanted: WantedStream, *, returns: bool, guarded: bool = False) -> None:
        """Have it watched; one of that name is changed, without opening it again where that is possible."""
        stream = wanted.stream
        before = self.streams.get(stream)
        if before is None or before.phase == "over":
            self.streams[stream] = RunStream(wanted, returns, guarded)
            self._admit(stream)
            return
        old, before.wanted = before.wanted.definition, wanted
        before.returns, before.guarded = returns, guarded
        if wanted.definition.paused:
            self.gate.forget(stream)
            self._let_go(stream, "hand_over")
        elif needs_reopening(old, wanted.definition):
            before.failure = None
            self._let_go(stream, "close")
            self._admit(stream)
        elif before.phase != "running":
            self._admit(stream)
        elif tuning_of(old) != tuning_of(wanted.definition):
            self.crew.tell(stream, Change(work=stream, tuning=tuning_of(wanted.definition)))

    def remove(self, stream: str) -> bool:
        """Have it watched no more: its tracks end. True when no child had it."""
        self.gate.forget(stream)
        self.sentences.forget(stream)
        del self.streams[stream]
        return not self.crew.release(stream, Release(work=stream, how="close"))

    def phase(self, stream: str) -> Phase:
        """What is done with a stream, as metrics have it."""
        one = self.streams.get(stream)
        if one is None:
            return "leaving"
        if one.phase == "idle":
            return "paused" if one.paused else "waiting"
        return one.phase

    @property
    def unfinished(self) -> bool:
        """Whether any of them has not ended for good."""
        return any(one.phase != "over" for one in self.streams.values())

    def hopeless(self) -> list[tuple[str, str, str]]:
        """Every stream that is not over with its cause and sentence, when all of them are wrong for good and none ever
        gave a frame; empty otherwise. Not before there was time to see whether that passes."""
        if self.clock.monotonic_s() < self._started_s + PATIENCE_S:
            return []
        found = []
        for stream, one in self.streams.items():
            if one.phase == "over":
                continue
            if one.seen or one.failure is None or one.failure[0] not in PERMANENT:
                return []
            found.append((stream, *one.failure))
        return found

    # -- what is to be done ---------------------------------------------------------------------------------------

    def due(self) -> list[Order]:
        """The streams to be given to children now, claimed. Raises `BusError` for the first claims of the run."""
        begun = self._openings.due(lambda stream: self.streams[stream].phase == "running")
        if not begun:
            return []
        orders = [self._order(stream) for stream in begun]
        try:
            places = self.claim(orders)
        except BusUnavailable as error:
            if not self._claimed_once:
                raise
            log.warning("claim.delayed", streams=begun, reason=str(error))
            for stream in begun:
                self.gate.interrupted(stream, self.clock.monotonic_s() + CLAIM_AGAIN_S)
            return []
        self._claimed_once = True
        for stream in begun:
            self.streams[stream].phase = "running"
        return [claimed(order, place.offset, place.time_s) for order, place in zip(orders, places, strict=True)]

    def _order(self, stream: str) -> Order:
        one = self.streams[stream]
        guarded = one.guarded and networks_allowed(self.config) is not None
        return order_of(one.wanted, self.config.models, reopen=one.returns, guarded=guarded)

    def _admit(self, stream: str) -> None:
        one = self.streams[stream]
        if not one.paused:
            self.gate.want(stream, host_of(one.wanted.source), self.clock.monotonic_s())

    def _let_go(self, stream: str, how: Literal["hand_over", "close"]) -> None:
        one = self.streams[stream]
        if one.phase == "running":
            one.phase = "leaving" if self.crew.release(stream, Release(work=stream, how=how)) else "idle"

    # -- what becomes of the orders -------------------------------------------------------------------------------

    def opened(self, order: Order, message: Opened) -> None:
        """Its source is open."""
        one = self.streams.get(order.work)
        if one is None:
            return
        self.gate.opened(order.work, self.clock.monotonic_s())
        tuning = tuning_of(one.wanted.definition)
        if tuning != order.tuning:  # changed since it was ordered
            self.crew.tell(order.work, Change(work=order.work, tuning=tuning))

    def ticked(self, tick: StreamTick) -> None:
        """How far it is: what gives frames is well again."""
        one = self.streams.get(tick.work)
        if one is not None and one.phase == "running" and tick.state == "live":
            one.seen, one.failure = True, None
            self.sentences.back(tick.work)

    def source_gone(self, order: Order, message: SourceGone) -> None:
        """Its source went away, or is not there yet: it is tried again, for ever."""
        one = self.streams.get(order.work)
        if one is None or one.phase != "running":
            return
        one.seen = one.seen or message.opened
        self._openings.source_gone(order, self._passing(message))
        self._failed(order.work, message.cause, message.message)

    def ended(self, order: Order, message: Ended) -> bool:
        """It is over, or was let go of; False where it is tried again."""
        stream, result = order.work, message.result
        self._openings.left(stream)
        one = self.streams.get(stream)
        if one is None:
            return True
        if one.phase != "running":
            one.phase = "idle"
            return True
        if result.state == "failed" and one.returns:
            self.failed(order, result.cause or "failed", result.message or "it failed")
            return False
        one.phase = "over"
        self.gate.forget(stream)
        return True

    def resumed(self, order: Order) -> None:
        """Its child died: it is claimed again and goes to another."""
        self._openings.left(order.work)
        one = self.streams.get(order.work)
        if one is not None:
            one.phase = "idle"
            self.gate.interrupted(order.work, self.clock.monotonic_s())

    def failed(self, order: Order, cause: str, message: str) -> bool:
        """No child has it any more, through a fault of its own. True when it is tried again later."""
        self._openings.left(order.work)
        one = self.streams.get(order.work)
        if one is None:
            return False
        one.phase = "idle" if one.returns else "over"
        if one.returns:
            self.gate.failed(order.work, cause, self.clock.monotonic_s())
            self._failed(order.work, cause, message)
        else:
            self.gate.forget(order.work)
        return one.returns

    def _passing(self, message: SourceGone) -> SourceGone:
        """In the first moments of a run everything may pass."""
        early = self.clock.monotonic_s() < self._started_s + PATIENCE_S
        if not early or message.cause not in PERMANENT:
            return message
        return SourceGone(work=message.work, cause="unreachable", message=message.message, opened=message.opened)

    def _failed(self, stream: str, cause: str, message: str) -> None:
        self.streams[stream].failure = (cause, message)
        self.sentences.gone(stream, cause, message)


def wanted_of(source: Source, partition_of: Callable[[str], int]) -> WantedStream:
    """A source of the command line, as an operator would define it."""
    try:
        address = address_of(source)
    except UsageError:  # a file whose name is no UTF-8: it is never written, only shown
        address = source.name
    return WantedStream(StreamDefinition(stream=source.stream, source=address), source, partition_of(source.stream))


def goes_on(source: Source) -> bool:
    """Whether a source of the command line is opened again whenever it ends."""
    return source.mode == "live" and source.kind in ENDLESS_KINDS
