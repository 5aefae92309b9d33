from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import pytest

from engines.errors import EngineError
from streamer.config import Config, DetectSettings, GateSettings
from streamer.counting import STAGE_BUCKETS_S
from streamer.errors import ModelError
from streamer.faces.chains import Chain
from streamer.faces.detect import Detected
from streamer.faces.standing import Standing
from streamer.faces.track import Tracker
from streamer.messages import Observation, Record, TrackEvent, encode
from streamer.pipeline import SLICE_FACES, Pipeline, StageTimes, StreamState
from streamer.pixels import Picture
from streamer.state.actor import StreamActor
from streamer.state.codec import seal, unseal
from streamer.state.head_batch import HeadBatch, HeadNeeds, HeadOutput
from streamer.state.heads import PassthroughHead, TemporalHead
from streamer.state.records import StreamContext
from streamer.state.snapshot import restore, take
from streamer.types import Counters, Detections, Frame, Sight
from tests.unit.state.scenes import ArithmeticHead
from tests.unit.worker.rig import FAILING_WIDTH, NAN_LEVEL, SomeFaces, frame, models

CONFIG = Config(detect=DetectSettings(interval_s=0.0))
REFINING = Config()


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


def test_each_pass_of_a_stage_is_counted_by_its_wall_time_and_told() -> None:
    wall = iter([1.0, 1.02, 5.0, 5.3])
    times = StageTimes(wall=lambda: next(wall))
    told: list[tuple[str, float, float]] = []
    times.watch = lambda *what: told.append(what)
    for _ in range(2):
        with times.stage("embed"):
            pass
    counted = times.passes["embed"].counted
    assert counted.n == 2
    assert counted.sum == pytest.approx(0.32)
    assert [counted.counts[STAGE_BUCKETS_S.index(bound)] for bound in (0.025, 0.5)] == [1, 1]
    assert told == [("embed", 1.0, 1.02), ("embed", 5.0, 5.3)]


def test_every_stage_of_a_step_is_timed() -> None:
    times = StageTimes()
    state = stream("a", PassthroughHead())
    Pipeline(models(), CONFIG, times).step([(state, frame("a", 0))])
    assert set(times.seconds) == {"detect", "track", "align", "embed", "state"}
    assert np.isfinite(list(times.seconds.values())).all()


# -- between two searches of whole pictures ---------------------------------------------------------------------


def test_whole_pictures_are_searched_at_the_interval_and_known_faces_looked_for_in_between() -> None:
    detector = Counting(2)
    state = stream("a", PassthroughHead())
    times = StageTimes()
    made = Pipeline(models(detector), REFINING, times).step([(state, frame("a", n)) for n in range(11)])
    assert [len(seen(records)) for _, records in made] == [2] * 11
    assert {one.reused for _, records in made for one in seen(records)} == {()}, "every frame has fresh points"
    assert [one.detector_score for _, records in made for one in seen(records)[:1]] == pytest.approx(
        [0.9, 0.8, 0.8, 0.8, 0.8] * 2 + [0.9]
    )
    assert (detector.calls, detector.squares) == (3, 2 * 8)  # 25 frames a second, every 0.2 s
    assert state.n_tracks == 2
    assert times.seconds["refine"] >= 0


@pytest.mark.parametrize("sizes", [[20], [3], [1, 7], [4, 1, 1]])
def test_refining_gives_the_same_bytes_whatever_the_batches_and_the_company(sizes: list[int]) -> None:
    gated = msgspec.structs.replace(REFINING, gates=BOTH.gates)
    for config in (REFINING, gated):
        assert records_in(config, sizes, company=True) == records_in(config, [1], company=False)


