"""Figures of live load, out of measurements that are made up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from streamer.bench import latency, load, marks, startup, streams
from streamer.bench.marks import ChildMarks, FrameMark, Sample
from streamer.errors import StreamerError

PLAN = load.Plan(2, fps=10, measure_s=2.0)
COSTS = {
    name: {"cpu_s_per_frame": cost}
    for name, cost in (("decode", 0.001), ("resize", 0.5), ("detect", 0.008), ("align", 0.5), ("embed", 0.001))
}


def frame(at_s: float, *, lost: bool = False, work: str = "a", took_s: float = 0.05) -> FrameMark:
    if lost:
        return FrameMark(work, at_s, at_s + 0.001)
    return FrameMark(work, at_s, at_s + 0.001, at_s + 0.011, at_s + 0.021, at_s + 0.031, at_s + took_s)


def child(*frames: FrameMark, dropped: int = 0) -> ChildMarks:
    causes = {False: {"queue_full": 0}, True: {"queue_full": dropped}}
    samples = [Sample(t, 0.5 * t, 10 * t, causes[t >= 12], 0.05 * t) for t in (9, 10, 11, 12, 13)]
    return ChildMarks(list(frames), samples, [(10.0, 1), (11.0, 3), (13.0, 8)])


def every(work: str, lost: int = 0) -> list[FrameMark]:
    """Frames at 10 a second from 9 s to 13 s, the first `lost` of those from 10 s on lost."""
    return [frame(9 + k / 10, lost=10 <= k < 10 + lost, work=work) for k in range(40)]


def test_percentiles_are_values_that_were_measured() -> None:
    assert marks.spread([]) == {}
    assert marks.spread([5.0, 1.0, 3.0]) == {"p50": 3.0, "p95": 5.0, "p99": 5.0, "max": 5.0, "n": 3}
    hundred = marks.spread([float(k) for k in range(1, 101)])
    assert (hundred["p50"], hundred["p95"], hundred["p99"]) == (50.0, 95.0, 99.0)


def test_stages_add_up_to_the_latency() -> None:
    frames = [frame(1.0), frame(2.0, took_s=0.2), frame(3.0, lost=True)]
    found = marks.stages_s(frames)
    assert [len(values) for values in found.values()] == [2] * 5
    assert [sum(parts) for parts in zip(*found.values(), strict=True)] == pytest.approx(marks.latencies_s(frames))
    assert found["publish"] == pytest.approx([0.019, 0.169])


def test_a_frame_without_faces_has_no_latency() -> None:
    mark = FrameMark("a", 1.0, 1.001, 1.01, 1.02)
    assert marks.latencies_s([mark]) == []
    assert not any(marks.stages_s([mark]).values())


def test_cpu_seconds_are_those_of_the_window() -> None:
    samples = [Sample(0.0, 0.0, 0, {}), Sample(1.0, 1.0, 0, {}, 0.1), Sample(2.0, 3.0, 0, {}, 0.5)]
    assert marks.cpu_s(samples, (0.5, 1.5)) == pytest.approx(1.5)
    assert marks.publish_s(samples, (0.5, 1.5)) == pytest.approx(0.25)
    with pytest.raises(StreamerError, match="warm up"):
        marks.cpu_s(samples, (-1.0, 1.0))
    with pytest.raises(StreamerError, match="ended, or hung"):
        marks.cpu_s(samples, (1.0, 9.0))


def test_drops_are_those_between_two_samples() -> None:
    samples = [Sample(0.0, 0.0, 0, {"late": 2}), Sample(1.0, 0.0, 0, {"late": 2, "queue_full": 1})]
    assert marks.dropped(samples, (0.5, 1.5)) == {"queue_full": 1}
    assert marks.dropped(samples, (0.0, 0.5)) == {}


def test_marks_survive_their_file(tmp_path: Path) -> None:
    whole = child(frame(1.0), frame(2.0, lost=True))
    whole.write(tmp_path / "one")
    assert ChildMarks.read(tmp_path / "one") == whole


def test_figures_of_a_window() -> None:
    spent = {"supervisor_s": 0.2, "broker_s": 0.4, "generator_s": 0.6}
    found = load.figures([child(*every("a")), child(*every("b", 3), dropped=3)], (10.0, 12.0), PLAN, spent, 8)
    assert (found["frames_due"], found["frames_offered"], found["frames_analysed"]) == (40, 40, 37)
    assert found["missing_share"] == found["lost_share"] == pytest.approx(3 / 40)
    assert found["dropped"] == {"queue_full": 3}
    assert found["latency_s"]["p50"] == pytest.approx(0.05)
    assert (found["frames_per_batch"], found["batch_fill"]) == (2.0, 0.25)
    assert found["cpu"]["children_s"] == pytest.approx(2.0)
    assert found["cpu"]["publish_s"] == pytest.approx(0.2)
    assert found["publish_share"] == pytest.approx(0.1)
    assert found["cpu_s_per_frame"] == pytest.approx(2.2 / 37)
    assert found["cores_for_others"] == pytest.approx(0.5)
    assert load.free_cores(found, cores=2) == pytest.approx(1.5)


def test_a_stream_that_falls_behind_loses_nothing_and_misses_much() -> None:
    found = load.figures([child(*every("a"))], (10.0, 12.0), PLAN, {}, 8)
    assert (found["lost_share"], found["missing_share"]) == (0.0, 0.5)
    assert not streams.is_held(found, exact=True)
    assert not streams.is_held(found, exact=False)


def test_no_marks_are_told_of() -> None:
    with pytest.raises(StreamerError, match="no worker process left any marks"):
        load.figures([], (10.0, 12.0), PLAN, {}, 8)


@pytest.mark.parametrize(
    ("lost", "missing", "exact", "held"),
    [
        (0.0, 0.0, True, True),
        (0.0009, 0.0009, True, True),
        (0.001, 0.001, True, False),
        (0.0, 0.005, True, False),
        (0.0, 0.005, False, True),
        (0.002, 0.002, False, False),
        (0.0, 0.02, False, False),
    ],
)
def test_what_counts_as_held(lost: float, missing: float, exact: bool, held: bool) -> None:
    assert streams.is_held({"lost_share": lost, "missing_share": missing}, exact=exact) is held


def test_the_bound_is_of_decode_detect_and_embed() -> None:
    every = dict.fromkeys((*COSTS, "refine"), 1.0)
    assert streams.bound_streams(COSTS, 2, 10, every) == pytest.approx(20)
    assert streams.bound_streams(COSTS, 1.5, 10, every) == pytest.approx(15)
    assert streams.bound_streams(COSTS, 2, 10, every | {"detect": 0.25}) == pytest.approx(50)
    assert streams.bound_streams(COSTS, 2, 10, every, names=tuple(COSTS)) == pytest.approx(2 / 1.01 / 10)
    refining = COSTS | {"refine": {"cpu_s_per_frame": COSTS["detect"]["cpu_s_per_frame"]}}
    assert streams.bound_streams(refining, 2, 10, every | {"detect": 0.25, "refine": 0.75}) == pytest.approx(20)


@pytest.mark.parametrize("limit", [0, 1, 2, 3, 7, 8, 9, 31, 40])
@pytest.mark.parametrize("first", [1, 8, 30, 100])
def test_the_search_finds_the_limit(limit: int, first: int) -> None:
    tried: list[int] = []

    def trial(n_streams: int) -> dict[str, Any]:
        tried.append(n_streams)
        return {"held": n_streams <= limit}

    trials: dict[int, dict[str, Any]] = {}
    assert streams.search(trial, first, trials, most=40) == limit
    assert len(tried) == len(set(tried)) == len(trials) <= 15
    assert max(tried) <= 40
    assert min(tried) >= 1
    if limit < 40:
        assert limit + 1 in trials  # one more was seen to be too many


def test_latencies_are_medians_over_rounds() -> None:
    def held(p99: float, stages: bool = True) -> dict[str, Any]:
        spread = {"p50": 0.01, "p95": 0.02, "p99": p99, "max": p99, "n": 10}
        return {
            "latency_s": spread,
            "stages_s": {stage: spread if stages else {} for stage in marks.STAGES},
            "missing_share": p99,
            "frames_per_batch": 1.0,
            "cpu_s_per_frame": 0.005,
            "publish_share": p99 / 10,
        }

    found = latency.medians([held(0.3), held(0.1), held(0.2, stages=False)])
    assert found["latency_s"]["p99"] == found["missing_share"] == 0.2
    assert found["publish_share"] == pytest.approx(0.02)
    assert found["p99_s_each"] == [0.3, 0.1, 0.2]
    assert found["stages_s"]["queue"]["p99"] == pytest.approx(0.2)
    assert latency.medians([held(0.3, stages=False)])["stages_s"]["queue"] == {}


def test_the_parts_of_a_start_add_up() -> None:
    at_s = dict(zip(startup.MARKS, (100.2, 100.5, 101.0, 101.4, 101.5), strict=True))
    found = startup.split(100.0, at_s, 101.75)
    assert found["total"] == 1.75
    assert sum(found[part] for part in startup.PARTS) == pytest.approx(1.75)
    assert found["models opened"] == pytest.approx(0.4)
    assert startup.middle([found, found, dict.fromkeys(found, 9.0)]) == found
    del at_s["models"]
    with pytest.raises(StreamerError, match="never came to models"):
        startup.split(100.0, at_s, 101.75)


def test_only_the_first_note_of_a_mark_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from streamer.bench.startup_run import FOLDER, noted

    monkeypatch.setenv(FOLDER, str(tmp_path))
    twice = noted(lambda value: value + 1, begins="begun", ends="ended")
    assert [twice(1), twice(2)] == [2, 3]
    found = startup._marks(tmp_path)
    assert set(found) == {"begun", "ended"}
    assert found["begun"] <= found["ended"]
    (tmp_path / "begun@0.5").touch()
    assert startup._marks(tmp_path)["begun"] == 0.5
