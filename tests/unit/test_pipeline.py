from __future__ import annotations

import numpy as np
import pytest

from engines.errors import EngineError
from streamer.config import Config
from streamer.errors import ModelError
from streamer.faces.track import Tracker
from streamer.messages import Observation, Record, TrackEvent, encode
from streamer.pipeline import Pipeline, StageTimes, StreamState
from streamer.state.actor import StreamActor
from streamer.state.head_batch import HeadBatch, HeadNeeds, HeadOutput
from streamer.state.heads import PassthroughHead, TemporalHead
from streamer.state.records import StreamContext
from streamer.types import Counters
from tests.unit.state.scenes import ArithmeticHead
from tests.unit.worker.rig import FAILING_WIDTH, NAN_LEVEL, SomeFaces, frame, models

CONFIG = Config()


def stream(name: str, head: TemporalHead) -> StreamState:
    counters = Counters()
    context = StreamContext(name, "r-1", "session", "made-up@1", "fp32")
    return StreamState(Tracker(CONFIG.track), StreamActor(context, CONFIG.state, head.needs, counters), counters)


def pipeline(detector: SomeFaces | None = None, head: TemporalHead | None = None) -> Pipeline:
    return Pipeline(models(detector, head), CONFIG, StageTimes())


def seen(records: list[Record]) -> list[Observation]:
    return [record for record in records if isinstance(record, Observation)]


@pytest.mark.parametrize("batch_sizes", [[12], [5, 7], [2, 3, 7], [3, 1, 8]])
def test_batches_of_any_size_and_company_give_the_bytes_of_one_frame_at_a_time(batch_sizes: list[int]) -> None:
    head = ArithmeticHead(HeadNeeds("min_max_mean", True, 5, 3, 4))
    names = "ababababbaba"
    frames = [frame(name, names[:n].count(name), level=60 + 7 * n) for n, name in enumerate(names)]

    def run(sizes: list[int]) -> dict[str, list[bytes]]:
        states = {name: stream(name, head) for name in "ab"}
        step = pipeline(SomeFaces(2), head).step
        made: dict[str, list[bytes]] = {"a": [], "b": []}
        at = 0
        for size in sizes:
            batch = [(states[one.stream], one) for one in frames[at : at + size]]
            at += size
            for (state, one), (of, records) in zip(batch, step(batch), strict=True):
                assert of is state
                made[one.stream] += [encode(record) for record in records]
        assert {name: state.next_index for name, state in states.items()} == {"a": 6, "b": 6}
        return made

    stepwise = run([1] * 12)
    assert len(stepwise["a"]) == 2 + 6 * 2
    assert run(batch_sizes) == stepwise


def test_a_frame_the_detector_fails_at_is_dropped_and_the_track_lives_on() -> None:
    state = stream("a", PassthroughHead())
    batch = [
        (state, frame("a", 0)),
        (state, frame("a", 1, width=FAILING_WIDTH)),
        (state, frame("a", 2)),
    ]
    results = pipeline().step(batch)
    assert [len(seen(records)) for _, records in results] == [1, 0, 1]
    assert state.counters.dropped == {"engine_error": 1}
    assert (state.counters.analysed, state.next_index, state.n_tracks) == (3, 3, 1)


def test_a_crop_that_is_not_finite_is_dropped_with_its_cause_and_its_neighbour_is_not() -> None:
    bright, good = stream("bright", PassthroughHead()), stream("good", PassthroughHead())
    results = pipeline().step([(bright, frame("bright", 0, level=NAN_LEVEL + 2)), (good, frame("good", 0))])
    assert [len(seen(records)) for _, records in results] == [0, 1]
    assert bright.counters.dropped == {"not_finite": 1}
    assert (bright.counters.faces, good.counters.faces) == (0, 1)
    assert good.counters.dropped == {}


def test_no_faces_is_no_records_and_an_analysed_frame() -> None:
    state = stream("a", PassthroughHead())
    assert pipeline(SomeFaces(0)).step([(state, frame("a", 7))]) == [(state, [])]
    assert (state.counters.analysed, state.next_index, state.faces_now, state.media_time_s) == (1, 8, 0, 7 / 25)


def test_counts_are_those_of_the_records() -> None:
    state = stream("a", PassthroughHead())
    results = pipeline(SomeFaces(3)).step([(state, frame("a", n)) for n in range(4)])
    records = [record for _, made in results for record in made]
    assert state.counters.records == len(records) == 3 + 12
    assert state.counters.faces == len(seen(records)) == 12
    assert sum(isinstance(record, TrackEvent) for record in records) == state.n_tracks == 3


class _Failing(ArithmeticHead):
    def infer(self, batch: HeadBatch) -> HeadOutput:
        raise EngineError("no answer")


def test_a_head_that_fails_drops_its_faces_with_the_cause() -> None:
    head = _Failing(HeadNeeds("probs", False, 5, 0, 4))
    state = stream("a", head)
    results = pipeline(SomeFaces(2), head).step([(state, frame("a", 0))])
    assert seen(results[0][1]) == []
    assert state.counters.dropped == {"engine_error": 2}
    assert (state.counters.faces, state.counters.analysed) == (0, 1)


def test_an_engine_that_cannot_be_prepared_is_a_model_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: object, width: int, height: int) -> None:
        raise EngineError("no memory for it")

    monkeypatch.setattr(SomeFaces, "prepare", refuse)
    with pytest.raises(ModelError, match="no memory"):
        pipeline().prepare((640, 360))


def test_stage_times_add_up_by_stage_and_survive_a_failure() -> None:
    ticks = iter([0.0, 1.0, 10.0, 12.0, 20.0, 25.0])
    times = StageTimes(lambda: next(ticks))
    with times.stage("detect"):
        pass
    with pytest.raises(ValueError, match="x"), times.stage("embed"):
        raise ValueError("x")
    with times.stage("detect"):
        pass
    assert times.seconds == {"detect": 6.0, "embed": 2.0}


def test_every_stage_of_a_step_is_timed() -> None:
    times = StageTimes()
    state = stream("a", PassthroughHead())
    Pipeline(models(), CONFIG, times).step([(state, frame("a", 0))])
    assert set(times.seconds) == {"detect", "track", "align", "embed", "state"}
    assert np.isfinite(list(times.seconds.values())).all()
