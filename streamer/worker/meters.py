"""What children tell of streams, as metrics that only ever rise: children die, and what they counted goes back to a
checkpoint. What they tell of themselves: `child_meters`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from streamer.clock import Clock
from streamer.counting import Counted
from streamer.messages import SourceResult, SourceState
from streamer.metrics import Metrics
from streamer.worker.link import Opened, StreamTick, Tick
from streamer.worker.orders import Order

JOBS = "(jobs)"
"""All archive jobs together: each with a name of its own would be series without end."""


@dataclass(slots=True)
class _Life:
    """A stream in one child. `begun`: it is known where its counters began, those of an earlier child being no news."""

    stream: str
    begun: bool = False
    told: dict[tuple[str, str], int] = field(default_factory=dict)
    entries: dict[str, int] = field(default_factory=dict)
    latency: Counted = field(default_factory=Counted)


class Meters:
    """Fills `metrics`. Owned by the supervisor's loop."""

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self.metrics = metrics
        self._of = metrics.streams
        self._clock = clock
        self._lives: dict[str, _Life] = {}
        self._known: set[str] = {JOBS}

    def placed(self, order: Order, restarts: int) -> None:
        """A child was asked to take it up."""
        stream = order.source.stream if order.job is None else JOBS
        self._lives[order.work] = _Life(stream)
        self._known.add(stream)
        self._of.begin(stream)
        if restarts:
            self._of.restarts.labels(stream).inc()
        if order.job is None:
            self._of.enter(stream, "connecting")

    def opened(self, order: Order, message: Opened) -> None:
        """Its source is open. What was not taken up from an earlier child was counted from 0."""
        life = self._lives.get(order.work)
        if life is not None:
            life.begun = life.begun or message.resumed_at_s is None
            if order.source.mode == "archive":
                self.entered(order.work, "live")

    def entered(self, work: str, state: SourceState) -> None:
        """The source came to a state, or is not read at all."""
        life = self._lives.get(work)
        stream = work if life is None else life.stream
        if stream != JOBS:
            self._known.add(stream)
            self._of.enter(stream, state)

    def ticked(self, message: Tick) -> None:
        """How far the streams of a child are."""
        for tick in message.streams:
            life = self._lives.get(tick.work)
            if life is not None:
                self._stream(life, tick)

    def ended(self, order: Order, result: SourceResult, state: SourceState | None = None) -> None:
        """No child has it any more: what it counted to the end. Its source has ended or failed, or is in `state`."""
        life = self._lives.get(order.work)
        if life is None:
            return
        self._count(life, _counters(result))
        self.entered(order.work, state or ("failed" if result.state == "failed" else "ended"))
        self._lives.pop(order.work)
        if life.stream != JOBS:
            for gauge in (self._of.frame_age_s, self._of.reorder_delay_s, self._of.faces_visible):
                gauge.remove_by_labels({"stream": life.stream})

    def forget(self, stream: str) -> None:
        """Nobody wants it any more."""
        self._known.discard(stream)
        self.metrics.forget(stream)

    def keep(self, streams: Collection[str]) -> None:
        """Forget every stream but these: they are wanted no more, or are another worker's."""
        for stream in self._known.difference(streams, [JOBS], [life.stream for life in self._lives.values()]):
            self.forget(stream)

    def _stream(self, life: _Life, tick: StreamTick) -> None:
        self._count(life, _counters(tick))
        if life.stream == JOBS:
            return
        self._of.enter(life.stream, tick.state)
        for state, n in tick.entries.items():
            more = max(0, n - life.entries.get(state, 0))
            self._of.transitions.labels(life.stream, state).inc(more)
            if state == "live":
                self._of.reconnects.labels(life.stream).inc(more if life.entries.get(state) else max(0, more - 1))
        life.entries = dict(tick.entries)
        if tick.latency.counts:
            self._of.latency.add(tick.latency.since(life.latency), life.stream)
        life.latency = tick.latency
        self._of.faces_visible.labels(life.stream).set(tick.faces_now)
        if tick.frame_age_s is not None:
            arrived_s = self._clock.monotonic_s() - tick.frame_age_s
            self._of.frame_age_s.labels(life.stream).set_function(lambda: self._clock.monotonic_s() - arrived_s)
        if tick.reorder_delay_s is not None:
            self._of.reorder_delay_s.labels(life.stream).set(tick.reorder_delay_s)

    def _count(self, life: _Life, now: Mapping[tuple[str, str], int]) -> None:
        """Add what came since it was last told of. Where a child goes on from, it may have counted less."""
        for key, n in now.items():
            more = max(0, n - life.told.get(key, 0)) if life.begun else 0
            name, cause = key
            if name == "dropped":
                self._of.drop(life.stream, cause, more)
            else:
                getattr(self._of, name).labels(life.stream).inc(more)
        life.told, life.begun = dict(now), True


def _counters(of: StreamTick | SourceResult) -> dict[tuple[str, str], int]:
    """By the metric's name and the cause, which only drops have."""
    names = ("decoded", "analysed", "faces", "records", "corrupt_packets")
    return {(name, ""): int(getattr(of, name)) for name in names} | {
        ("dropped", cause): n for cause, n in of.dropped.items()
    }
