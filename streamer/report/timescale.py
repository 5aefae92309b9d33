"""Media time on an axis and in words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

_DAY_S = 86_400.0
_DATE_ORIGIN_MS = 946_684_800_000.0
"""2000-01-01. Plotly takes a number of four digits on a date axis for a year: no position may be that small."""


def axis(end_s: float) -> tuple[float, dict[str, Any]]:
    """The factor from seconds to the axis's unit, and the axis's layout, for times up to `end_s`.

    Up to a minute in seconds, up to a day as a clock (milliseconds on a date axis, whose ticks follow the zoom),
    beyond in hours.
    """
    if end_s <= 60:
        return 1.0, {"ticksuffix": " s", "hoverformat": ".2f"}
    if end_s < _DAY_S:
        stops = [
            {"dtickrange": [None, 999], "value": "%M:%S.%L"},
            {"dtickrange": [1000, None], "value": "%H:%M:%S" if end_s >= 3600 else "%M:%S"},
        ]
        return 1000.0, {"type": "date", "tickformatstops": stops, "hoverformat": "%H:%M:%S.%L"}
    return 1 / 3600, {"ticksuffix": " h", "hoverformat": ".3f"}


def scale(factor: float) -> tuple[float, float]:
    """Origin and factor: where a time in seconds lies on the axis is origin + seconds * factor."""
    return (_DATE_ORIGIN_MS if factor == 1000 else 0.0), factor


def scaled(times_s: Iterable[float], factor: float) -> list[float]:
    """Times as positions on the axis, to a tenth of a millisecond."""
    origin, _ = scale(factor)
    return [origin + length for length in lengths(times_s, factor)]


def lengths(durations_s: Iterable[float], factor: float) -> list[float]:
    """Durations in the axis's unit, to a tenth of a millisecond."""
    digits = 1 if factor == 1000 else 4 if factor == 1 else 7
    numbers: list[float] = np.round(np.fromiter(durations_s, np.float64) * factor, digits).tolist()
    return numbers


def clock(t_s: float) -> str:
    """`t_s` as people write it: 7.4 s, 3:05, 2:00:07."""
    if t_s < 59.95:
        return f"{t_s:.1f} s"
    whole = round(t_s)
    hours, minutes, seconds = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
