"""Tables and numbers in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Result = Mapping[str, Any]
"""A benchmark's JSON, as `streamer.bench.record.header` begins it."""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose cells are text already. Upright strokes in cells are escaped, line ends become spaces."""
    lines = [_line(head), _line(["---"] * len(head))]
    lines += [_line(row) for row in rows]
    return "\n".join(lines)


def number(value: float | None, digits: int = 0) -> str:
    """With thousands apart and so many digits; nothing for None, and never a minus before zero."""
    if value is None:
        return ""
    text = f"{value:,.{digits}f}"
    return text.removeprefix("-") if float(text.replace(",", "")) == 0 else text


def ms(seconds: float | None, digits: int = 1) -> str:
    """Seconds as milliseconds."""
    return number(None if seconds is None else 1000 * seconds, digits)


def percent(share: float | None, digits: int = 1) -> str:
    """A share as percents."""
    return "" if share is None else f"{number(100 * share, digits)} %"


def yes_no(value: bool) -> str:
    """A verdict."""
    return "yes" if value else "**no**"


def words(name: str) -> str:
    """A name of the JSON as text."""
    return name.replace("_", " ")


def each(values: Iterable[float], digits: int = 0) -> str:
    """The single values behind a median, in brackets; nothing where there is only one."""
    texts = [number(value, digits) for value in values]
    return f" ({', '.join(texts)})" if len(texts) > 1 else ""


def _line(cells: Sequence[str]) -> str:
    inside = " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells)
    return f"| {inside} |".replace("|  |", "| |").replace("|  |", "| |")
