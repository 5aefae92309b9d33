"""Every table and picture there is, by name. A benchmark that wants to be in a document is registered here, once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module

from streamer.bench.document import (
    fleet,
    gates,
    hostile,
    isolation,
    latency,
    live,
    refine,
    startup,
    streams,
    throughput,
    tracking,
    trained,
)
from streamer.bench.document.markdown import Result


@dataclass(frozen=True, slots=True)
class Block:
    """A table: of which results it is, and what makes it of those of them that are there (one at least)."""

    results: tuple[str, ...]
    make: Callable[[Mapping[str, Result]], str]


def of(name: str, make: Callable[[Result], str]) -> Block:
    """A table of one result."""
    return Block((name,), lambda found: make(found[name]))


def as_told(name: str, module: str) -> Block:
    """What the program itself prints of its result: the `table` of that module, as it is."""

    def make(result: Result) -> str:
        text: str = import_module(module).table(result)
        return f"```text\n{text}\n```"

    return of(name, make)


THROUGHPUTS = tuple(
    "-".join(filter(None, ("throughput", how, label))) for how in ("", "refine") for label in throughput.LABELS
)
"""Every picture searched whole, or refined in between; as it comes, of larger pictures, of the large network."""

BLOCKS: Mapping[str, Block] = {
    **{
        f"{name} {kind}": of(name, make)
        for name in THROUGHPUTS
        for kind, make in (("parts", throughput.parts), ("whole", throughput.whole), ("stages", throughput.stages))
    },
    "streams": of("streams", streams.whole),
    "streams trials": of("streams", streams.trials),
    "latency": of("latency", latency.whole),
    "latency stages": of("latency", latency.stages),
    "startup": of("startup", startup.models),
    "plan": as_told("plan", "streamer.bench.planning"),
    "peers": as_told("peers", "streamer.bench.peers.table"),
    "state": as_told("state", "streamer.bench.state"),
    "batching": as_told("batching", "streamer.bench.batching"),
    "memory": as_told("memory", "streamer.bench.memory"),
    "tracking": of("tracking", tracking.scenes),
    "refine": of("refine", refine.clips),
    "gates": of("gates", gates.clips),
    "hostile": of("hostile", hostile.ends),
    "isolation": of("isolation", isolation.scenarios),
    "fleet": Block(fleet.NAMES, fleet.scenarios),
    "fleet-outage": of("fleet-outage", fleet.outage_phases),
    "live-flaps": of("live-flaps", live.flaps),
    "live-flaps verdicts": of("live-flaps", live.flaps_verdicts),
    "live-page": of("live-page", live.page),
    "live-soak": of("live-soak", live.soak),
    "live-soak verdicts": of("live-soak", live.soak_verdicts),
    "paper-synthetic": of("paper-synthetic", trained.paper),
    "resnet50-synthetic": of("resnet50-synthetic", trained.resnet50),
}
"""What stands between `<!-- begin NAME -->` and `<!-- end NAME -->` in a document."""

CHARTS: Mapping[str, Callable[[Result], str]] = {
    **dict.fromkeys(THROUGHPUTS, throughput.chart),
    "streams": streams.chart,
    "latency": latency.chart,
    "startup": startup.chart,
    "tracking": tracking.chart,
    "refine": refine.chart,
    "gates": gates.chart,
    "hostile": hostile.chart,
    "isolation": isolation.chart,
    "fleet-kills": fleet.kills_chart,
    "fleet-takeover": fleet.takeover_chart,
    "fleet-churn": fleet.churn_chart,
    "fleet-outage": fleet.outage_chart,
    "fleet-cycles": fleet.cycles_chart,
    "fleet-cost": fleet.cost_chart,
    "live-flaps": live.flaps_chart,
    "live-page": live.page_chart,
    "live-soak": live.soak_chart,
    "paper-synthetic": trained.paper_chart,
    "resnet50-synthetic": trained.resnet50_chart,
}
"""By the result's name: `NAME.json` gets a `NAME.svg` beside it."""


def tables(result: Result) -> str:
    """Every table of this one result, for whoever just measured it."""
    name = result["bench"]
    return "\n\n".join(block.make({name: result}) for block in BLOCKS.values() if name in block.results)
