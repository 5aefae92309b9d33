"""Plain charts as SVG: bars beside each other, and lines. They look the same on light and dark pages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
"""Okabe and Ito's, told apart with every common colour blindness."""
_INK, _RULE, _LIMIT = "#14171a", "#d4d8dc", "#d55e00"
_WIDTH = 760
_BAR, _GAP, _CHARACTER = 15, 9, 6.6
_TOP, _SIDE = 34, 14
Point = tuple[float, float]
Limit = tuple[float, str]
"""A value that is asked for or allowed, and what it is called."""


def bars(
    title: str,
    rows: Sequence[tuple[str, Sequence[float | None]]],
    *,
    series: Sequence[str] = ("",),
    limit: Limit | None = None,
    digits: int = 2,
) -> str:
    """A group of horizontal bars for each row, one for each of `series`; None leaves one out."""
    values = [value for _, group in rows for value in group if value is not None]
    left = _SIDE + min(260.0, max([len(name) for name, _ in rows] or [0]) * _CHARACTER) + 8
    lowest, highest = min([0.0, *values]), max([0.0, *values, *([limit[0]] if limit else [])])
    span = (highest - lowest) or 1.0
    right = _WIDTH - _SIDE - 64

    def x(value: float) -> float:
        return left + (value - lowest) / span * (right - left)

    top = _TOP + (20 if len(series) > 1 else 0)
    parts = _legend(series, _TOP) if len(series) > 1 else []
    y = float(top)
    for name, group in rows:
        middle = y + len(group) * _BAR / 2 + 4
        parts.append(_text(left - 8, middle, _shortened(name), anchor="end"))
        for number, value in enumerate(group):
            if value is not None:
                start, end = sorted((x(0), x(value)))
                parts.append(
                    f'<rect x="{start:.1f}" y="{y:.1f}" width="{end - start:.1f}" height="{_BAR - 2}" '
                    f'fill="{COLOURS[number % len(COLOURS)]}"/>'
                )
                parts.append(_text(end + 5, y + _BAR - 4, f"{value:,.{digits}f}", size=11))
            y += _BAR
        y += _GAP
    parts.append(_rule(x(0), top - 4, x(0), y - _GAP + 4, _INK))
    if limit is not None:
        at = x(limit[0])
        parts.append(_rule(at, top - 4, at, y - _GAP + 4, _LIMIT, dashed=True))
        parts.append(_text(at, y + 8, limit[1], anchor="middle", size=11, colour=_LIMIT))
    return _page(title, y + (18 if limit else 4), parts)


def lines(
    title: str,
    series: Mapping[str, Sequence[Point]],
    *,
    x_label: str,
    y_label: str,
    limit: Limit | None = None,
) -> str:
    """A line with dots for each of `series`, both axes from zero on."""
    points = [point for one in series.values() for point in one]
    x_step, x_most = _scale(max([x for x, _ in points] or [1.0]))
    y_step, y_most = _scale(max([*(y for _, y in points), *([limit[0]] if limit else [])] or [1.0]))
    left, right, height = 64.0, _WIDTH - _SIDE - 10.0, 240.0
    top = _TOP + (24.0 if len(series) > 1 else 4.0)

    def at(point: Point) -> Point:
        return left + point[0] / x_most * (right - left), top + height - point[1] / y_most * height

    parts = _legend(tuple(series), _TOP) if len(series) > 1 else []
    for number in range(round(y_most / y_step) + 1):
        _, y = at((0, number * y_step))
        parts.append(_rule(left, y, right, y, _RULE))
        parts.append(_text(left - 6, y + 4, f"{number * y_step:g}", anchor="end", size=11))
    for number in range(round(x_most / x_step) + 1):
        x, _ = at((number * x_step, 0))
        parts.append(_text(x, top + height + 16, f"{number * x_step:g}", anchor="middle", size=11))
    parts.append(_text((left + right) / 2, top + height + 34, x_label, anchor="middle"))
    parts.append(_text(left, top - 8, y_label, size=11))
    if limit is not None:
        _, y = at((0, limit[0]))
        parts.append(_rule(left, y, right, y, _LIMIT, dashed=True))
        parts.append(_text(right, y - 4, limit[1], anchor="end", size=11, colour=_LIMIT))
    for number, one in enumerate(series.values()):
        colour = COLOURS[number % len(COLOURS)]
        places = [at(point) for point in one]
        drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{drawn}" fill="none" stroke="{colour}" stroke-width="2"/>')
        if len(places) <= 40:
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
    return _page(title, top + height + 44, parts)


def shares(values: Sequence[float]) -> list[Point]:
    """The points of (value, share of all that are not above it), for `lines`."""
    ordered = sorted(values)
    return [(value, (number + 1) / len(ordered)) for number, value in enumerate(ordered)]


def _scale(highest: float) -> tuple[float, float]:
    """A round step, and the end of an axis of at most six of them."""
    if highest <= 0:
        return 1.0, 1.0
    power = 10.0 ** math.floor(math.log10(highest / 5))
    step = next(power * by for by in (1, 2, 2.5, 5, 10) if power * by * 6 >= highest * (1 - 1e-9))
    return step, step * math.ceil(highest / step - 1e-9)


def _page(title: str, height: float, parts: Sequence[str]) -> str:
    size = f'width="{_WIDTH}" height="{height + _SIDE:.0f}" viewBox="0 0 {_WIDTH} {height + _SIDE:.0f}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" role="img">',
            f"<title>{escape(title)}</title>",
            '<rect width="100%" height="100%" fill="#ffffff"/>',
            _text(_SIDE, 20, title, size=14, bold=True),
            *parts,
            "</svg>\n",
        ]
    )


def _legend(series: Sequence[str], y: float) -> list[str]:
    parts, x = [], float(_SIDE)
    for number, name in enumerate(series):
        parts.append(f'<rect x="{x:.1f}" y="{y - 4:.1f}" width="10" height="10" fill="{COLOURS[number % 6]}"/>')
        parts.append(_text(x + 15, y + 5, name))
        x += 34 + len(name) * _CHARACTER
    return parts


def _text(
    x: float, y: float, text: str, *, anchor: str = "start", size: int = 12, bold: bool = False, colour: str = _INK
) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}" text-anchor="{anchor}"{weight}>'
        f"{escape(text)}</text>"
    )


def _rule(x1: float, y1: float, x2: float, y2: float, colour: str, *, dashed: bool = False) -> str:
    dashes = ' stroke-dasharray="4 3"' if dashed else ""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"{dashes}/>'


def _shortened(name: str) -> str:
    return name if len(name) <= 40 else name[:39] + "…"
