"""What a page can hold: it stays readable and of bounded size with one file and with fifty, with hours of video."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from streamer.report.decimate import MAX_POINTS
from streamer.report.figures import MAX_INTERVALS
from streamer.report.series import TrackKey
from streamer.report.summary import SourceFacts

MIN_OBSERVATIONS = 12
"""A track of fewer observations is told in a table, without figures."""
MAX_SECTIONS = 100
"""So many sources have a section of their own; the others are told in the tables."""
MAX_ROWS = 500
"""No table has more rows."""
MAX_DRAWN = 120
"""So many tracks have figures, each source's longest first."""
MAX_OPEN, MAX_OPEN_OF_SOURCE = 12, 6
"""So many tracks stand open; the figures of the others are drawn when somebody opens them."""
PAGE_POINTS = 60_000
"""So many points a line together, over all tracks: few tracks are drawn finely, many coarsely."""
PAGE_INTERVALS = 32_000
PAGE_LINES = 2_000
PAGE_MOMENTS = 900
MAX_BYTES = 24_000_000
"""No page is greater, whatever was analysed."""


@dataclass(frozen=True, slots=True)
class Budget:
    """How much of the page each part gets.

    `drawn` tracks have figures, `open` ones stand open; a line of theirs has at most `points` points. A source's lanes
    have at most `intervals` bars together; `told` of its tracks without figures are told in a table, and `moments` of
    each kind are listed.
    """

    drawn: frozenset[TrackKey]
    open: frozenset[TrackKey]
    points: int
    intervals: int
    told: int
    moments: int


def share_out(sources: Sequence[SourceFacts]) -> Budget:
    """The budget of a page about `sources`, of which the first `MAX_SECTIONS` get sections."""
    ranked: list[tuple[int, int, TrackKey]] = []
    shown = sources[:MAX_SECTIONS]
    for number, source in enumerate(shown):
        long = sorted((t for t in source.tracks if t.n >= MIN_OBSERVATIONS), key=lambda t: (-t.n, float(t.t_s[0])))
        ranked += [(place, number, track.key) for place, track in enumerate(long)]
    drawn = sorted(ranked)[:MAX_DRAWN]
    standing = [key for place, _, key in drawn if place < MAX_OPEN_OF_SOURCE][:MAX_OPEN]
    n_sections = max(1, len(shown))
    return Budget(
        drawn=frozenset(key for _, _, key in drawn),
        open=frozenset(standing),
        points=min(MAX_POINTS, PAGE_POINTS // max(1, len(drawn))),
        intervals=min(4 * MAX_INTERVALS, PAGE_INTERVALS // n_sections),
        told=min(40, max(5, PAGE_LINES // n_sections)),
        moments=min(7, max(2, PAGE_MOMENTS // (3 * n_sections))),
    )
