"""The report on runs that a bus remembers, written to a file, and its figures beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from streamer.bus.protocol import Bus
from streamer.files import replacing
from streamer.report.page import build_from
from streamer.report.read import read_runs


@dataclass(frozen=True, slots=True)
class WrittenReport:
    """What went into the page: records read, records passed over by cause, and its size; the figures beside it."""

    path: Path
    runs: tuple[str, ...]
    n_observations: int
    skipped: dict[str, int]
    size_bytes: int
    figures: tuple[Path, ...] = ()


def write_report(
    bus: Bus, run_ids: Sequence[str], path: Path, prefix: str = "affect", figures: Path | None = None
) -> WrittenReport:
    """Write the page about `run_ids` (none: the newest run) to `path`, whole or not at all; figures into `figures`.

    Raises `UsageError` for a run the bus does not know, for a path that cannot be written, and for figures where
    Matplotlib is not installed.
    """
    if figures is not None:
        from streamer.report.stills import check  # Matplotlib is an extra and takes a second to load

        check(figures)
    with replacing(path) as part:
        data = read_runs(bus, run_ids, prefix)
        page = build_from(data.records, data.series, data.tracks, data.windows, skipped=data.skipped)
        text = page.encode("utf-8", "backslashreplace")
        part.write_bytes(text)
    written: list[Path] = []
    if figures is not None:
        from streamer.report.stills import write_figures

        written = write_figures(data.records, data.series, figures)
    return WrittenReport(path, data.run_ids, data.n_observations, data.skipped, len(text), tuple(written))
