"""What a worker knows of each wanted stream of its partitions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from streamer.fleet.admission import host_of
from streamer.fleet.capacity import Demand, rate_of
from streamer.fleet.streams import WantedStream
from streamer.metrics.declared import Phase
from streamer.worker.link import StreamTick

REMEASURE_S = 2.0


@dataclass(slots=True)
class Ward:
    """A wanted stream and how far we are with it.

    `idle`: nothing of ours reads it; `claiming`: its claim is under way; `running`: a child has it, whether its source
    is there or not; `leaving`: the child was asked to let go. `over` once its source has ended for good. `since_s` is
    when a child was given it, None once that is long enough ago.
    """

    wanted: WantedStream
    phase: Literal["idle", "claiming", "running", "leaving"] = "idle"
    over: bool = False
    since_s: float | None = None
    fps: float | None = None
    _last_tick: tuple[float, int] | None = None

    @property
    def demand(self) -> Demand:
        """What it asks of the worker that runs it."""
        definition = self.wanted.definition
        rate_fps = rate_of(definition.sample_fps, self.fps)
        return Demand(definition.stream, rate_fps, definition.priority, host_of(self.wanted.source))

    @property
    def shown_phase(self) -> Phase:
        """What is done with it, as metrics have it."""
        if self.over:
            return "over"
        if self.phase in ("running", "leaving"):
            return "running" if self.phase == "running" else "leaving"
        return "paused" if self.wanted.definition.paused else "waiting"

    def begins(self, now_s: float) -> None:
        """A child is given it."""
        self.phase, self._last_tick, self.since_s = "running", None, now_s

    def ticked(self, tick: StreamTick, now_s: float) -> None:
        """How far it is: its rate is measured by what was decoded."""
        if self._last_tick is None or tick.decoded < self._last_tick[1]:
            self._last_tick = (now_s, tick.decoded)
        elif now_s - self._last_tick[0] >= REMEASURE_S:
            then_s, decoded = self._last_tick
            self.fps = (tick.decoded - decoded) / (now_s - then_s)
            self._last_tick = (now_s, tick.decoded)
