"""Rows into bytes: CSV, JSON lines and Parquet, a chunk of rows at a time."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from streamer.errors import UsageError
from streamer.export.columns import Column, ColumnType, Value
from streamer.messages import Envelope

CHUNK_ROWS = 1000
ROW_GROUP_ROWS = 20_000


def write_csv(records: Iterable[Envelope], columns: Sequence[Column], into: BinaryIO) -> int:
    """A header and one line a record, as RFC 4180 has it but with LF; null is an empty field. Returns the rows."""

    def lines(chunk: Sequence[Sequence[object]]) -> bytes:
        text = io.StringIO(newline="")
        # repr gives the shortest digits that read back as the same number.
        csv.writer(text, lineterminator="\n").writerows([_csv_field(v) for v in row] for row in chunk)
        return text.getvalue().encode("utf-8", "backslashreplace")

    into.write(lines([[column.name for column in columns]]))
    return _write(records, columns, into, lines)


def write_jsonl(records: Iterable[Envelope], columns: Sequence[Column], into: BinaryIO) -> int:
    """One flat JSON object a record and line, with every column, null where there is nothing. Returns the rows."""
    names = [column.name for column in columns]
    encoder = msgspec.json.Encoder()

    def lines(chunk: Sequence[Sequence[object]]) -> bytes:
        return b"".join(encoder.encode(dict(zip(names, row, strict=True))) + b"\n" for row in chunk)

    return _write(records, columns, into, lines)


def write_parquet(records: Iterable[Envelope], columns: Sequence[Column], path: Path) -> int:
    """A Parquet file with row groups of `ROW_GROUP_ROWS`, zstd; returns the rows. Needs pyarrow."""
    pyarrow, parquet = require_pyarrow()
    types: dict[ColumnType, Any] = {
        "text": pyarrow.string(),
        "integer": pyarrow.int64(),
        "real": pyarrow.float64(),
        "truth": pyarrow.bool_(),
    }
    schema = pyarrow.schema([pyarrow.field(column.name, types[column.type]) for column in columns])
    n = 0
    group: list[Any] = []
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        # Rows become columns a thousand at a time; Python objects of a whole row group would be far larger.
        for chunk in _chunks(records, columns, CHUNK_ROWS):
            arrays = [pyarrow.array([row[k] for row in chunk], types[column.type]) for k, column in enumerate(columns)]
            group.append(pyarrow.Table.from_arrays(arrays, schema=schema))
            n += len(chunk)
            if sum(table.num_rows for table in group) >= ROW_GROUP_ROWS:
                writer.write_table(pyarrow.concat_tables(group).combine_chunks())
                group.clear()
        if group:
            writer.write_table(pyarrow.concat_tables(group).combine_chunks())
    return n


def require_pyarrow() -> tuple[Any, Any]:
    """The modules `pyarrow` and `pyarrow.parquet`; raises `UsageError` saying how to install them."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise UsageError(
            "Parquet needs pyarrow: pip install 'affect-streamer[parquet]', or export csv or jsonl instead"
        ) from error
    return pyarrow, pyarrow.parquet


def _write(
    records: Iterable[Envelope],
    columns: Sequence[Column],
    into: BinaryIO,
    lines: Callable[[Sequence[Sequence[object]]], bytes],
) -> int:
    n = 0
    for chunk in _chunks(records, columns, CHUNK_ROWS):
        into.write(lines(chunk))
        n += len(chunk)
    return n


def _chunks(records: Iterable[Envelope], columns: Sequence[Column], size: int) -> Iterator[list[tuple[Value, ...]]]:
    readers = [column.of for column in columns]
    iterator = iter(records)
    while chunk := [tuple([read(record) for read in readers]) for record in islice(iterator, size)]:
        yield chunk


def _csv_field(value: object) -> object:
    """None is empty, truth is true or false as JSON has it; numbers and text are the csv module's."""
    return ("true" if value else "false") if isinstance(value, bool) else value
