"""What children tell, as metrics that only ever rise: children die, and what they counted goes back to a checkpoint."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from streamer.clock import Clock
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
    latency: tuple[int, ...] = ()
    latency_sum_s: float = 0.0


class Meters:
    """Fills `metrics`. Owned by the supervisor's loop."""

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self.metrics = metrics
        self._clock = clock
        self._lives: dict[str, _Life] = {}
        self._known: set[str] = {JOBS}

    def placed(self, order: Order, restarts: int) -> None:
        """A child was asked to take it up."""
        stream = order.source.stream if order.job is None else JOBS
        self._lives[order.work] = _Life(stream)
        self._known.add(stream)
        if restarts:
            self.metrics.restarts.labels(stream).inc()
        if order.job is None:
            self.metrics.enter(stream, "connecting")

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
            self.metrics.enter(stream, state)

    def ticked(self, child: int, message: Tick) -> None:
        """How far the streams of a child are."""
        self.metrics.hung.labels(str(child)).set(message.hung)
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
            self.metrics.frame_age_s.remove_by_labels({"stream": life.stream})
            self.metrics.reorder_delay_s.remove_by_labels({"stream": life.stream})

    def child_died(self, child: int) -> None:
        """Whatever was stuck in it is gone."""
        self.metrics.hung.remove_by_labels({"child": str(child)})

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
        self.metrics.enter(life.stream, tick.state)
        for state, n in tick.entries.items():
            more = max(0, n - life.entries.get(state, 0))
            self.metrics.transitions.labels(life.stream, state).inc(more)
            if state == "live":
                self.metrics.reconnects.labels(life.stream).inc(more if life.entries.get(state) else max(0, more - 1))
        life.entries = dict(tick.entries)
        self._latency(life, tick)
        if tick.frame_age_s is not None:
            arrived_s = self._clock.monotonic_s() - tick.frame_age_s
            self.metrics.frame_age_s.labels(life.stream).set_function(lambda: self._clock.monotonic_s() - arrived_s)
        if tick.reorder_delay_s is not None:
            self.metrics.reorder_delay_s.labels(life.stream).set(tick.reorder_delay_s)

    def _count(self, life: _Life, now: Mapping[tuple[str, str], int]) -> None:
        """Add what came since it was last told of. Where a child goes on from, it may have counted less."""
        metrics = self.metrics
        for key, n in now.items():
            more = max(0, n - life.told.get(key, 0)) if life.begun else 0
            name, cause = key
            if name == "dropped":
                metrics.dropped.labels(life.stream, cause).inc(more)
            else:
                getattr(metrics, name).labels(life.stream).inc(more)
        life.told, life.begun = dict(now), True

    def _latency(self, life: _Life, tick: StreamTick) -> None:
        before, before_s = life.latency, life.latency_sum_s
        if sum(tick.latency) < sum(before):  # counted from 0 again
            before, before_s = (), 0.0
        if tick.latency:
            old = before or (0,) * len(tick.latency)
            more = [max(0, now - then) for now, then in zip(tick.latency, old, strict=True)]
            self.metrics.latency.add(life.stream, more, max(0.0, tick.latency_sum_s - before_s))
        life.latency, life.latency_sum_s = tick.latency, tick.latency_sum_s


def _counters(of: StreamTick | SourceResult) -> dict[tuple[str, str], int]:
    """By the metric's name and the cause, which only drops have."""
    names = ("decoded", "analysed", "faces", "records", "corrupt_packets")
    return {(name, ""): int(getattr(of, name)) for name in names} | {
        ("dropped", cause): n for cause, n in of.dropped.items()
    }
