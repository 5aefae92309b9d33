"""The report's figures as Matplotlib draws them: for papers and slides, in the page's colours, on white."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MultipleLocator
from numpy.typing import NDArray

from streamer.colours import COLOURS
from streamer.coordinates import COORDINATES
from streamer.report import decimate
from streamer.report.circumplex import BESIDE, hull
from streamer.report.figures import MAX_INTERVALS
from streamer.report.series import UNLABELLED, TrackSeries, shares
from streamer.report.timescale import clock
from streamer.types import EXPRESSIONS

WIDTH_IN = 7.0
INK, MUTED, RULE, AROUSAL = "#1b1d20", "#62676e", "#dcd8cf", "#6a3fb5"
STEPS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)
NO_LABEL: dict[str, Any] = {"facecolor": "#f3f1ec", "edgecolor": "#b5b0a5", "hatch": "////", "linewidth": 0.0}
STYLE: Any = {
    "font.size": 9,
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "text.color": INK,
    "text.parse_math": False,  # names from outside are text
    "hatch.linewidth": 0.5,
    "svg.hashsalt": "affect-streamer",  # the same records make the same bytes
    "legend.frameon": False,
}


def timeline(track: TrackSeries) -> Figure:
    """Label strip, stacked probabilities, valence and arousal of one track over one axis of media time."""
    figure = Figure(figsize=(WIDTH_IN, 4.0), layout="constrained")
    strip_axes, probs_axes, va_axes = figure.subplots(3, 1, sharex=True, height_ratios=(0.28, 1.4, 1.4))
    _lane(strip_axes, track, 0.0, 1.0)
    strip_axes.set(ylim=(0, 1), yticks=[])
    strip_axes.spines[:].set_visible(False)
    strip_axes.tick_params(bottom=False)
    for part in decimate.pieces(track.t_s, track.gap_s):
        t_s, probs = decimate.bucket_means(track.t_s[part], track.probs[part])
        probs_axes.stackplot(t_s, probs.T, colors=list(COLOURS.values()), edgecolor="white", linewidth=0.2)
        for values, colour, dash in ((track.valence, INK, "-"), (track.arousal, AROUSAL, "--")):
            at = decimate.extremes(values[part])
            va_axes.plot(track.t_s[part][at], values[part][at], dash, color=colour, linewidth=1.2)
    for interval in decimate.intervals(track.t_s, track.low.astype(np.int8), track.step_s, track.gap_s):
        if interval.code:
            for axes in (probs_axes, va_axes):
                axes.axvspan(interval.start_s, interval.end_s, color="#d6d4ce", alpha=0.8, linewidth=0)
    probs_axes.set(ylim=(0, 1), yticks=(0, 0.5, 1), ylabel="probability")
    probs_axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:.0f} %"))
    va_axes.axhline(0, color=RULE, linewidth=0.8, zorder=0)
    va_axes.set(ylim=(-1, 1), yticks=(-1, -0.5, 0, 0.5, 1), ylabel="valence, arousal")
    _time_axis(va_axes, float(track.t_s[0]), float(track.t_s[-1]) + track.step_s)
    _legend(figure, [code for code in range(len(EXPRESSIONS)) if float(track.probs[:, code].max()) >= 0.02], lines=True)
    return figure


def circumplex(track: TrackSeries) -> Figure:
    """Valence against arousal of one track, darker is earlier; the cross is the mean, low quality is left out."""
    figure = Figure(figsize=(3.6, 3.6), layout="constrained")
    axes = figure.subplots()
    around = np.linspace(0, 2 * np.pi, 181)
    axes.plot(np.cos(around), np.sin(around), color=RULE, linewidth=1.2)
    axes.axhline(0, color=RULE, linewidth=0.8)
    axes.axvline(0, color=RULE, linewidth=0.8)
    if track.va_origin == "derived":
        axes.plot(*np.array(hull()).T, color=MUTED, linewidth=0.8, linestyle=(0, (3, 3)))
        for name, (valence, arousal) in COORDINATES.items():
            axes.plot(valence, arousal, ".", color=MUTED, markersize=3)
            _name(axes, name, valence, arousal)
    at = track.trusted[decimate.evenly(track.trusted.size)]
    axes.scatter(track.valence[at], track.arousal[at], c=track.t_s[at], s=7, cmap="viridis", linewidths=0, zorder=3)
    mean = float(track.valence[track.trusted].mean()), float(track.arousal[track.trusted].mean())
    axes.plot(*mean, "P", color=INK, markeredgecolor="white", markersize=9, zorder=4)
    axes.set(xlim=(-1.08, 1.08), ylim=(-1.08, 1.08), xticks=(-1, 0, 1), yticks=(-1, 0, 1), aspect="equal")
    axes.set(xlabel="valence: unpleasant to pleasant", ylabel="arousal: calm to excited")
    axes.spines[:].set_visible(False)
    return figure


def strip(tracks: Sequence[TrackSeries], names: Sequence[str], end_s: float) -> Figure:
    """Who was there when, and the label shown: one lane per track, the first on top."""
    figure = Figure(figsize=(WIDTH_IN, 0.9 + 0.26 * len(tracks)), layout="constrained")
    axes = figure.subplots()
    for lane, track in enumerate(tracks):
        _lane(axes, track, lane - 0.38, 0.76)
    axes.set(ylim=(len(tracks) - 0.5, -0.5), yticks=range(len(tracks)))
    axes.set_yticks(range(len(tracks)), labels=list(names))
    axes.tick_params(left=False)
    axes.spines["left"].set_visible(False)
    _time_axis(axes, 0.0, end_s)
    _legend(figure, {int(code) for track in tracks for code in np.unique(track.labels)})
    return figure


def distribution(rows: Sequence[tuple[str, NDArray[np.int8]]]) -> Figure:
    """The share of each label, one bar per row of (name, labels); unlabelled observations are hatched."""
    figure = Figure(figsize=(WIDTH_IN, 0.8 + 0.3 * len(rows)), layout="constrained")
    axes = figure.subplots()
    seen: set[int] = set()
    for lane, (_, labels) in enumerate(rows):
        left = 0.0
        for code, share in enumerate(shares(labels)):
            if share == 0:
                continue
            code = UNLABELLED if code == len(EXPRESSIONS) else code
            seen.add(code)
            axes.barh(lane, share, 0.7, left=left, **_fill(code))
            if share >= 0.07:
                colour = "white" if code >= 0 and EXPRESSIONS[code] == "Sad" else INK
                axes.text(
                    left + share / 2, lane, f"{100 * share:.0f} %", ha="center", va="center", color=colour, fontsize=7.5
                )
            left += share
    axes.set(ylim=(len(rows) - 0.5, -0.5), xlim=(0, 1), xticks=(0, 0.25, 0.5, 0.75, 1))
    axes.set_yticks(range(len(rows)), labels=[_short(name) for name, _ in rows])
    axes.tick_params(left=False)
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{100 * x:.0f} %"))
    axes.set_xlabel("share of observations")
    _legend(figure, seen)
    return figure


def settle(figure: Figure) -> Figure:
    """Lay `figure` out once and for all: the layout's solver varies in the last digits, files should not."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        left, bottom, width, height = axes.get_position().bounds
        axes.set_position((round(left, 4), round(bottom, 4), round(width, 4), round(height, 4)))
    return figure


