"""What a bus remembers of some runs, read once for pages and figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from streamer.bus.protocol import Bus
from streamer.bus.read import ReadCounts, drain, run_records, typed
from streamer.errors import UsageError
from streamer.messages import Observation, RunRecord, TrackEvent, Window
from streamer.report.series import TrackKey, TrackSeries, gather


@dataclass(frozen=True, slots=True)
class RunData:
    """Records of the runs `run_ids`; `skipped` counts observations passed over, by cause."""

    run_ids: tuple[str, ...]
    records: tuple[RunRecord, ...]
    series: dict[TrackKey, TrackSeries]
    tracks: tuple[TrackEvent, ...]
    windows: tuple[Window, ...]
    n_observations: int
    skipped: dict[str, int]


def read_runs(bus: Bus, run_ids: Sequence[str], prefix: str = "affect") -> RunData:
    """What the bus holds of `run_ids` (none: the newest run).

    Raises `UsageError` when it knows no run at all, or one of `run_ids` and nothing was observed in any of them.
    """
    known = run_records(bus, prefix)
    if not run_ids:
        if not known:
            raise UsageError("no run is recorded on this bus; start one with `streamer run SOURCE` first")
        run_ids = [known[-1].run]
    wanted = set(run_ids)
    records = tuple(run for run in known if run.run in wanted)
    counts, others = ReadCounts(), ReadCounts()
    series = gather(typed(drain(bus, _both(prefix, "observations")), Observation, runs=wanted, counts=counts))
    tracks = tuple(typed(drain(bus, _both(prefix, "tracks")), TrackEvent, runs=wanted, counts=others))
    windows = tuple(typed(drain(bus, _both(prefix, "windows")), Window, runs=wanted, counts=others))
    missing = wanted - {run.run for run in records}
    if missing and not counts.read:
        raise UsageError(
            f"run {', '.join(sorted(missing))} is not on this bus; `streamer tail runs` lists those that are"
        )
    return RunData(tuple(run_ids), records, series, tracks, windows, counts.read, dict(counts.skipped))


def _both(prefix: str, kind: str) -> list[str]:
    """The live topic of a kind and the archive one."""
    return [f"{prefix}.{kind}", f"{prefix}.archive.{kind}"]
