"""How wanted streams are opened, and opened again: what a run and a worker of the fleet have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from streamer.clock import Clock
from streamer.config import ModelSettings, with_models
from streamer.fleet.starts import StartGate
from streamer.fleet.streams import WantedStream
from streamer.messages import StreamDefinition
from streamer.worker.crew import Crew
from streamer.worker.link import Reopen, SourceGone, Tuning
from streamer.worker.orders import Order

STILL_LEAVING_S = 0.2


@dataclass(slots=True)
class Openings:
    """Knows which running streams have lost their source; when they are tried again is the gate's to say."""

    crew: Crew
    gate: StartGate
    clock: Clock
    _gone: set[str] = field(default_factory=set)

    def due(self, runs: Callable[[str], bool]) -> list[str]:
        """The streams to begin now. Of those that run the source is opened again here, if it was gone."""
        begun: list[str] = []
        now_s = self.clock.monotonic_s()
        for stream in self.gate.due(now_s):
            if runs(stream):
                if stream in self._gone:
                    self._gone.discard(stream)
                    self.crew.tell(stream, Reopen(work=stream))
            elif stream in self.crew.orders:  # also what it was before it was taken back, or was another worker's
                self.gate.interrupted(stream, now_s + STILL_LEAVING_S)
            else:
                begun.append(stream)
        return begun

    def source_gone(self, order: Order, message: SourceGone) -> None:
        """The source of a running stream went away, or is not there yet."""
        self._gone.add(order.work)
        now_s = self.clock.monotonic_s()
        if message.cause == "ended" and message.opened and order.repeat:
            self.gate.interrupted(order.work, now_s)  # it begins again at once
        else:
            self.gate.failed(order.work, message.cause, now_s)

    def left(self, stream: str) -> None:
        """No child has it any more."""
        self._gone.discard(stream)


def order_of(wanted: WantedStream, models: ModelSettings, *, reopen: bool = True, guarded: bool = False) -> Order:
    """What a child is asked to do for a wanted stream; not claimed yet."""
    definition = wanted.definition
    return Order(
        wanted.stream,
        wanted.source,
        models=with_models(models, expression=definition.model),
        tuning=tuning_of(definition),
        reopen=reopen,
        repeat=definition.repeat,
        guarded=guarded,
    )


def tuning_of(definition: StreamDefinition) -> Tuning:
    """What of a definition may be changed while the stream runs."""
    return Tuning(
        sample_fps=definition.sample_fps,
        keyframes_only=definition.keyframes_only,
        max_faces=definition.max_faces,
        priority=definition.priority,
    )
