"""Valence against arousal, and where derived values can lie: the region the expressions' coordinates span."""

from __future__ import annotations

from typing import Any

from streamer.coordinates import COORDINATES
from streamer.report import decimate, timescale
from streamer.report.figures import Figure, rounded
from streamer.report.series import TrackSeries
from streamer.types import EXPRESSIONS

Point = tuple[float, float]


def circumplex(track: TrackSeries, max_points: int = decimate.MAX_POINTS) -> Figure:
    """Valence against arousal of one track, coloured by time, with the unit circle, the mean and the known limits.

    Observations of low quality are left out, unless there are no others. What the hover text calls customdata,
    times in words, the page's script makes of `t`, seconds. A moment further than `near_s` from every point has none.
    """
    at = track.trusted[decimate.evenly(track.trusted.size, max_points)]
    mean = [round(float(track.valence[track.trusted].mean()), 4), round(float(track.arousal[track.trusted].mean()), 4)]
    columns: dict[str, list[Any]] = {
        "v": rounded(track.valence[at]),
        "a": rounded(track.arousal[at]),
        "t": timescale.scaled(track.t_s[at], 1.0),
        "code": track.labels[at].tolist(),
    }
    data: list[Figure] = []
    if track.va_origin == "derived":
        data += _limits()
    data += [
        {
            "type": "scatter",
            "mode": "markers",
            "x": "@v",
            "y": "@a",
            "meta": "points",
            "marker": {"size": 5, "opacity": 0.85, "color": "@t", "colorscale": "$time", "showscale": False},
            "hovertemplate": "%{customdata}<br>valence %{x:.2f}, arousal %{y:.2f}<extra></extra>",
        },
        {
            "type": "scatter",
            "mode": "markers",
            "x": mean[:1],
            "y": mean[1:],
            "marker": {
                "symbol": "cross",
                "size": 13,
                "color": "$ink",
                "line": {"width": 2, "color": "$surface"},
            },
            "hovertemplate": "mean<br>valence %{x:.2f}, arousal %{y:.2f}<extra></extra>",
        },
    ]
    side = {"range": [-1.12, 1.12], "tickvals": [-1, 0, 1], "zeroline": True, "zerolinecolor": "$rule"}
    layout = {
        "margin": {"l": 52, "r": 12, "t": 8, "b": 40},
        "height": 400,
        "showlegend": False,
        "hovermode": "closest",
        "xaxis": {**side, "showgrid": False, "title": {"text": "valence: unpleasant to pleasant", "standoff": 8}},
        "yaxis": {
            **side,
            "showgrid": False,
            "scaleanchor": "x",
            "constrain": "domain",
            "title": {"text": "arousal: calm to excited", "standoff": 2},
        },
        "annotations": _names() if track.va_origin == "derived" else [],
        "shapes": [
            {"type": "circle", "x0": -1, "y0": -1, "x1": 1, "y1": 1, "line": {"color": "$rule", "width": 1.5}},
        ],
    }
    says = f"Valence against arousal inside the unit circle; mean valence {mean[0]:.2f}, mean arousal {mean[1]:.2f}."
    span_s = float(track.t_s[-1] - track.t_s[0])
    near_s = round(max(track.gap_s, 2 * span_s / max(1, at.size)), 4)
    return {"columns": columns, "data": data, "layout": layout, "says": says, "near_s": near_s}


def hull() -> list[Point]:
    """The convex hull of the coordinates, counter-clockwise, closed: derived points, being averages, lie inside it."""
    points = sorted(COORDINATES[name] for name in EXPRESSIONS)
    outline = _half(points) + _half(points[::-1])
    return [*outline, outline[0]]


def _limits() -> list[Figure]:
    """The region derived values cannot leave, with the expressions that span it."""
    outline = hull()
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "x": [p[0] for p in outline],
            "y": [p[1] for p in outline],
            "line": {"width": 1.2, "color": "$muted", "dash": "3px,3px"},
            "fill": "toself",
            "fillcolor": "$veil",
            "hoverinfo": "skip",
        },
        {
            "type": "scatter",
            "mode": "markers",
            "x": [p[0] for p in COORDINATES.values()],
            "y": [p[1] for p in COORDINATES.values()],
            "marker": {"size": 4, "color": "$muted"},
            "hoverinfo": "skip",
        },
    ]


BESIDE: dict[str, tuple[str, str]] = {
    "Neutral": ("left", "top"),
    "Angry": ("left", "bottom"),
    "Disgust": ("right", "middle"),
    "Fear": ("right", "bottom"),
    "Happy": ("center", "bottom"),
    "Sad": ("center", "top"),
    "Surprise": ("center", "bottom"),
}
"""Which side of a name its point lies on, so that names cross neither the outline nor each other."""


def _names() -> list[Figure]:
    """The expressions' names beside their points."""
    aside = {"left": 3, "right": -5, "bottom": 5, "top": -4}
    return [
        {
            "text": name,
            "x": x,
            "y": y,
            "xanchor": BESIDE[name][0],
            "yanchor": BESIDE[name][1],
            "xshift": aside.get(BESIDE[name][0], 0),
            "yshift": aside.get(BESIDE[name][1], 0),
            "showarrow": False,
            "borderpad": 0,
            "font": {"size": 11, "color": "$muted"},
        }
        for name, (x, y) in COORDINATES.items()
    ]


def _half(points: list[Point]) -> list[Point]:
    """One chain of Andrew's monotone chain, without its last point."""
    chain: list[Point] = []
    for p in points:
        while len(chain) >= 2 and _turn(chain[-2], chain[-1], p) <= 0:
            chain.pop()
        chain.append(p)
    return chain[:-1]


def _turn(a: Point, b: Point, c: Point) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
