"""A page stays of bounded size and complete in words, whatever it is about."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from streamer.report import budget
from streamer.report.budget import MAX_BYTES, MAX_DRAWN, MAX_OPEN, share_out
from streamer.report.page import build_from
from streamer.report.summary import sources
from tests.unit.report.made_up import HOUR, many, series


@pytest.mark.parametrize(
    ("n_files", "n_tracks", "n", "ways"),
    [(1, 1, 8 * HOUR, 1), (1, 300, 400, 1), (50, 2, HOUR, 1), (25, 2, 2000, 2), (600, 1, 60, 1), (1, 1000, 5, 1)],
    ids=["eight hours", "a crowd", "fifty hours", "two ways", "600 files", "1,000 glimpses"],
)
def test_no_page_is_greater_than_the_bound(n_files: int, n_tracks: int, n: int, ways: int) -> None:
    runs, found = many(n_files, n_tracks, n, ways)
    page = build_from(runs, found)
    assert len(page.encode()) < MAX_BYTES
    assert len(re.findall(r'class="track" id=', page)) <= MAX_DRAWN
    assert len(re.findall(r'<article class="track"', page)) <= MAX_OPEN
    assert max(len(part) for part in re.findall(r"<table.*?</table>", page, re.DOTALL)) < 400_000


def test_few_tracks_are_drawn_finely_and_many_coarsely() -> None:
    points = [share_out(sources(*many(k, 1, 20))).points for k in (1, 30, 60, 500)]
    assert points == [2000, 2000, 1000, 600], "the first hundred of 500 sources are drawn"


def test_every_source_gets_its_longest_track_before_any_gets_a_second() -> None:
    runs, found = many(40, 5, 100)
    for key in found:
        if key.number == 3:
            found[key] = replace(series(500), key=key)
    shares = share_out(sources(runs, found))
    assert len(shares.drawn) == MAX_DRAWN
    assert {(k.stream, 3) for k in found} <= {(k.stream, k.number) for k in shares.drawn}
    assert {k.number for k in shares.open} == {3}


def test_what_is_left_out_is_said() -> None:
    page = " ".join(build_from(*many(600, 1, 40)).split())
    assert f"The first {budget.MAX_ROWS} of 600 sources." in page
    assert f"The first {budget.MAX_SECTIONS} of 600 sources." in page
    crowd = " ".join(build_from(*many(1, 300, 40)).split())
    assert "180 tracks without figures, the 40 longest in numbers" in crowd
    assert "The 40 longest of 300 tracks." in crowd
