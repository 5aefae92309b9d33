"""The benches of state, batching and memory: their arithmetic, and one short run where it takes seconds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from engines.zoo.sample import fetch_sample
from streamer.bench import batching, memory, state
from streamer.bench.counted_child import Calls, _CountedModel
from streamer.bench.fleet.memory import robust_slope, slope_per_min
from streamer.config import Config, DetectSettings
from streamer.errors import StreamerError

# -- state --------------------------------------------------------------------------------------------------------


def test_contestants_take_turns_and_medians_are_of_their_chunks() -> None:
    turns: list[str] = []
    seconds = iter([0.0, 0.1, 0.0, 0.4, 0.0, 0.2, 0.0, 0.4, 0.0, 0.9, 0.0, 0.4])
    works = {name: lambda n, name=name: turns.append(f"{name}{n}") for name in "ab"}
    found = state.in_turn(works, 3, 100, lambda: next(seconds))
    assert turns == ["a100", "b100"] * 3
    assert found["a"] == {"median": 2.0, "least": 1.0, "most": 9.0}
    assert found["b"]["median"] == 4.0


@pytest.mark.parametrize(
    ("stat_ms", "head_ms", "reached"),
    [(0.1, [1.0, 1.2], (True, True)), (0.11, [1.0, 1.21], (False, False)), (0.01, [2.0, 1.0], (True, False))],
)
def test_goals_of_state(stat_ms: float, head_ms: list[float], reached: tuple[bool, bool]) -> None:
    found = state.verdict(stat_ms, head_ms)
    assert (found["stat"]["reached"], found["flat"]["reached"]) == reached


def test_a_short_run_of_state() -> None:
    result = json.loads(json.dumps(state.run(repeats=2, n_observations=4, n_before=8)))
    assert next(iter(result["stat_ms"])) == "D 2048, s 128"
    assert set(result["head_ms"]) == {"s 16, young", "s 128, young", "s 16, old", "s 128, old"}
    assert all(one["median"] > 0 for one in (*result["stat_ms"].values(), *result["head_ms"].values()))
    sizes = {one["shape"]: one["live_bytes"] for one in result["snapshots"]}
    assert sizes["D 2048, s 128"] > sizes["D 2048, s 32"] > sizes["D 256, s 32"] > sizes["temporal, s 16"]
    assert "goal at most 0.1" in state.table(result)


# -- batching -----------------------------------------------------------------------------------------------------

ALONE = {"batch": 8, "cpu_s_per_crop": 0.0008}
INSIDE = {
    "embed": {"calls": 25, "items": 100, "cpu_s": 0.09, "stage_s": 0.1},
    "detect": {"calls": 30, "items": 90, "cpu_s": 1.0, "stage_s": 1.1},
}


def test_a_crop_inside_costs_its_share_of_the_whole_stage() -> None:
    found = batching.compared(ALONE, INSIDE)
    assert found["inside_cpu_s_per_crop"] == pytest.approx(0.001)
    assert found["calls_cpu_s_per_crop"] == pytest.approx(0.0009)
    assert found["ratio"] == pytest.approx(0.8)
    assert (found["crops_a_call"], found["frames_a_search"], found["alone_batch"]) == (4.0, 3.0, 8)


def test_a_run_without_faces_is_no_measurement() -> None:
    nothing = {name: dict.fromkeys(one, 0.0) for name, one in INSIDE.items()}
    with pytest.raises(StreamerError, match="no face"):
        batching.compared(ALONE, nothing)


def test_children_add_up() -> None:
    counted = [{"embed": {"calls": 1, "items": 8, "cpu_s": 0.5}}, {"embed": {"calls": 2, "items": 3, "cpu_s": 0.25}}]
    assert batching.summed("embed", counted) == {"calls": 3, "items": 11, "cpu_s": 0.75}


def test_a_counted_model_answers_as_the_model_does() -> None:
    class Inner:
        spec = "spec"

        def embed(self, crops: Any) -> Any:
            return ("embedded", len(crops))

    calls = Calls()
    counted: Any = _CountedModel(Inner(), calls)
    crops = np.zeros((3, 2, 2, 3), np.uint8)
    assert counted.embed(crops) == ("embedded", 3)
    counted.embed(crops[:0])
    assert (calls.calls, calls.items, counted.spec) == (1, 3, "spec")


@pytest.mark.models
@pytest.mark.usefixtures("models")
def test_a_short_run_of_batching() -> None:
    plan = batching.Plan(n_streams=2, duration_s=1.0, part_s=0.05, repeats=1, batches=(8,))
    result = json.loads(json.dumps(batching.run(fetch_sample(), Config(detect=DetectSettings(interval_s=0.0)), plan)))
    [one] = result["rounds"]
    assert one["inside"]["detect"]["items"] == 240
    assert one["inside"]["embed"]["items"] == 240
    assert 1 <= one["crops_a_call"] <= result["max_frames"]
    assert one["inside"]["embed"]["stage_s"] >= one["inside"]["embed"]["cpu_s"] > 0
    assert result["median"]["ratio"] == one["ratio"] > 0
    assert "goal 0.80" in batching.table(result)


# -- memory -------------------------------------------------------------------------------------------------------


def test_a_moment_that_stands_out_does_not_tilt_the_slope() -> None:
    line = [(float(x), 100 + 2.0 * x) for x in range(20)]
    assert robust_slope(line) == pytest.approx(2.0)
    assert robust_slope([*line[:-1], (19.0, 900.0)]) == pytest.approx(2.0)
    assert slope_per_min(line) == pytest.approx(120.0)


def test_many_points_are_thinned_and_none_have_no_slope() -> None:
    assert robust_slope([(float(x), 3.0 * x) for x in range(5000)]) == pytest.approx(3.0)
    assert robust_slope([]) == robust_slope([(1.0, 5.0)]) == robust_slope([(1.0, 5.0), (1.0, 9.0)]) == 0.0


def test_one_stream_more_and_what_lies_beside() -> None:
    found = memory.per_stream([(1, 210.0), (2, 220.0), (4, 240.0), (8, 280.0), (16, 400.0)])
    assert (found["slope_mb"], found["beside_mb"]) == (pytest.approx(10.0, abs=2.5), pytest.approx(200.0, abs=10))


def growing(kb_per_1000: float) -> Iterator[tuple[float, float]]:
    for k in range(40):
        loading = min(k, 8) * 20.0  # the first fifth
        yield 1000.0 * k, 200.0 + loading + kb_per_1000 * k / 1000


@pytest.mark.parametrize(("kb", "flat"), [(0.0, True), (200.0, True), (1500.0, False)])
def test_growth_is_judged_after_the_first_quarter(kb: float, flat: bool) -> None:
    found = memory.over_frames(list(growing(kb)))
    assert found["slope_kb_per_1000_frames"] == pytest.approx(kb)
    assert (found["flat"], found["frames"], found["looks"]) == (flat, 39_000, 40)


def test_too_few_looks_are_no_measurement() -> None:
    with pytest.raises(StreamerError, match="--frames"):
        memory.over_frames(list(growing(0.0))[:5])


def test_the_table_of_memory_says_whether_it_is_flat() -> None:
    result = {
        "clip": {"name": "face.mp4"},
        "machine": {"cpu": "a CPU"},
        "base_mb": 74.0,
        "supervisor_mb": 74.0,
        "streams": memory.per_stream([(1, 210.0), (2, 220.0)]),
        "at_speed": memory.over_frames(list(growing(1500.0))),
    }
    text = memory.table(result)
    assert "it grows" in text
    assert "10.00, on 200.0 of the process" in text
