from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from streamer.colours import COLOURS
from streamer.coordinates import COORDINATES
from streamer.report.circumplex import circumplex, hull
from streamer.report.figures import Figure
from streamer.report.series import TrackSeries, gather
from streamer.report.strip import MAX_LANES, presence
from streamer.report.timeline import timeline
from streamer.report.timescale import axis, clock
from streamer.types import EXPRESSIONS
from tests.synthetic_run import make_run


def tracks(n_frames: int = 500) -> list[TrackSeries]:
    return list(gather(make_run(n_frames=n_frames).observations).values())


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from strings(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from strings(inner)


def check(figure: Figure, max_points: int = 2000) -> None:
    json.dumps(figure, allow_nan=False)
    for trace in figure["data"]:
        lengths = {len(figure["columns"][s[1:]]) for s in strings(trace) if s.startswith("@")}
        assert len(lengths) <= 1, "columns of one trace have one length"
        assert all(0 < length <= max_points + 50 for length in lengths)


@pytest.mark.parametrize("k", range(3))
def test_figures_are_json_whose_columns_fit(k: int) -> None:
    run = make_run()
    track = list(gather(run.observations).values())[k]
    windows = [w for w in run.windows if (w.stream, w.track.number) == (track.key.stream, track.key.number)]
    for figure in (timeline(track, windows), timeline(track), circumplex(track), presence([track], 20.0)):
        check(figure)


def test_the_timeline_shows_seven_areas_two_lines_and_their_bands() -> None:
    run = make_run()
    track = tracks()[1]
    windows = [w for w in run.windows if (w.stream, w.track.number) == (track.key.stream, track.key.number)]
    data = timeline(track, windows)["data"]
    assert [t["name"] for t in data if t.get("stackgroup")] == list(EXPRESSIONS)
    assert [t["name"] for t in data if t.get("line", {}).get("width") == 1.8] == ["valence", "arousal"]
    assert sum(1 for t in data if t.get("fill") == "tonexty") == 2


def test_low_quality_is_veiled_and_holes_are_not_bridged() -> None:
    figure = timeline(tracks()[0])
    [veil] = figure["layout"]["shapes"]
    assert veil["x0"] == pytest.approx(125 / 25)
    assert veil["x1"] == pytest.approx(180 / 25)
    columns = figure["columns"]
    assert columns["valence"].count(None) == 1
    hole = [k for k, t in enumerate(columns["t"]) if 10.9605 < t < 13.5995]
    assert len(hole) == 2
    assert all(columns[f"p{code}"][k] == 0 for code in range(7) for k in hole)


def test_long_runs_are_decimated_and_keep_their_extremes() -> None:
    n = 60_000
    track = tracks()[1]
    at = np.arange(n) % track.n
    valence = track.valence[at].copy()
    valence[31_415] = -0.99
    long = replace(
        track,
        t_s=np.arange(n, dtype=np.float64) / 25,
        probs=track.probs[at],
        valence=valence,
        arousal=track.arousal[at],
        confidence=track.confidence[at],
        labels=track.labels[at],
        low=track.low[at],
    )
    figure = timeline(long)
    check(figure)
    assert len(figure["columns"]["t"]) == 2000
    assert min(figure["columns"]["valence"]) == pytest.approx(-0.99)
    check(circumplex(long))
    assert len(json.dumps(figure)) < 400_000


def test_one_observation_is_enough() -> None:
    one = next(iter(gather(make_run().observations[:1]).values()))
    for figure in (timeline(one), circumplex(one), presence([one], 0.0)):
        check(figure)


def test_only_so_many_lanes_are_drawn() -> None:
    figure = presence(tracks() * 40, 20.0)
    assert len(figure["layout"]["yaxis"]["tickvals"]) == MAX_LANES
    check(figure, 16_000)


def test_derived_values_lie_inside_the_outline_and_predicted_ones_have_none() -> None:
    outline = hull()
    assert outline[0] == outline[-1]
    turns = [
        (b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0])
        for a, b in pairwise(outline)
        for p in COORDINATES.values()
    ]
    assert min(turns) > -1e-12, "every expression lies to the left of every side"
    track = tracks()[0]
    assert circumplex(track)["layout"]["annotations"]
    assert len(circumplex(replace(track, va_origin="predicted"))["data"]) == len(circumplex(track)["data"]) - 2


def test_colours_name_every_expression_once() -> None:
    assert tuple(COLOURS) == EXPRESSIONS
    assert len(set(COLOURS.values())) == 7


@pytest.mark.parametrize(
    ("t_s", "text"),
    [(0, "0.0 s"), (7.44, "7.4 s"), (59.96, "1:00"), (185, "3:05"), (3599.6, "1:00:00"), (7207, "2:00:07")],
)
def test_times_are_written_as_people_do(t_s: float, text: str) -> None:
    assert clock(t_s) == text


def test_no_position_on_a_date_axis_can_be_taken_for_a_year() -> None:
    long = replace(tracks()[1], t_s=np.arange(500, dtype=np.float64) * 0.6)
    figures = (timeline(long), presence([long], 300.0))
    for figure in figures:
        assert figure["layout"]["xaxis"]["type"] == "date"
        positions = [*figure["layout"]["xaxis"]["range"]]
        for trace in figure["data"]:
            positions += figure["columns"][(trace["base"] if trace["type"] == "bar" else trace["x"])[1:]]
        assert min(positions) >= 946_684_800_000
        assert max(positions) <= 946_684_800_000 + 300_000
    assert max(figures[0]["columns"]["s4long"]) < 300_000, "lengths stay lengths"


def test_axes_follow_the_length() -> None:
    assert axis(20)[0] == 1
    assert axis(7200)[1]["type"] == "date"
    assert axis(200_000)[1]["ticksuffix"] == " h"
