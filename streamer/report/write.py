"""The report on runs that a bus remembers, written to a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from streamer.bus.protocol import Bus
from streamer.bus.read import ReadCounts, drain, run_records, typed
from streamer.errors import UsageError
from streamer.files import replacing
from streamer.messages import Observation, TrackEvent, Window
from streamer.report.page import build


@dataclass(frozen=True, slots=True)
class WrittenReport:
    """What went into the page: records read, records passed over by cause, and its size."""

    path: Path
    runs: tuple[str, ...]
    n_observations: int
    skipped: dict[str, int]
    size_bytes: int


def write_report(bus: Bus, run_ids: Sequence[str], path: Path, prefix: str = "affect") -> WrittenReport:
    """Write the page about `run_ids` (none: the newest run) to `path`, whole or not at all.

    Raises `UsageError` for a run the bus does not know and for a path that cannot be written.
    """
    known = run_records(bus, prefix)
    if not run_ids:
        if not known:
            raise UsageError("no run is recorded on this bus; start one with `streamer run SOURCE` first")
        run_ids = [known[-1].run]
    wanted = set(run_ids)
    records = [run for run in known if run.run in wanted]
    counts = ReadCounts()
    events_counts = ReadCounts()
    with replacing(path) as part:
        page = build(
            records,
            typed(drain(bus, _both(prefix, "observations")), Observation, runs=wanted, counts=counts),
            typed(drain(bus, _both(prefix, "tracks")), TrackEvent, runs=wanted, counts=events_counts),
            typed(drain(bus, _both(prefix, "windows")), Window, runs=wanted, counts=events_counts),
            skipped=counts.skipped,
        )
        missing = wanted - {run.run for run in records}
        if missing and not counts.read:
            raise UsageError(
                f"run {', '.join(sorted(missing))} is not on this bus; `streamer tail runs` lists those that are"
            )
        data = page.encode("utf-8", "backslashreplace")
        part.write_bytes(data)
    return WrittenReport(path, tuple(run_ids), counts.read, dict(counts.skipped), len(data))


def _both(prefix: str, kind: str) -> list[str]:
    """The live topic of a kind and the archive one."""
    return [f"{prefix}.{kind}", f"{prefix}.archive.{kind}"]
