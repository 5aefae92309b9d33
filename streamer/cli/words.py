"""Small words that several commands print."""

from __future__ import annotations

from collections.abc import Iterable

from streamer.progress import printable


def counted(n: int, what: str) -> str:
    """`1 job`, `1,200 jobs`."""
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def listed(names: Iterable[str]) -> str:
    """Names from outside, as they can be shown."""
    return ", ".join(printable(name) for name in names)


def clock_span(span_s: float) -> str:
    """`0:05`, `12:30`, `1:02:03`: a length of time."""
    whole = round(span_s)
    hours, minutes, seconds = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def table(rows: list[list[str]]) -> list[str]:
    """Rows as lines with aligned columns; the last column is as wide as it is."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
    return [
        "  ".join([cell.ljust(width) for cell, width in zip(row, widths, strict=False)] + row[-1:]).rstrip()
        for row in rows
    ]
