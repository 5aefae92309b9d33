"""The simulator of `streamer plan` against real runs: as many live streams at once as asked, one number after another.

Costs are measured first (or given); then each number of streams is run and simulated. Errors are
simulated / measured - 1, of CPU seconds a second and of frames a second analysed, which is what falls behind when there
is too much to do.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from streamer import machine
from streamer.bench.calibration import DISTURBED_SHARE, SEEDS, SIMULATED_S, Showing, calibrate, plain
from streamer.bench.live_run import LiveRun
from streamer.bench.record import header
from streamer.config import Config
from streamer.errors import UsageError
from streamer.plan.costs import Costs
from streamer.plan.fleet import FleetOutcome, WorkerKind, simulate
from streamer.plan.load import Bill, StreamLoad

STREAMS = (1, 2, 4, 8, 16)
ALLOWED = 0.15


def run(
    showing: Showing,
    config: Config,
    *,
    streams: Sequence[int] = STREAMS,
    fps: int = 25,
    part_s: float = 1.0,
    repeats: int = 1,
    costs: Costs | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Measured and simulated for each number of streams; `good` where no median error is beyond `ALLOWED`."""
    config = plain(config)
    kind = WorkerKind(machine.n_cores(), config.worker.children)
    interval_s = config.detect.interval_s
    if costs is not None and interval_s > 0 and costs.refine is None:
        raise UsageError("these costs know nothing of refining between searches, and this configuration does it")
    known = costs or calibrate(showing, config, part_s=part_s, tell=tell)
    measured: dict[int, list[LiveRun]] = {n: [] for n in streams}
    for number in range(repeats):
        for n in streams:
            tell(f"round {number + 1} of {repeats}: {n} streams at {fps} frames/s")
            measured[n].append(showing.run(config, n, fps))
    bill = Bill(known, interval_s)
    load = StreamLoad(fps, known.width, known.height, known.faces)
    rows = [
        _row(
            n,
            measured[n],
            [simulate(bill, [[load] * n], kind, config, duration_s=SIMULATED_S, seed=seed) for seed in SEEDS],
            fps,
        )
        for n in measured
    ]
    return {
        **header("plan"),
        "clip": {"name": showing.clip.name, "width": showing.width, "height": showing.height, "fps": fps},
        "window_s": showing.measure_s,
        "repeats": repeats,
        "children": kind.n_children,
        "costs": msgspec.to_builtins(known),
        "allowed_error": ALLOWED,
        "streams": rows,
        "disturbed": any(row["others_cores"] > DISTURBED_SHARE * kind.cores for row in rows),
        "largest_error": max(max(abs(row["cpu_error"]), abs(row["analysed_error"])) for row in rows),
        "good": all(max(abs(row["cpu_error"]), abs(row["analysed_error"])) <= ALLOWED for row in rows),
    }


def table(result: dict[str, Any]) -> str:
    """The result for people: measured / simulated, and the error."""
    lines = ["streams  CPU s/s measured  simulated   error   frames/s measured  simulated   error   p99 ms"]
    for row in result["streams"]:
        p99 = "/".join("-" if s is None else f"{1000 * s:.0f}" for s in (row["p99_s"], row["simulated_p99_s"]))
        lines.append(
            f"{row['streams']:7d} {row['cpu_s_per_s']:17.3f} {row['simulated_cpu_s_per_s']:10.3f} "
            f"{row['cpu_error']:+7.1%} {row['analysed_fps']:19.1f} {row['simulated_analysed_fps']:10.1f} "
            f"{row['analysed_error']:+7.1%}   {p99}"
        )
    if result["disturbed"]:
        lines.append("other programs took a good part of the machine meanwhile: run it again without them")
    lines.append(f"largest error {result['largest_error']:.1%}, allowed {result['allowed_error']:.0%}")
    return "\n".join(lines)


def _row(n: int, runs: Sequence[LiveRun], simulated: Sequence[FleetOutcome], fps: int) -> dict[str, Any]:
    cpu = statistics.median(run.cpu_s_per_s for run in runs)
    analysed = statistics.median(run.analysed_fps for run in runs)
    said_cpu = statistics.mean(one.cpu_s_per_s for one in simulated)
    said_analysed = statistics.mean(one.analysed_fps for one in simulated)
    return {
        "streams": n,
        "offered_fps": n * fps,
        "cpu_s_per_s": cpu,
        "simulated_cpu_s_per_s": said_cpu,
        "cpu_error": said_cpu / cpu - 1,
        "analysed_fps": analysed,
        "simulated_analysed_fps": said_analysed,
        "analysed_error": said_analysed / analysed - 1,
        "dropped_per_s": statistics.median(run.dropped_per_s for run in runs),
        "simulated_dropped_per_s": statistics.mean(sum(one.dropped_per_s.values()) for one in simulated),
        "p50_s": _quantile(runs, 0.5),
        "p99_s": _quantile(runs, 0.99),
        "simulated_p50_s": _mean([one.sent_s(0.5) for one in simulated]),
        "simulated_p99_s": _mean([one.sent_s(0.99) for one in simulated]),
        "batch_frames": statistics.mean(one.batch_frames for one in simulated),
        "others_cores": statistics.median(run.others_cores for run in runs),
        "cpu_s_per_s_each": [run.cpu_s_per_s for run in runs],
        "analysed_fps_each": [run.analysed_fps for run in runs],
        "simulated_cpu_s_per_s_each": [one.cpu_s_per_s for one in simulated],
    }


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.mean(known) if known else None


def _quantile(runs: Sequence[LiveRun], share: float) -> float | None:
    latencies_s = sorted(latency_s for run in runs for latency_s in run.latencies_s)
    return latencies_s[max(0, math.ceil(share * len(latencies_s)) - 1)] if latencies_s else None