def records_in(config: Config, sizes: list[int], company: bool) -> list[bytes]:
    """The records of one stream, its frames in batches of these sizes, with or without another stream's among them."""
    head = ArithmeticHead(HeadNeeds("min_max_mean", True, 5, 3, 4))
    state, other = stream("a", head), stream("b", head)
    step = Pipeline(models(SomeFaces(2), head), config, StageTimes()).step
    frames = levels_of(WAVERING)
    made: list[bytes] = []
    at = turn = 0
    while at < len(frames):
        part = frames[at : at + sizes[turn % len(sizes)]]
        at, turn = at + len(part), turn + 1
        batch = [(state, one) for one in part]
        if company:
            batch.insert(len(part) // 2, (other, frame("b", turn, 30 * turn % 250)))
        made += [encode(record) for of, records in step(batch) if of is state for record in records]
    return made


# -- frames that other processes look at ------------------------------------------------------------------------


@dataclasses.dataclass
class _Part:
    start: int
    stop: int
    sights: Sequence[Sight] | None

    def wait(self) -> Sequence[Sight] | None:
        return self.sights


class Helper:
    """Looks at the end of each batch by a pipeline of its own, in parts that begin at these frames."""

    def __init__(self, detector: SomeFaces, begins: Sequence[int], lost: Sequence[int] = ()) -> None:
        self._pipeline = Pipeline(models(detector), REFINING, StageTimes())
        self._begins, self._lost = begins, lost

    def begin(self, batch: Sequence[tuple[Chain, Frame]]) -> Sequence[_Part]:
        cuts = [k for k, (_, one) in enumerate(batch) if k and one.index in self._begins]
        parts = []
        for start, stop in pairwise([*cuts, len(batch)]):
            frames = [one for _, one in batch[start:stop]]
            lost = frames[0].index in self._lost
            parts.append(_Part(start, stop, None if lost else self._pipeline.look(frames)))
        return parts

    def done_here(self, n_frames: int) -> None:
        assert n_frames > 0


@pytest.mark.parametrize("size", [30, 13, 8])
@pytest.mark.parametrize(("begins", "lost"), [((5, 15), ()), ((10,), ()), ((5, 10, 20, 25), (10,)), ((5, 15), (5, 15))])
@pytest.mark.parametrize("detector", [SomeFaces(2), SomeFaces(0)])
@pytest.mark.parametrize("owing", [False, True])
def test_what_others_look_at_gives_the_bytes_of_what_is_looked_at_here(
    size: int, begins: tuple[int, ...], lost: tuple[int, ...], detector: SomeFaces, owing: bool
) -> None:
    head = ArithmeticHead(HeadNeeds("min_max_mean", True, 5, 3, 4))
    frames = [frame("a", n, WAVERING[n % 20], width=FAILING_WIDTH if n == 17 else 64) for n in range(30)]

    def run(helper: Helper | None) -> tuple[list[bytes], Counters]:
        state = stream("a", head)
        state.max_faces = 1
        pipeline = Pipeline(models(detector, head), REFINING, StageTimes(), helper)
        results = []
        for at in range(0, 30, size):
            results += pipeline.step([(state, one) for one in frames[at : at + size]], may_owe=owing)
            assert owing or len(results) == min(30, at + size)
        results += pipeline.finish()
        assert len(results) == 30
        made = [encode(record) for _, records in results for record in records]
        return made, state.counters

    assert run(Helper(detector, begins, lost)) == run(None)


# -- gates: what nothing changed in is not worked on again -------------------------------------------------------

STILL = msgspec.structs.replace(CONFIG, gates=GateSettings(still_scene=True, still_max_s=0.1))
SAME = msgspec.structs.replace(CONFIG, gates=GateSettings(same_face=True, same_max_s=0.1))
BOTH = msgspec.structs.replace(
    CONFIG, gates=GateSettings(still_scene=True, still_max_s=0.1, same_face=True, same_max_s=0.15)
)


class Counting(SomeFaces):
    """Counts pictures, not calls."""

    def detect_each(self, pictures: Sequence[Picture]) -> Detected:
        found = super().detect_each(pictures)
        self.calls += len(pictures) - 1
        return found


def levels_of(levels: Sequence[int], stream_id: str = "a") -> list[Frame]:
    return [frame(stream_id, n, level) for n, level in enumerate(levels)]


def reused(config: Config, frames: Sequence[Frame]) -> list[tuple[str, ...]]:
    state = stream("a", PassthroughHead())
    made = Pipeline(models(), config, StageTimes()).step([(state, one) for one in frames])
    return [one.reused for _, records in made for one in seen(records)]


def test_every_frame_is_worked_on_unless_the_settings_allow_less() -> None:
    assert reused(CONFIG, levels_of([100] * 4)) == [()] * 4


def test_a_still_scene_is_searched_again_only_after_a_time_and_says_so() -> None:
    detector = Counting()
    state = stream("a", PassthroughHead())
    made = Pipeline(models(detector), STILL, StageTimes()).step([(state, one) for one in levels_of([100] * 8)])
    said = [one.reused for _, records in made for one in seen(records)]
    assert said == [(), ("search",), ("search",), (), ("search",), ("search",), (), ("search",)]  # 40 ms a frame
    assert detector.calls == 3


def test_a_scene_that_changed_is_searched() -> None:
    assert reused(STILL, levels_of([100, 100, 150, 150])) == [(), ("search",), (), ("search",)]


def test_a_face_that_did_not_change_keeps_the_answer_of_its_last_inference() -> None:
    state = stream("a", PassthroughHead())
    frames = levels_of([100, 101, 101, 150])
    made = Pipeline(models(), SAME, StageTimes()).step([(state, one) for one in frames])
    observations = [one for _, records in made for one in seen(records)]
    assert [one.reused for one in observations] == [(), ("inference",), ("inference",), ()]
    assert observations[0].bare == observations[1].bare == observations[2].bare != observations[3].bare


def test_an_answer_that_failed_does_not_stand() -> None:
    state = stream("a", PassthroughHead())
    frames = levels_of([100, NAN_LEVEL + 2, NAN_LEVEL + 2, 100])
    made = Pipeline(models(), SAME, StageTimes()).step([(state, one) for one in frames])
    assert [[one.reused for one in seen(records)] for _, records in made] == [[()], [], [], [()]]
    assert state.counters.dropped == {"not_finite": 2}


def test_a_search_that_failed_does_not_stand() -> None:
    state = stream("a", PassthroughHead())
    frames = [frame("a", n, width=FAILING_WIDTH) for n in range(3)]
    made = Pipeline(models(), STILL, StageTimes()).step([(state, one) for one in frames])
    assert [seen(records) for _, records in made] == [[], [], []]
    assert state.counters.dropped == {"engine_error": 3}


def test_a_face_that_is_over_is_forgotten() -> None:
    state = stream("a", PassthroughHead())
    detector = SomeFaces(1)
    step = Pipeline(models(detector), SAME, StageTimes()).step
    step([(state, frame("a", 0))])
    detector.n = 0
    step([(state, frame("a", n)) for n in range(1, 40)])
    assert state.standing.faces == {}


WAVERING = [100, 101, 102, 180, 181, 180, 100, 100, 103, 109, 115, 90, 90, 90, 91, 92, 240, 240, 240, 100]


@pytest.mark.parametrize("sizes", [[20], [3], [1, 7], [4, 1, 1]])
def test_gates_give_the_same_bytes_whatever_the_batches_and_the_company(sizes: list[int]) -> None:
    assert records_in(BOTH, sizes, company=True) == records_in(BOTH, [1], company=False)


@pytest.mark.parametrize("config", [BOTH, msgspec.structs.replace(REFINING, gates=BOTH.gates)])
@pytest.mark.parametrize("at", [1, 2, 5, 9, 14])
def test_an_archive_that_is_resumed_anywhere_gives_the_bytes_of_one_that_was_not(at: int, config: Config) -> None:
    """What stands, and where faces are looked for, depends on what was seen before: a checkpoint must hold it."""
    head = ArithmeticHead(HeadNeeds("min_max_mean", True, 5, 3, 4))
    step = Pipeline(models(Crowd([30, 31, 29, 33]), head), config, StageTimes()).step
    frames = levels_of(WAVERING)

    def run(state: StreamState, part: Sequence[Frame]) -> list[bytes]:
        state.max_faces = 3
        return [encode(record) for one in part for _, records in step([(state, one)]) for record in records]

    whole = run(stream("a", head), frames)
    state = stream("a", head)
    first = run(state, frames[:at])
    values = take(state.actor, {}, state.snapshot(exact=True)).puts
    found = restore(state.actor.context, CONFIG.state, head.needs, Counters(), values)
    tracker = Tracker(CONFIG.track)
    tracker.restore(found.tracker)
    resumed = StreamState(tracker, found.actor, Counters(), standing=Standing.restored(found.tracker))
    assert first + run(resumed, frames[at:]) == whole
    assert any(b"inference" in one for one in whole)
    assert any(b"search" in one for one in whole) == (config is BOTH)


def test_a_live_snapshot_holds_nothing_that_stands() -> None:
    state = stream("a", PassthroughHead())
    gated = msgspec.structs.replace(REFINING, gates=BOTH.gates)
    Pipeline(models(), gated, StageTimes()).step([(state, frame("a", 0))])
    exact, live = state.snapshot(exact=True), state.snapshot(exact=False)
    assert set(exact) - set(live) == {"scene", "faces", "chain"}
    kept: dict[str, Any] = unseal(seal(b"k", "stream", "a", 0, 0, live), b"k")[1]
    assert Standing.restored(kept) == Standing()


# -- budgets: a crowd is not all worked on -------------------------------------------------------------------------


class Crowd(SomeFaces):
    """Faces side by side of these heights in pixels of a 48-pixel picture."""

    def __init__(self, heights: list[float]) -> None:
        super().__init__(len(heights))
        self.heights = heights

    def _faces(self, picture: Picture) -> Detections:
        found = super()._faces(picture)
        return dataclasses.replace(found, face_px=np.array(self.heights, np.float32))


def test_of_a_crowd_the_largest_are_analysed_and_the_rest_is_counted() -> None:
    state = stream("a", PassthroughHead())
    state.max_faces = 2
    detector = Crowd([10, 40, 20, 30])
    step = Pipeline(models(detector), CONFIG, StageTimes()).step
    [(_, records)] = step([(state, frame("a", 0))])
    assert [one.track.number for one in seen(records)] == [2, 4]
    assert state.counters.dropped == {"budget": 2}
    detector.heights = [10, 34, 36, 37]
    [(_, records)] = step([(state, frame("a", 1))])
    assert [one.track.number for one in seen(records)] == [2, 4], "close sizes do not change who is seen"
    state.max_faces = 0
    [(_, records)] = step([(state, frame("a", 2))])
    assert len(seen(records)) == 4
    assert (state.counters.faces, state.counters.dropped) == (8, {"budget": 4})


# -- others may pass while a crowd is worked on --------------------------------------------------------------------


def test_between_the_faces_of_a_crowd_frames_of_others_are_stepped_and_nothing_differs() -> None:
    head = ArithmeticHead(HeadNeeds("min_max_mean", True, 5, 3, 4))
    n_faces = 2 * SLICE_FACES + 1

    def run(interleaved: bool) -> tuple[list[bytes], list[bytes]]:
        crowd, quiet = stream("crowd", head), stream("quiet", head)
        steps = Pipeline(models(SomeFaces(n_faces), head), CONFIG, StageTimes())
        waiting = levels_of([100, 120, 140], "quiet")
        passed: list[bytes] = []

        def let_pass() -> None:
            made = steps.step([(quiet, waiting.pop(0))])
            passed.extend(encode(record) for _, records in made for record in records)

        [(_, records)] = steps.step([(crowd, frame("crowd", 0))], let_pass if interleaved else None)
        while waiting:
            let_pass()
        return [encode(record) for record in records], passed

    assert run(interleaved=True) == run(interleaved=False)


def test_others_may_pass_once_before_every_few_faces() -> None:
    calls: list[int] = []
    state = stream("a", PassthroughHead())
    for n_faces, n_calls in ((0, 0), (1, 1), (SLICE_FACES, 1), (SLICE_FACES + 1, 2)):
        calls.clear()
        steps = Pipeline(models(SomeFaces(n_faces)), CONFIG, StageTimes())
        steps.step([(state, frame("a", n_faces))], lambda: calls.append(1))
        assert len(calls) == n_calls
