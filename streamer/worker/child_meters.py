"""What child processes tell of themselves and of their way to the bus, as metrics."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import Counter

from streamer.counting import Counted
from streamer.metrics import Metrics
from streamer.worker.children import Children
from streamer.worker.link import Ready, Tick

SUPERVISOR = "supervisor"


def processes_of(children: Children, meters: ChildMeters) -> dict[int, tuple[int, ...]]:
    """Every child's process and those that work for it. Any thread may ask."""
    helpers = meters.helpers()
    return {number: (pid, *helpers.get(number, ())) for number, pid in children.pids.items()}


class ChildMeters:
    """Fills `metrics`. Owned by the supervisor's loop; what a child counted since its last tick is lost with it."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._ticks: dict[int, Tick] = {}
        self._told: dict[int, dict[str, float]] = {}

    def began(self) -> None:
        """A process was started."""
        self._metrics.children.started.inc()

    def ready(self, child: int, message: Ready) -> None:
        """Its models are ready."""
        self._metrics.children.load_s.labels(str(child)).set(message.load_s)

    def ticked(self, child: int, tick: Tick) -> None:
        """How it stands."""
        before = self._ticks.get(child)
        self._ticks[child] = tick
        self._metrics.children.hung.labels(str(child)).set(tick.hung)
        self._stages(child, tick, before)
        self._bus(child, tick)

    def ended(self, child: int, exit_code: int) -> None:
        """It is gone; the next of its number counts from 0."""
        self._ticks.pop(child, None)
        self._told.pop(child, None)
        how = "left" if exit_code == 0 else "killed" if exit_code < 0 else "failed"
        self._metrics.children.ended.labels(how).inc()
        self._metrics.forget_child(str(child))

    def look(self, *, ready: int, alive: int, bus_away_s: float) -> None:
        """How many there are, how many of them are ready, and how the supervisor's own connection stands."""
        self._metrics.children.children.labels("ready").set(ready)
        self._metrics.children.children.labels("starting").set(max(0, alive - ready))
        self._metrics.bus.away_s.labels(SUPERVISOR).set(bus_away_s)

    def helpers(self) -> dict[int, tuple[int, ...]]:
        """The processes that work for each child."""
        return {child: tick.helpers for child, tick in tuple(self._ticks.items())}

    def _stages(self, child: int, tick: Tick, before: Tick | None) -> None:
        of = self._metrics.stages
        for stage, seconds in tick.stage_s.items():
            self._rise(child, f"stage {stage}", seconds, of.cpu_s.labels(stage))
        earlier: Mapping[str, Counted] = before.passes if before else {}
        for stage, counted in tick.passes.items():
            if counted.counts:
                of.duration.add(counted.since(earlier.get(stage, Counted())), stage)
        for metric, name in ((of.batch_frames, "frames"), (of.batch_faces, "faces"), (of.batch_fill, "fill")):
            counted = getattr(tick.batches, name)
            if counted.counts:
                metric.add(counted.since(getattr(before.batches, name) if before else Counted()))

    def _bus(self, number: int, tick: Tick) -> None:
        of = self._metrics.bus
        counters: tuple[tuple[Counter, str], ...] = (
            (of.published, "published"),
            (of.spooled, "spooled"),
            (of.replayed, "replayed"),
            (of.discarded, "discarded"),
        )
        for counter, name in counters:
            self._rise(number, name, getattr(tick, name), counter)
        child = str(number)
        of.unacknowledged.labels(child).set(tick.unacknowledged)
        of.lag_s.labels(child).set(tick.lag_s)
        of.away_s.labels(child).set(tick.bus_away_s)
        of.waiting.labels(child).set(tick.waiting)

    def _rise(self, child: int, name: str, now: float, counter: Counter) -> None:
        """Add what is more than was ever told: what a broker was given may be taken back when it goes away."""
        told = self._told.setdefault(child, {})
        more = now - told.get(name, 0.0)
        if more > 0:
            counter.inc(more)
            told[name] = now
