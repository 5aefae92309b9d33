"""Rows into bytes: CSV, JSON lines and Parquet, a chunk of rows at a time; and into Arrow's tables."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, BinaryIO

import msgspec

from streamer.errors import UsageError
from streamer.export.columns import Column, ColumnType, Row

CHUNK_ROWS = 1000
ROW_GROUP_ROWS = 20_000


def write_csv(rows: Iterable[Row], columns: Sequence[Column], into: BinaryIO) -> int:
    """A header and one line a row, as RFC 4180 has it but with LF; null is an empty field. Returns the rows."""

    def lines(chunk: Sequence[Sequence[object]]) -> bytes:
        text = io.StringIO(newline="")
        # repr gives the shortest digits that read back as the same number.
        csv.writer(text, lineterminator="\n").writerows([_csv_field(v) for v in row] for row in chunk)
        return text.getvalue().encode("utf-8", "backslashreplace")

    into.write(lines([[column.name for column in columns]]))
    return _write(rows, into, lines)


def write_jsonl(rows: Iterable[Row], columns: Sequence[Column], into: BinaryIO) -> int:
    """One flat JSON object a row and line, with every column, null where there is nothing. Returns the rows."""
    names = [column.name for column in columns]
    encoder = msgspec.json.Encoder()

    def lines(chunk: Sequence[Sequence[object]]) -> bytes:
        return b"".join(encoder.encode(dict(zip(names, row, strict=True))) + b"\n" for row in chunk)

    return _write(rows, into, lines)


def write_parquet(rows: Iterable[Row], columns: Sequence[Column], into: BinaryIO) -> int:
    """A Parquet file with row groups of `ROW_GROUP_ROWS`, zstd; returns the rows. Needs pyarrow."""
    pyarrow, parquet = require_pyarrow()
    n = 0
    with parquet.ParquetWriter(into, _schema(pyarrow, columns), compression="zstd") as writer:
        for group in _arrow_groups(pyarrow, rows, columns):
            writer.write_table(group)
            n += group.num_rows
    return n


def arrow_table(rows: Iterable[Row], columns: Sequence[Column]) -> Any:
    """A `pyarrow.Table` of all rows. Needs pyarrow."""
    pyarrow, _ = require_pyarrow()
    groups = list(_arrow_groups(pyarrow, rows, columns))
    return pyarrow.concat_tables(groups) if groups else _schema(pyarrow, columns).empty_table()


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


def _arrow_groups(pyarrow: Any, rows: Iterable[Row], columns: Sequence[Column]) -> Iterator[Any]:
    """The rows as tables of `ROW_GROUP_ROWS`."""
    schema = _schema(pyarrow, columns)
    group: list[Any] = []
    # Rows become columns a thousand at a time; Python objects of a whole row group would be far larger.
    for chunk in _chunks(rows, CHUNK_ROWS):
        arrays = [pyarrow.array([row[k] for row in chunk], field.type) for k, field in enumerate(schema)]
        group.append(pyarrow.Table.from_arrays(arrays, schema=schema))
        if sum(table.num_rows for table in group) >= ROW_GROUP_ROWS:
            yield pyarrow.concat_tables(group).combine_chunks()
            group.clear()
    if group:
        yield pyarrow.concat_tables(group).combine_chunks()


def _schema(pyarrow: Any, columns: Sequence[Column]) -> Any:
    types: dict[ColumnType, Any] = {
        "text": pyarrow.string(),
        "integer": pyarrow.int64(),
        "real": pyarrow.float64(),
        "truth": pyarrow.bool_(),
    }
    return pyarrow.schema([pyarrow.field(column.name, types[column.type]) for column in columns])


def _write(rows: Iterable[Row], into: BinaryIO, lines: Callable[[Sequence[Sequence[object]]], bytes]) -> int:
    n = 0
    for chunk in _chunks(rows, CHUNK_ROWS):
        into.write(lines(chunk))
        n += len(chunk)
    return n


def _chunks(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    iterator = iter(rows)
    while chunk := list(islice(iterator, size)):
        yield chunk


def _csv_field(value: object) -> object:
    """None is empty, truth is true or false as JSON has it; numbers and text are the csv module's."""
    return ("true" if value else "false") if isinstance(value, bool) else value
