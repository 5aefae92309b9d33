"""One track over media time: label strip, probabilities, valence and arousal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamer.colours import COLOURS
from streamer.messages import Window
from streamer.report import decimate, timescale
from streamer.report.figures import MAX_INTERVALS, Figure, rounded
from streamer.report.series import TrackSeries
from streamer.report.strip import strip
from streamer.types import EXPRESSIONS


def timeline(track: TrackSeries, windows: Sequence[Window] = (), max_points: int = decimate.MAX_POINTS) -> Figure:
    """Label strip, the seven probabilities, valence and arousal of one track over one shared axis of media time."""
    factor, axis = timescale.axis(float(track.t_s[-1]) + track.step_s)
    columns: dict[str, list[Any]] = {}
    data = [
        *strip(columns, [(0, track)], factor, yaxis="y", max_intervals=MAX_INTERVALS),
        *_areas(columns, track, factor, max_points),
        *_bands(columns, windows, factor, max_points // 2),
        *_lines(columns, track, factor, max_points),
    ]
    end_s = float(track.t_s[-1]) + track.step_s
    layout = {
        "barmode": "overlay",
        "bargap": 0,
        "hovermode": "x unified",
        "hoversubplots": "axis",
        "uniformtext": {"minsize": 10, "mode": "hide"},
        "margin": {"l": 52, "r": 12, "t": 8, "b": 40},
        "height": 400,
        "xaxis": {
            **axis,
            "range": timescale.scaled((float(track.t_s[0]), max(end_s, float(track.t_s[0]) + 0.2)), factor),
            "anchor": "y3",
            "title": {"text": "media time", "standoff": 8},
            "showspikes": True,
            "spikemode": "across",
            "spikethickness": 1,
            "spikedash": "solid",
            "spikecolor": "$muted",
        },
        "yaxis": {"domain": [0.92, 1], "range": [-0.5, 0.5], "visible": False, "fixedrange": True},
        "yaxis2": {
            "domain": [0.46, 0.89],
            "range": [0, 1],
            "tickvals": [0, 0.5, 1],
            "tickformat": ".0%",
            "title": {"text": "probability", "standoff": 6},
            "fixedrange": True,
        },
        "yaxis3": {
            "domain": [0, 0.4],
            "range": [-1, 1],
            "tickvals": [-1, -0.5, 0, 0.5, 1],
            "title": {"text": "valence, arousal", "standoff": 6},
            "zeroline": True,
            "zerolinecolor": "$rule",
            "fixedrange": True,
        },
        "shapes": _poor(track, factor),
        "showlegend": False,
    }
    says = (
        f"From {timescale.clock(float(track.t_s[0]))} to {timescale.clock(end_s)} of media time: the label shown, the "
        "probabilities of the seven expressions stacked to 100 %, and valence and arousal between -1 and 1."
    )
    return {"columns": columns, "data": data, "layout": layout, "says": says, "scale": timescale.scale(factor)}


def _areas(columns: dict[str, list[Any]], track: TrackSeries, factor: float, max_points: int) -> list[Figure]:
    """The seven probabilities stacked; at a hole all fall to zero at once."""
    parts = decimate.pieces(track.t_s, track.gap_s)
    if len(parts) > max_points // 8:
        parts = [slice(0, track.n)]
    times: list[float] = []
    rows: list[NDArray[np.float32]] = []
    nothing = np.zeros((1, len(EXPRESSIONS)), np.float32)
    for part in parts:
        room = max(2, max_points * (part.stop - part.start) // track.n)
        t_s, probs = decimate.bucket_means(track.t_s[part], track.probs[part], room)
        if rows:
            times += [times[-1] + 1e-3, float(t_s[0]) - 1e-3]
            rows += [nothing, nothing]
        times += t_s.tolist()
        rows.append(probs)
    stacked = np.concatenate(rows)
    columns["t"] = timescale.scaled(times, factor)
    data: list[Figure] = []
    for code, name in enumerate(EXPRESSIONS):
        columns[f"p{code}"] = rounded(stacked[:, code])
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": name,
                "x": "@t",
                "y": f"@p{code}",
                "yaxis": "y2",
                "meta": code,
                "stackgroup": "probs",
                "line": {"width": 0.6, "color": "$surface"},
                "fillcolor": COLOURS[name],
                "hovertemplate": "%{y:.0%}",
            }
        )
    return data


def _bands(columns: dict[str, list[Any]], windows: Sequence[Window], factor: float, max_windows: int) -> list[Figure]:
    """Least to greatest valence and arousal of each block of observations, as bands behind the lines."""
    if not windows:
        return []
    if len(windows) > max_windows:
        windows = [windows[k] for k in decimate.evenly(len(windows), max_windows)]
    columns["w"] = timescale.scaled((t for w in windows for t in (w.from_media_time_s, w.to_media_time_s)), factor)
    data: list[Figure] = []
    for name, colour in (("valence", "$valence_band"), ("arousal", "$arousal_band")):
        spans = [w.valence if name == "valence" else w.arousal for w in windows]
        for side in ("min", "max"):
            key = f"{name[0]}{side}"
            columns[key] = [round(getattr(s, side), 4) for s in spans for _ in range(2)]
            data.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "name": f"{name} {side}",
                    "meta": "band",
                    "x": "@w",
                    "y": f"@{key}",
                    "yaxis": "y3",
                    "line": {"width": 0},
                    "fill": "none" if side == "min" else "tonexty",
                    "fillcolor": colour,
                    "hoverinfo": "skip",
                }
            )
    return data


def _lines(columns: dict[str, list[Any]], track: TrackSeries, factor: float, max_points: int) -> list[Figure]:
    """Valence (solid) and arousal (dashed), broken at holes; what is drawn keeps every bucket's extremes."""
    holes = np.concatenate([[0], np.cumsum(np.diff(track.t_s) > track.gap_s)])
    data: list[Figure] = []
    for name, values, dash in (("valence", track.valence, "solid"), ("arousal", track.arousal, "4px,3px")):
        at = decimate.extremes(values, max_points)
        times: list[float | None] = [*timescale.scaled(track.t_s[at], factor)]
        numbers: list[float | None] = [*rounded(values[at])]
        for place in np.flatnonzero(np.diff(holes[at]))[::-1].tolist():
            times.insert(place + 1, times[place])
            numbers.insert(place + 1, None)
        columns[f"t_{name}"], columns[name] = times, numbers
        data.append(
            {
                "type": "scatter",
                "mode": "lines" if track.n > 1 else "markers",
                "name": name,
                "meta": "line",
                "x": f"@t_{name}",
                "y": f"@{name}",
                "yaxis": "y3",
                "connectgaps": False,
                "line": {"width": 1.8, "color": f"${name}", "dash": dash},
                "hovertemplate": "%{y:.2f}",
            }
        )
    return data


def _poor(track: TrackSeries, factor: float) -> list[Figure]:
    """Veils over the stretches of low quality, across all three panels."""
    found = decimate.intervals(track.t_s, track.low.astype(np.int8), track.step_s, track.gap_s)
    poor = [i for i in decimate.fewer_intervals(found, MAX_INTERVALS) if i.code == 1]
    shapes: list[Figure] = []
    for interval in poor:
        x0, x1 = timescale.scaled((interval.start_s, interval.end_s), factor)
        shapes.append(
            {
                "type": "rect",
                "xref": "x",
                "yref": "paper",
                "x0": x0,
                "x1": x1,
                "y0": 0,
                "y1": 0.89,
                "line": {"width": 0},
                "fillcolor": "$poor",
                "layer": "above",
            }
        )
    return shapes
