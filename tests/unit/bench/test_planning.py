"""What calibration makes of runs, and what the check of the simulator makes of both: on made-up runs."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from streamer.bench import planning
from streamer.bench.calibration import LOADED_FPS, Showing, as_loads, completed, streams_for
from streamer.bench.live_run import LiveRun, between
from streamer.config import Config, DetectSettings
from streamer.messages import RunRecord, SourceResult
from streamer.plan.costs import Costs, Memory, read_costs
from streamer.plan.fleet import WorkerKind, simulate
from streamer.plan.load import Bill, StreamLoad
from tests.unit.plan.examples import EXAMPLE

EVERY_FRAME = Config(detect=DetectSettings(interval_s=0.0))
TWO = WorkerKind(2)
TRUE = msgspec.structs.replace(
    read_costs(EXAMPLE),
    refine=None,
    record_s=0.0,
    memory=Memory(supervisor_bytes=50e6, child_bytes=200e6, stream_bytes=5e6),
)


def run_of(costs: Costs, n_streams: int, fps: float, *, dearer: float = 1.0, others_cores: float = 0.0) -> LiveRun:
    """What a machine with these costs would show, CPU time and what it manages `dearer` times worse."""
    load = StreamLoad(fps, costs.width, costs.height, costs.faces)
    several = [
        simulate(Bill(costs), [[load] * n_streams], TWO, Config(), duration_s=10.0, seed=seed) for seed in range(10, 14)
    ]
    seen = several[0]
    memory = costs.memory
    seconds = 40.0
    analysed = round(seen.analysed_fps * seconds)
    result = SourceResult(stream="a", source="a", state="done", mode="live", analysed=analysed, faces=analysed)
    stages = {
        "publish": seconds * 2 / Config().checkpoint.live_flush_s * costs.flush_s,
        "state": 0.6 * analysed * costs.face_s,
        "encode": 0.4 * analysed * costs.face_s,
    }
    return LiveRun(
        n_streams=n_streams,
        window_s=30.0,
        cpu_s_per_s=statistics.mean(one.cpu_s_per_s for one in several) * dearer,
        supervisor_cpu_s_per_s=costs.supervisor_s,
        others_cores=others_cores,
        decoded_fps=n_streams * fps,
        analysed_fps=seen.analysed_fps / dearer,
        faces_per_frame=1.0,
        dropped_per_s=0.0,
        latencies_s=tuple(one for child, _ in seen.children for one in child.sent_s),
        memory_bytes=memory.supervisor_bytes + 2 * memory.child_bytes + n_streams * memory.stream_bytes,
        supervisor_memory_bytes=memory.supervisor_bytes,
        bytes_by_topic={"observations": (10, 8500), "windows": (0, 0), "track_snapshot": (2, 1300)},
        run=RunRecord(
            run="r", state="done", started_s=100.0, finished_s=100.0 + seconds, stage_s=stages, sources=(result,)
        ),
    )


def test_calibration_finds_the_costs_that_runs_were_made_of() -> None:
    parts = msgspec.structs.replace(
        TRUE, frame_s=0.0, face_s=0.0, flush_s=0.0, acknowledge_s=0.0, supervisor_s=0.0, child_s=0.0, stream_s=0.0
    )
    loaded = streams_for(parts, TWO, LOADED_FPS, 0.0)
    assert loaded == 20, "20 streams of 10 frames/s are about 0.7 of two cores"
    found = completed(parts, (run_of(TRUE, 2, 1), run_of(TRUE, 8, 1), run_of(TRUE, loaded, LOADED_FPS)), TWO, Config())
    assert found.supervisor_s == pytest.approx(TRUE.supervisor_s)
    assert found.flush_s == pytest.approx(TRUE.flush_s)
    assert found.child_s == pytest.approx(TRUE.child_s, abs=0.002)
    assert found.stream_s == pytest.approx(TRUE.stream_s, abs=0.0005)
    assert found.frame_s + found.face_s == pytest.approx(TRUE.frame_s + TRUE.face_s, abs=0.0002)  # of 7.6 ms
    assert found.face_s == pytest.approx(TRUE.face_s, rel=0.15)
    assert found.acknowledge_s == pytest.approx(TRUE.acknowledge_s, abs=0.003)
    assert found.memory == TRUE.memory
    assert (found.records.observation, found.records.window, found.records.track_snapshot) == (850.0, 0.0, 650.0)


def test_parts_that_cost_more_alone_than_in_a_run_leave_nothing_below_zero() -> None:
    dear = msgspec.structs.replace(TRUE, decode_s=0.002)
    found = completed(dear, (run_of(TRUE, 2, 1), run_of(TRUE, 8, 1), run_of(TRUE, 20, LOADED_FPS)), TWO, Config())
    assert min(found.frame_s, found.face_s, found.stream_s, found.child_s, found.acknowledge_s) >= 0.0


@dataclass
class MadeUp:
    """In the place of a `Showing`: a machine that is `dearer` than its costs say."""

    dearer: float = 1.0
    others_cores: float = 0.0
    clip: Path = Path("made-up.mp4")
    width: int = 640
    height: int = 360
    measure_s: float = 30.0
    asked: list[int] = field(default_factory=list)

    def run(self, config: Config, n_streams: int, rate: int) -> LiveRun:
        self.asked.append(n_streams)
        return run_of(TRUE, n_streams, rate, dearer=self.dearer, others_cores=self.others_cores)


def checked(made_up: MadeUp, **arguments: Any) -> dict[str, Any]:
    return planning.run(cast(Showing, made_up), EVERY_FRAME, costs=TRUE, streams=(1, 16), **arguments)


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamer.machine.n_cores", lambda: 2)
    for module in ("calibration", "planning"):
        monkeypatch.setattr(f"streamer.bench.{module}.SIMULATED_S", 6.0)


def test_a_machine_that_does_what_its_costs_say_is_met() -> None:
    made_up = MadeUp()
    result = checked(made_up, repeats=2)
    assert made_up.asked == [1, 16, 1, 16]
    assert result["good"]
    assert result["largest_error"] < 0.1, "what is left is how frames fell beside each other"
    overloaded = result["streams"][-1]
    assert overloaded["offered_fps"] == 400
    assert overloaded["analysed_fps"] < 300
    assert "16" in planning.table(result)
    assert not result["disturbed"]


def test_an_error_beyond_what_is_allowed_is_bad() -> None:
    result = checked(MadeUp(1.25))
    assert not result["good"]
    assert result["streams"][0]["cpu_error"] == pytest.approx(-0.2, abs=0.02)
    assert result["streams"][-1]["analysed_error"] == pytest.approx(0.25, abs=0.02)


def test_a_machine_that_others_use_is_said_to_be_disturbed() -> None:
    result = checked(MadeUp(others_cores=0.5))
    assert result["disturbed"]
    assert "without them" in planning.table(result)


def test_counts_are_taken_between_heartbeats() -> None:
    times, counts = [10.0, 11.0, 12.0], [0.0, 25.0, 75.0]
    assert between(times, counts, 10.5) == 12.5
    assert between(times, counts, 11.5) == 50.0
    assert between(times, counts, 9.0) == 0.0
    assert between(times, counts, 20.0) == 75.0


def test_the_streams_of_a_run_as_the_simulator_takes_them() -> None:
    assert as_loads(run_of(TRUE, 2, 1), TRUE, 1.0) == [StreamLoad(1.0, 640, 360, 1.0)] * 2
