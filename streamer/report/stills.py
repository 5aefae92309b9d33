"""The report's figures as files, PNG and SVG: a folder per run, a name that says what is drawn."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from streamer.errors import UsageError
from streamer.files import replacing
from streamer.messages import RunRecord
from streamer.report import summary
from streamer.report.budget import MAX_SECTIONS, share_out
from streamer.report.series import TrackKey, TrackSeries
from streamer.report.strip import MAX_LANES, track_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 300
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def check(folder: Path) -> None:
    """Raise `UsageError` where figures cannot be drawn or `folder` cannot be a folder, before anything is read."""
    try:
        import matplotlib  # noqa: F401 - only whether it is there
    except ImportError as error:
        raise UsageError("figures need Matplotlib: pip install 'affect-streamer[figures]'") from error
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"cannot write figures into {folder}: it is a file; give a folder")


def write_figures(runs: Sequence[RunRecord], series: Mapping[TrackKey, TrackSeries], folder: Path) -> list[Path]:
    """Write every figure of `runs` twice, as PNG (300 dpi) and as SVG; the files written, in order.

    Per source (the first 100) `STREAM-strip` and `STREAM-distribution`, per track that stands open on the page
    `STREAM-timeline-TRACK` and `STREAM-circumplex-TRACK`, all in a folder named for the run; of several sources also
    `distribution` beside the folders. The same records make the same bytes.
    """
    import matplotlib as mpl

    from streamer.report.drawing import STYLE, settle

    written: list[Path] = []
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # a box stands for it
        for name, figure in _figures(summary.sources(runs, series)):
            settled = settle(figure)
            for suffix in ("png", "svg"):
                path = folder / f"{name}.{suffix}"
                _save(settled, path, suffix)
                written.append(path)
    return written


def _figures(sources: Sequence[summary.SourceFacts]) -> Iterator[tuple[str, Figure]]:
    """Every figure with the path it gets, without a suffix."""
    from streamer.report import drawing

    standing = share_out(sources).open
    shown = [source for source in sources[:MAX_SECTIONS] if source.tracks]
    taken: set[str] = set()
    for source in shown:
        name = _free(f"{_safe(source.run)}/{_safe(source.stream)}", taken)
        longest = {t.key for t in sorted(source.tracks, key=lambda t: -t.n)[:MAX_LANES]}
        lanes = [t for t in source.tracks if t.key in longest]
        yield f"{name}-strip", drawing.strip(lanes, [track_name(t) for t in lanes], source.end_s)
        rows = [(track_name(t), t.labels) for t in lanes]
        whole = np.concatenate([t.labels for t in source.tracks])
        yield f"{name}-distribution", drawing.distribution([("all tracks", whole), *rows] if len(rows) > 1 else rows)
        for track in source.tracks:
            if track.key in standing:
                yield f"{name}-timeline-{_track(track)}", drawing.timeline(track)
                yield f"{name}-circumplex-{_track(track)}", drawing.circumplex(track)
    if len(shown) > 1:
        several = len({s.stream for s in shown}) < len(shown)
        names = [f"{s.stream} ({s.run[:8]})" if several else s.stream for s in shown[:MAX_LANES]]
        labels = [np.concatenate([t.labels for t in s.tracks]) for s in shown[:MAX_LANES]]
        yield "distribution", drawing.distribution(list(zip(names, labels, strict=True)))


def _save(figure: Figure, path: Path, suffix: str) -> None:
    metadata = {"Date": None, "Creator": "affect-streamer"} if suffix == "svg" else {"Software": "affect-streamer"}
    with replacing(path) as part:
        figure.savefig(part, format=suffix, dpi=DPI, facecolor="white", metadata=metadata)


def _safe(name: str) -> str:
    """`name` as a file's name: letters, digits, dot, dash and underscore; never hidden, never empty, never long."""
    return _UNSAFE.sub("-", name).strip("-.")[:80] or "source"


def _track(track: TrackSeries) -> str:
    return f"track-{track.key.number}" + (f"-epoch-{track.key.epoch}" if track.key.epoch else "")


def _free(name: str, taken: set[str]) -> str:
    """`name`, or with a number after it where two names came out the same."""
    found, k = name, 2
    while found.lower() in taken:
        found, k = f"{name}-{k}", k + 1
    taken.add(found.lower())
    return found
