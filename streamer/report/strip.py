"""Labels over time as bars: the strip above a track's timeline, and one lane per track for a whole source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from streamer.colours import COLOURS, ink_on
from streamer.report import decimate, timescale
from streamer.report.figures import MAX_INTERVALS, Figure
from streamer.report.series import UNLABELLED, TrackSeries
from streamer.types import EXPRESSIONS

MAX_LANES = 40


def presence(tracks: Sequence[TrackSeries], end_s: float, max_intervals: int = 4 * MAX_INTERVALS) -> Figure:
    """Who was there when: one lane per track with its labels, at most `MAX_LANES`, the first seen on top.

    About `max_intervals` bars, over all lanes together.
    """
    factor, axis = timescale.axis(end_s)
    columns: dict[str, list[Any]] = {}
    lanes = list(enumerate(tracks[:MAX_LANES]))
    data = strip(columns, lanes, factor, yaxis="y", max_intervals=max(12, max_intervals // max(1, len(lanes))))
    layout = {
        "barmode": "overlay",
        "bargap": 0.3,
        "uniformtext": {"minsize": 10, "mode": "hide"},
        "height": 64 + 30 * len(lanes),
        "margin": {"l": 76, "r": 12, "t": 4, "b": 40},
        "showlegend": False,
        "hovermode": "closest",
        "xaxis": {
            **axis,
            "range": timescale.scaled((0, end_s), factor),
            "title": {"text": "media time", "standoff": 8},
        },
        "yaxis": {
            "range": [len(lanes) - 0.5, -0.5],
            "tickvals": [lane for lane, _ in lanes],
            "ticktext": [track_name(track) for _, track in lanes],
            "fixedrange": True,
            "showgrid": False,
        },
    }
    says = f"When each of {len(lanes)} tracks was seen, and the expression it showed."
    return {
        "columns": columns,
        "data": data,
        "layout": layout,
        "says": says,
        "scale": timescale.scale(factor),
        "lanes": [track_id(track) for _, track in lanes],
    }


def track_id(track: TrackSeries) -> str:
    """A track's name inside its source, for the page's script."""
    return f"{track.key.epoch}-{track.key.number}"


def track_name(track: TrackSeries) -> str:
    """What the page calls a track."""
    return f"Track {track.key.number}" + (f" · {track.key.epoch}" if track.key.epoch else "")


def strip(
    columns: dict[str, list[Any]],
    lanes: Sequence[tuple[int, TrackSeries]],
    factor: float,
    yaxis: str,
    max_intervals: int,
) -> list[Figure]:
    """Bars by expression, and hatched ones where there was no label; one trace for each of the eight."""
    by_code: dict[int, list[tuple[int, decimate.Interval]]] = {}
    for lane, track in lanes:
        found = decimate.intervals(track.t_s, track.labels, track.step_s, track.gap_s)
        for interval in decimate.fewer_intervals(found, max_intervals):
            by_code.setdefault(interval.code, []).append((lane, interval))
    data: list[Figure] = []
    for code, bars in sorted(by_code.items()):
        name = "no label" if code == UNLABELLED else EXPRESSIONS[code]
        key = f"s{code % 8}"
        columns[key + "from"] = timescale.scaled((i.start_s for _, i in bars), factor)
        columns[key + "long"] = timescale.lengths((max(i.end_s - i.start_s, 0.001) for _, i in bars), factor)
        columns[key + "lane"] = [lane for lane, _ in bars]
        columns[key + "says"] = [f"{timescale.clock(i.start_s)} to {timescale.clock(i.end_s)}" for _, i in bars]
        colour = (
            {"color": "$surface", "pattern": {"shape": "/", "fgcolor": "$rule", "size": 6, "solidity": 0.25}}
            if code == UNLABELLED
            else {"color": COLOURS[name]}
        )
        data.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": name,
                "meta": code,
                "base": f"@{key}from",
                "x": f"@{key}long",
                "y": f"@{key}lane",
                "yaxis": yaxis,
                "marker": {**colour, "line": {"width": 0}},
                "text": name,
                "textposition": "inside",
                "insidetextanchor": "middle",
                "textangle": 0,
                "insidetextfont": {"color": "$ink" if code == UNLABELLED else ink_on(name), "size": 11},
                "customdata": f"@{key}says",
                "hovertemplate": f"{name}<br>%{{customdata}}<extra></extra>",
            }
        )
    return data
