"""The part of the page that holds runs against each other: the same files analysed in two ways."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from streamer.messages import RunRecord
from streamer.report import decimate, timescale
from streamer.report.agreement import Agreement, Pairs, agreement, by_frame, pair
from streamer.report.budget import MAX_ROWS
from streamer.report.figures import MAX_INTERVALS, Figure
from streamer.report.setups import Way, ways
from streamer.report.summary import SourceFacts

MAX_COMPARISONS = 6
"""So many pairs of ways are told: the first against each other, then the second, as far as they go."""
MAX_DIFFERENCES = 3
"""So many files of a pair are drawn over time, those that agree least."""
MAX_FILES = MAX_ROWS // MAX_COMPARISONS


@dataclass(frozen=True, slots=True)
class FileComparison:
    """One file analysed in two ways. `figure` is where its difference over time is drawn, if it is."""

    first: SourceFacts
    second: SourceFacts
    pairs: Pairs
    agreed: Agreement
    figure: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two ways over all files they share; `files` begin with those that agree least, `left_out` are not listed."""

    first: Way
    second: Way
    agreed: Agreement
    n_files: int
    files: tuple[FileComparison, ...]
    n_same: int
    n_first: int
    n_second: int

    @property
    def left_out(self) -> int:
        """How many files are not in `files`."""
        return self.n_files - len(self.files)


def compare(
    runs: Sequence[RunRecord], sources: Sequence[SourceFacts], add: Callable[[Figure], dict[str, Any]]
) -> tuple[list[Comparison], int]:
    """Every pair of ways that share a file, at most `MAX_COMPARISONS`, and how many more there are.

    A file is the same when its content is (the session of an archive source). `add` takes a figure and says where it
    stands on the page.
    """
    found = ways(runs)
    by_way = [_files(way, sources) for way in found]
    both = [(i, j) for i in range(len(found)) for j in range(i + 1, len(found)) if by_way[i].keys() & by_way[j].keys()]
    told = [_comparison(found[i], found[j], by_way[i], by_way[j], add) for i, j in both[:MAX_COMPARISONS]]
    return told, len(both) - len(told)


def difference(found: Pairs, end_s: float, max_points: int = 500) -> Figure:
    """Second minus first over media time, and where labels differed, as a strip above."""
    factor, axis = timescale.axis(end_s)
    t_s, moved, differs = by_frame(found)
    step_s = float(np.median(np.diff(t_s))) if t_s.size > 1 else 0.0
    gap_s = max(0.5, 4 * step_s)
    spans = decimate.fewer_intervals(decimate.intervals(t_s, differs, step_s, gap_s), MAX_INTERVALS)
    unlike = [i for i in spans if i.code == 1]
    columns: dict[str, list[Any]] = {
        "from": timescale.scaled((i.start_s for i in unlike), factor),
        "long": timescale.lengths((max(i.end_s - i.start_s, 0.001) for i in unlike), factor),
        "lane": [0] * len(unlike),
    }
    data: list[Figure] = [
        {
            "type": "bar",
            "orientation": "h",
            "name": "labels differ",
            "base": "@from",
            "x": "@long",
            "y": "@lane",
            "yaxis": "y2",
            "marker": {"color": "$bad", "line": {"width": 0}},
            "hovertemplate": "labels differ<extra></extra>",
        }
    ]
    times, values = _broken(t_s, moved, gap_s, max_points)
    columns["t"] = [None if t is None else timescale.scaled((t,), factor)[0] for t in times]
    for k, (name, dash) in enumerate((("valence", "solid"), ("arousal", "4px,3px"))):
        columns[name] = [None if row is None else round(float(row[k]), 4) for row in values]
        data.append(
            {
                "type": "scatter",
                "mode": "lines" if t_s.size > 1 else "markers",
                "name": name,
                "x": "@t",
                "y": f"@{name}",
                "connectgaps": False,
                "line": {"width": 1.6, "color": f"${name}", "dash": dash},
                "hovertemplate": "%{y:+.2f}",
            }
        )
    greatest = float(np.abs(moved).max()) if moved.size else 0.0
    side = min(2.0, max(0.5, np.ceil(greatest * 4) / 4))
    layout = {
        "barmode": "overlay",
        "bargap": 0,
        "hovermode": "x unified",
        "margin": {"l": 52, "r": 12, "t": 8, "b": 40},
        "height": 220,
        "showlegend": False,
        "xaxis": {
            **axis,
            "range": timescale.scaled((0, max(end_s, 0.2)), factor),
            "title": {"text": "media time", "standoff": 8},
        },
        "yaxis": {
            "domain": [0, 0.88],
            "range": [-side, side],
            "zeroline": True,
            "zerolinecolor": "$muted",
            "title": {"text": "difference", "standoff": 6},
            "fixedrange": True,
        },
        "yaxis2": {"domain": [0.92, 1], "range": [-0.5, 0.5], "visible": False, "fixedrange": True},
    }
    share = float(differs.mean()) if differs.size else 0.0
    says = (
        f"Differences of valence and arousal over media time, second minus first, at most {greatest:.2f}; labels "
        f"differ in {100 * share:.0f} % of the frames."
    )
    return {"columns": columns, "data": data, "layout": layout, "says": says, "scale": timescale.scale(factor)}


def _files(way: Way, sources: Sequence[SourceFacts]) -> dict[str, SourceFacts]:
    """The files analysed this way by their content, each once."""
    files: dict[str, SourceFacts] = {}
    for source in sources:
        result = source.result
        if source.run in way.runs and source.tracks and result and result.mode == "archive" and result.session:
            files.setdefault(result.session, source)
    return files


def _comparison(
    first: Way,
    second: Way,
    left: dict[str, SourceFacts],
    right: dict[str, SourceFacts],
    add: Callable[[Figure], dict[str, Any]],
) -> Comparison:
    shared = [(left[session], right[session]) for session in left if session in right]
    files = []
    for a, b in shared:
        found = pair(a.tracks, b.tracks)
        files.append(FileComparison(a, b, found, agreement([found])))
    files.sort(key=lambda f: (f.agreed.share if f.agreed.share is not None else 2.0, f.first.stream))
    whole = agreement([f.pairs for f in files])
    listed = [
        FileComparison(f.first, f.second, f.pairs, f.agreed, add(difference(f.pairs, f.first.end_s)))
        if k < MAX_DIFFERENCES and f.agreed.n > 1
        else f
        for k, f in enumerate(files[:MAX_FILES])
    ]
    return Comparison(
        first,
        second,
        whole,
        len(files),
        tuple(listed),
        n_same=sum(f.pairs.n_same for f in files),
        n_first=sum(f.pairs.n_first for f in files),
        n_second=sum(f.pairs.n_second for f in files),
    )


def _broken(
    t_s: np.ndarray[Any, np.dtype[np.float64]],
    moved: np.ndarray[Any, np.dtype[np.float32]],
    gap_s: float,
    max_points: int,
) -> tuple[list[float | None], list[Any]]:
    """Times and pairs of values, averaged over neighbours where there are many, with a None at each hole."""
    parts = decimate.pieces(t_s, gap_s)
    if len(parts) > max_points // 8:
        parts = [slice(0, t_s.size)]
    times: list[float | None] = []
    values: list[Any] = []
    for part in parts:
        room = max(2, max_points * (part.stop - part.start) // max(1, t_s.size))
        means_t, means = decimate.bucket_means(t_s[part], moved[part], room)
        if times:
            times.append(times[-1])
            values.append(None)
        times += means_t.tolist()
        values += list(means)
    return times, values
