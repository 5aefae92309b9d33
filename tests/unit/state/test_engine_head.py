"""A head in a real engine: what it reads counts, whose row is whose is kept, and it resumes bit for bit."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import pytest

from engines.runtime import open_head
from engines.runtime.protocol import InputArray
from engines.zoo import load_head
from streamer.config import StateSettings
from streamer.errors import ModelError
from streamer.messages import Observation, Record
from streamer.state.actor import StreamActor
from streamer.state.head_batch import HeadBatch
from streamer.state.heads import EngineHead
from streamer.state.snapshot import restore, take
from streamer.types import Counters, FloatArray
from tests.heads import write_test_head
from tests.unit.state.scenes import CONTEXT, D, actor_for, bytes_of, context, face, frame, probs_of, random_scene, step

WINDOW, HIDDEN = 5, 8


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> EngineHead:
    folder = tmp_path_factory.mktemp("head")
    spec, path = load_head(write_test_head(folder, "min_max_mean", WINDOW, D, HIDDEN, context=CONTEXT))
    return EngineHead(open_head(path, spec, precision="fp32", cache=folder), spec)


def batch_after(head: EngineHead, n_frames: int, n_faces: int = 3) -> HeadBatch:
    """What the head reads of tracks that have been seen for a while."""
    actor, rng = actor_for(head), np.random.default_rng(2)
    for i in range(n_frames):
        faces = [face(k, probs_of(rng), rng.normal(size=D).astype(np.float32)) for k in range(n_faces)]
        pending = actor.observe(frame(i, faces))
        actor.resolve(pending, head.infer_all([pending.inputs])[0])
    return pending.inputs


@pytest.mark.parametrize("what", ["h", "c", "stat", "features", "probs", "context"])
def test_everything_it_reads_changes_the_answer(head: EngineHead, what: str) -> None:
    batch = batch_after(head, 7)
    part = getattr(batch, what)
    assert np.abs(part).min(axis=1).max() > 0
    without = dataclasses.replace(batch, **{what: np.zeros_like(part)})
    assert np.abs(head.infer(batch).probs - head.infer(without).probs).max(axis=1).min() > 1e-4


def test_a_new_track_starts_from_zero_and_carries_what_the_head_said(head: EngineHead) -> None:
    first = batch_after(head, 1)
    assert first.h is not None
    assert first.c is not None
    assert not first.h.any()
    assert not first.c.any()
    second = batch_after(head, 2)
    answered = head.infer(first)
    for carried, said in ((second.h, answered.h), (second.c, answered.c)):
        assert carried is not None
        assert said is not None
        assert np.array_equal(carried, said)


def test_the_order_and_the_company_of_tracks_do_not_matter(head: EngineHead) -> None:
    batch = batch_after(head, 6, n_faces=5)
    whole = head.infer(batch)
    order = [3, 0, 4, 2, 1]
    shuffled = head.infer_all([batch.row(i) for i in order])
    for place, i in enumerate(order):
        single = head.infer(batch.row(i))
        for name in ("probs", "valence", "arousal", "h", "c"):
            expected = getattr(whole, name)[i].tobytes()
            assert getattr(shuffled[place], name)[0].tobytes() == expected
            assert getattr(single, name)[0].tobytes() == expected


def test_answers_outlive_the_next_call(head: EngineHead) -> None:
    batch = batch_after(head, 4)
    first = head.infer(batch)
    kept = first.probs.copy()
    head.infer(batch_after(head, 9))
    assert np.array_equal(first.probs, kept)


def test_an_archive_resumes_bit_for_bit_through_the_engine(head: EngineHead) -> None:
    scene = random_scene(12, 40)

    def run(actor: StreamActor, begin: int, end: int) -> list[bytes]:
        return [b for seen in scene[begin:end] for b in bytes_of(step(actor, head, seen))]

    expected = run(actor_for(head), 0, 40)
    actor = actor_for(head)
    made = run(actor, 0, 23)
    values = take(actor, {}, None).puts
    resumed = restore(context(), StateSettings(window=4), head.needs, Counters(), values).actor
    assert made + run(resumed, 23, 40) == expected


def test_a_row_of_nan_is_dropped_and_its_neighbours_are_not(head: EngineHead) -> None:
    batch = batch_after(head, 6, n_faces=3)
    assert batch.features is not None
    features = batch.features.copy()
    features[1, 0] = np.nan
    output = head.infer_all([dataclasses.replace(batch, features=features)])[0]
    assert output.causes == (None, "not_finite", None)
    assert output.probs[[0, 2]].tobytes() == head.infer(batch).probs[[0, 2]].tobytes()


def test_untrained_on_people_its_valence_and_arousal_are_derived(head: EngineHead) -> None:
    records: list[Record] = step(actor_for(head), head, frame(0, [face(0, probs_of(np.random.default_rng(0)))]))
    (seen,) = [record for record in records if isinstance(record, Observation)]
    assert seen.va_origin == "derived"
    assert -1 <= seen.valence <= 1


def test_a_batch_of_another_shape_is_refused_by_name(head: EngineHead) -> None:
    batch = batch_after(head, 1)
    with pytest.raises(ModelError, match="reads `stat`"):
        head.infer(dataclasses.replace(batch, stat=np.zeros((3, 21), np.float32)))
    with pytest.raises(ModelError, match="reads `context`"):
        head.infer(dataclasses.replace(batch, context=np.zeros((3, 4), np.float32)))
    with pytest.raises(ModelError, match="was given nothing"):
        head.infer_all([dataclasses.replace(batch, h=None)])


class Forgetful:
    """A runner whose network does not answer the state that its spec names."""

    precision = "fp32"
    device = "CPU"

    def infer(self, inputs: Mapping[str, InputArray]) -> dict[str, FloatArray]:
        return {"probs": np.asarray(inputs["probs"], np.float32)}

    def close(self) -> None:
        pass


def test_a_head_that_answers_less_than_it_says_is_refused(head: EngineHead) -> None:
    with pytest.raises(ModelError, match="must answer `h`"):
        EngineHead(Forgetful(), head.spec).infer(batch_after(head, 1))
