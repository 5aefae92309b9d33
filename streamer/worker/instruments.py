"""The metrics of a supervisor, with all that fills them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from streamer import __version__
from streamer.clock import Clock
from streamer.metrics import Metrics
from streamer.worker.child_meters import ChildMeters, processes_of
from streamer.worker.children import Children
from streamer.worker.crew import Crew
from streamer.worker.meters import Meters


@dataclass(frozen=True, slots=True)
class Instruments:
    """Owned by the supervisor's loop; `metrics` may be read by any thread."""

    metrics: Metrics
    streams: Meters
    of_children: ChildMeters
    children: Children

    @staticmethod
    def of(role: str, children: Children, clock: Clock) -> Instruments:
        """Those of a `run` or a `worker`."""
        metrics = Metrics()
        metrics.process.info.labels(role, __version__).set(1)
        meters = ChildMeters(metrics)
        metrics.processes.pids = lambda: processes_of(children, meters)
        return Instruments(metrics, Meters(metrics, clock), meters, children)

    def look(self, crew: Crew, phases: Mapping[str, int], *, ready: bool, bus_away_s: float = 0.0) -> None:
        """What is not told as it happens."""
        self.of_children.look(ready=crew.n_ready, alive=len(self.children), bus_away_s=bus_away_s)
        self.metrics.process.look(phases, ready=ready)