def _name(axes: Axes, name: str, valence: float, arousal: float) -> None:
    """An expression's name beside its point."""
    across, up = BESIDE[name]
    aside = {"left": 3, "right": -4, "bottom": 4, "top": -4}
    axes.annotate(
        name,
        (valence, arousal),
        (aside.get(across, 0), aside.get(up, 0)),
        textcoords="offset points",
        ha=across,
        va={"middle": "center"}.get(up, up),
        fontsize=7,
        color=MUTED,
    )


def _lane(axes: Axes, track: TrackSeries, bottom: float, height: float) -> None:
    """The labels of a track as bars from `bottom` up."""
    found = decimate.intervals(track.t_s, track.labels, track.step_s, track.gap_s)
    by_code: dict[int, list[tuple[float, float]]] = {}
    for i in decimate.fewer_intervals(found, MAX_INTERVALS):
        by_code.setdefault(i.code, []).append((i.start_s, max(i.end_s - i.start_s, 0.001)))
    for code, bars in sorted(by_code.items()):
        axes.broken_barh(bars, (bottom, height), **_fill(code))


def _fill(code: int) -> dict[str, Any]:
    return NO_LABEL if code == UNLABELLED else {"facecolor": COLOURS[EXPRESSIONS[code]], "linewidth": 0.0}


def _time_axis(axes: Axes, start_s: float, end_s: float) -> None:
    axes.set_xlim(start_s, max(end_s, start_s + 0.2))
    span_s = max(end_s, start_s + 0.2) - start_s
    axes.xaxis.set_major_locator(MultipleLocator(next((s for s in STEPS_S if span_s / s <= 8), span_s / 8)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: clock(x)))
    axes.set_xlabel("media time")


def _legend(figure: Figure, codes: Iterable[int], *, lines: bool = False) -> None:
    codes = sorted(codes, key=lambda code: code % (len(EXPRESSIONS) + 1))
    handles: list[Patch | Line2D] = [Patch(label="no label" if c < 0 else EXPRESSIONS[c], **_fill(c)) for c in codes]
    if lines:
        handles += [Line2D([], [], color=INK, label="valence"), Line2D([], [], color=AROUSAL, ls="--", label="arousal")]
    figure.legend(
        handles=handles, loc="outside upper center", ncols=min(5 if lines else 8, max(1, len(handles))), fontsize=8
    )


def _short(name: str) -> str:
    return name if len(name) <= 32 else name[:15] + "…" + name[-16:]
