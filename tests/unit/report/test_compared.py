"""Runs side by side: what the page says of several sources, and of one file analysed twice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest

from streamer.messages import RunRecord, SourceResult
from streamer.report.agreement import pair
from streamer.report.page import build_from
from streamer.report.series import TrackKey, TrackSeries
from streamer.report.setups import ways
from streamer.report.sidebyside import MAX_COMPARISONS, compare, difference
from streamer.report.summary import sources
from streamer.report.tiles import N_SLICES, tile
from streamer.types import EXPRESSIONS
from tests.unit.report.made_up import series, steps
from tests.unit.report.test_page import Reader

HAPPY, SAD = EXPRESSIONS.index("Happy"), EXPRESSIONS.index("Sad")


def record(run: str, model: str, *sessions: str, **more: Any) -> RunRecord:
    results = tuple(
        SourceResult(stream=s, source=s, state="done", mode="archive", session=s, duration_s=10.0) for s in sessions
    )
    return RunRecord(run=run, state="done", started_s=1.0, models={"expression": model}, sources=results, **more)


def keyed(*tracks: tuple[str, str, TrackSeries]) -> dict[TrackKey, TrackSeries]:
    found = {TrackKey(run, stream, 0, k): track for k, (run, stream, track) in enumerate(tracks)}
    return {key: replace(track, key=key) for key, track in found.items()}


TWO = [record("r1", "one@1", "a.mp4", "b.mp4"), record("r2", "two@2", "a.mp4", "b.mp4")]
SEEN = keyed(
    ("r1", "a.mp4", series(100, labels=HAPPY, valence=0.5)),
    ("r2", "a.mp4", series(100, labels=steps((60, HAPPY), (40, SAD)), valence=0.3)),
    ("r1", "b.mp4", series(100, labels=HAPPY)),
    ("r2", "b.mp4", series(80, labels=HAPPY)),
)


def numbered(figures: list[Any]) -> Any:
    def add(figure: Any) -> dict[str, Any]:
        figures.append(figure)
        return {"number": len(figures) - 1}

    return add


def test_files_of_two_ways_are_compared_and_the_least_alike_come_first() -> None:
    figures: list[Any] = []
    [found], more = compare(TWO, sources(TWO, SEEN), numbered(figures))
    assert more == 0
    assert (found.first.letter, found.first.name, found.second.letter, found.second.name) == ("A", "one", "B", "two")
    assert [(f.first.stream, f.agreed.share) for f in found.files] == [("a.mp4", 0.6), ("b.mp4", 1.0)]
    assert (found.n_first, found.n_second, found.n_same) == (200, 180, 180)
    assert found.agreed.counts[HAPPY, SAD] == 40
    assert len(figures) == 2


def test_the_page_says_how_they_agree() -> None:
    words = Reader(build_from(TWO, SEEN)).words
    assert "A saw 200 faces and B 180; 180 are the same, and both labelled 180 of them, 78 % alike" in words
    assert "The same files, analysed in two ways" in words
    assert "Where to look first" in words


def test_one_way_or_other_files_are_not_compared() -> None:
    same = [record("r1", "one@1", "a.mp4"), record("r2", "one@1", "a.mp4")]
    other = [record("r1", "one@1", "a.mp4"), record("r2", "two@2", "c.mp4")]
    for runs in (same, other):
        assert compare(runs, sources(runs, SEEN), numbered([])) == ([], 0)
    live = [
        msgspec.structs.replace(r, sources=tuple(msgspec.structs.replace(s, mode="live") for s in r.sources))
        for r in TWO
    ]
    assert compare(live, sources(live, SEEN), numbered([])) == ([], 0), "two live runs never saw the same frames"


def test_a_renamed_file_is_the_same_file() -> None:
    renamed = record("r2", "two@2", "a.mp4")
    renamed = msgspec.structs.replace(
        renamed, sources=(msgspec.structs.replace(renamed.sources[0], stream="new name"),)
    )
    runs = [TWO[0], renamed]
    seen = keyed(("r1", "a.mp4", series(50)), ("r2", "new name", series(50)))
    [found], _ = compare(runs, sources(runs, seen), numbered([]))
    assert (found.files[0].first.stream, found.files[0].second.stream) == ("a.mp4", "new name")


def test_ways_are_named_by_what_differs() -> None:
    base = record("r1", "one@1", "a.mp4", precision="bf16", settings={"detect.interval_s": "0.2"})
    finer = msgspec.structs.replace(base, run="r2", settings={"detect.interval_s": "0"})
    exact = msgspec.structs.replace(base, run="r3", precision="fp32")
    assert [(w.letter, w.name) for w in ways([base, finer])] == [
        ("A", "detect.interval_s 0.2"),
        ("B", "detect.interval_s 0"),
    ]
    assert [w.name for w in ways([base, exact])] == ["precision bf16", "precision fp32"]
    assert [w.name for w in ways([base])] == ["one"]


def test_only_so_many_pairs_are_told_and_the_rest_is_counted() -> None:
    runs = [record(f"r{k}", f"net-{k}@1", "a.mp4") for k in range(5)]
    seen = keyed(*((f"r{k}", "a.mp4", series(50)) for k in range(5)))
    told, more = compare(runs, sources(runs, seen), numbered([]))
    assert (len(told), more) == (MAX_COMPARISONS, 10 - MAX_COMPARISONS)
    assert "4 more pairs of ways are not told" in Reader(build_from(runs, seen)).words


def test_the_difference_is_drawn_with_holes_and_marks_where_labels_differ() -> None:
    first = series(100, labels=steps((50, HAPPY), (50, SAD)), valence=0.25)
    second = replace(series(100, labels=HAPPY, valence=0.75), t_s=first.t_s)
    moved = first.t_s + np.where(np.arange(100) >= 80, 5.0, 0.0)
    figure = difference(pair([replace(first, t_s=moved)], [replace(second, t_s=moved)]), 20.0)
    columns = figure["columns"]
    assert columns["from"] == [5.0, 13.0]
    assert columns["long"] == pytest.approx([3.0, 2.0])
    assert columns["valence"].count(None) == 1
    assert {v for v in columns["valence"] if v is not None} == {0.5}
    assert "labels differ in 50 % of the frames" in figure["says"]


def test_a_tile_follows_the_mean_of_all_faces_and_breaks_where_nobody_was() -> None:
    runs = [record("r1", "one@1", "a.mp4")]
    seen = keyed(
        ("r1", "a.mp4", series(40, valence=1.0, arousal=-1.0)),
        ("r1", "a.mp4", series(40, valence=0.0, start_s=6.0)),
    )
    [source] = sources(runs, seen)
    found = tile(source)
    assert found is not None
    assert found.valence_path.count("M") == 2
    assert found.valence_path.startswith("M1 0.0"), "valence 1 lies on top"
    assert found.arousal_path.startswith("M1 64.0")
    assert len(found.valence_path) < 12 * N_SLICES
    assert found.valence == pytest.approx(0.5)
    assert len(found.dots) == 2
    assert tile(replace(source, tracks=())) is None
