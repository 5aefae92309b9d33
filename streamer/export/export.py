"""Exports: records in, one file (or standard output) out, whole or not at all."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from streamer.bus.protocol import Bus
from streamer.bus.read import ReadCounts, drain, typed
from streamer.errors import UsageError
from streamer.export.columns import RECORD_TYPES, Column, Kind, columns
from streamer.export.order import Ordered
from streamer.export.writers import require_pyarrow, write_csv, write_jsonl, write_parquet
from streamer.files import replacing
from streamer.messages import Envelope

Format = Literal["csv", "jsonl", "parquet"]
EXTENSIONS: dict[str, Format] = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
"""What a file's name says of its format."""


@dataclass(frozen=True, slots=True)
class Exported:
    """How many rows were written where; `skipped` counts records left out, by cause (`duplicate` among them)."""

    out: str
    rows: int
    skipped: dict[str, int] = field(default_factory=dict)


def export(
    records: Iterable[Envelope], format: Format, out: Path | Literal["-"], kind: Kind = "observations"
) -> Exported:
    """Write records of one kind by stream, then in the order given, each id once; `-` is standard output.

    Memory stays bounded whatever the number of records. Raises `UsageError` for a place that cannot be written, for
    Parquet without pyarrow and for Parquet to standard output.
    """
    if format == "parquet":
        if out == "-":
            raise UsageError("Parquet cannot be written to standard output; give a file with --out")
        require_pyarrow()
    ordered = Ordered(RECORD_TYPES[kind])
    try:
        if out == "-":
            ordered.add(records)
            rows = _write_text(ordered, format, columns(kind), None)
        else:
            with replacing(Path(out)) as part:
                ordered.add(records)
                if format == "parquet":
                    rows = write_parquet(ordered, columns(kind), part)
                else:
                    rows = _write_text(ordered, format, columns(kind), part)
        skipped = {"duplicate": ordered.n_duplicates} if ordered.n_duplicates else {}
    finally:
        ordered.close()
    return Exported(str(out), rows, skipped)


def export_from_bus(
    bus: Bus,
    format: Format,
    out: Path | Literal["-"],
    *,
    kind: Kind = "observations",
    prefix: str = "affect",
    homes: Sequence[Literal["live", "archive"]] = ("live", "archive"),
    streams: Collection[str] | None = None,
    runs: Collection[str] | None = None,
) -> Exported:
    """Export what the bus holds now of `kind`, from the live topic, the archive one or both (live first).

    None of `streams` or `runs` means all. An export of nothing is a file with a header and no rows.
    """
    counts = ReadCounts()
    names = {"live": f"{prefix}.{kind}", "archive": f"{prefix}.archive.{kind}"}
    # One topic after the other: a consumer of two may mix them differently each time.
    incoming = (message for home in homes for message in drain(bus, [names[home]]))
    done = export(typed(incoming, RECORD_TYPES[kind], runs=runs, streams=streams, counts=counts), format, out, kind)
    return Exported(done.out, done.rows, {**counts.skipped, **done.skipped})


def _write_text(records: Iterable[Envelope], format: Format, wanted: Sequence[Column], path: Path | None) -> int:
    write = write_csv if format == "csv" else write_jsonl
    if path is None:
        rows = write(records, wanted, sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return rows
    with path.open("wb") as into:
        return write(records, wanted, into)
