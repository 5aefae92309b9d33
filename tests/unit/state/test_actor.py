from __future__ import annotations

import dataclasses
import math

import msgspec
import numpy as np
import pytest

from streamer.config import StateSettings
from streamer.errors import ModelError
from streamer.messages import Observation, Record, Status, TrackEvent, Window
from streamer.state.actor import StreamActor
from streamer.state.head_batch import HeadNeeds, HeadOutput
from streamer.state.heads import MeanHead, PassthroughHead
from streamer.state.va import derived
from streamer.types import EXPRESSIONS, Counters, DropCause, FloatArray, FrameFaces
from tests.unit.state.scenes import (
    ArithmeticHead,
    D,
    actor_for,
    bytes_of,
    context,
    everything_head,
    face,
    frame,
    one_hot,
    probs_of,
    random_scene,
    step,
)

RNG = np.random.default_rng(11)
HAPPY = EXPRESSIONS.index("Happy")


def observations(records: list[Record]) -> list[Observation]:
    return [record for record in records if isinstance(record, Observation)]


def windows(records: list[Record]) -> list[Window]:
    return [record for record in records if isinstance(record, Window)]


def events(records: list[Record]) -> list[TrackEvent]:
    return [record for record in records if isinstance(record, TrackEvent)]


def test_an_observation_says_what_was_seen() -> None:
    actor = actor_for(PassthroughHead())
    probs = probs_of(RNG)
    (appeared, seen) = step(actor, PassthroughHead(), frame(5, [face(7, probs)]))
    assert isinstance(appeared, TrackEvent)
    assert appeared.event == "appeared"
    assert isinstance(seen, Observation)
    p = probs.tolist()
    assert seen.label == EXPRESSIONS[p.index(max(p))] == seen.bare.label
    assert seen.probs == tuple(round(x, 6) for x in p) == seen.bare.probs
    assert seen.confidence == round(max(p), 6)
    assert seen.entropy == round(-sum(x * math.log(x) for x in p), 6)
    assert (seen.valence, seen.arousal) == pytest.approx(derived(p), abs=1e-6)
    assert (seen.va_origin, seen.quality, seen.state, seen.state_age_s) == ("derived", "ok", "cold", 0.0)
    assert seen.box_xywh == (0.1, 0.1, 0.2, 0.5)
    assert (seen.face_px, seen.detector_score, seen.roll_deg, seen.yaw_deg) == (48.0, 0.875, 3.5, -12.25)
    assert (seen.track.epoch, seen.track.number, seen.pts, seen.media_time_s) == (0, 7, 2560, 0.2)
    assert seen.frame == 5
    assert (seen.stream, seen.run, seen.session) == ("lobby", "r-1", "sha-of-the-file")


def test_a_box_is_cut_at_the_edges_of_the_frame() -> None:
    seen = face(0, probs_of(RNG))
    beyond = dataclasses.replace(
        seen, face=dataclasses.replace(seen.face, box_xyxy=np.array([-64, 180, 700, 400], np.float32))
    )
    actor = actor_for(PassthroughHead())
    (seen_record,) = observations(step(actor, PassthroughHead(), frame(0, [beyond])))
    assert seen_record.box_xywh == (0.0, 0.5, 1.0, 0.5)


def test_low_quality_keeps_the_probs_and_gives_no_label() -> None:
    actor = actor_for(PassthroughHead())
    (seen,) = observations(step(actor, PassthroughHead(), frame(0, [face(0, one_hot(HAPPY), quality="low")])))
    assert (seen.label, seen.quality, seen.quality_causes) == (None, "low", ("small",))
    assert seen.probs[HAPPY] == 1.0
    assert seen.bare.label == "Happy"
    assert seen.entropy == 0.0


def test_bare_is_what_the_backbone_said_before_time_was_taken_into_account() -> None:
    head = MeanHead()
    actor = actor_for(head, window=4)
    step(actor, head, frame(0, [face(0, one_hot(0))]))
    (seen,) = observations(step(actor, head, frame(1, [face(0, one_hot(HAPPY))])))
    assert seen.probs == (0.75, 0.0, 0.0, 0.0, 0.25, 0.0, 0.0)
    assert (seen.label, seen.bare.label, seen.bare.probs[HAPPY]) == ("Neutral", "Happy", 1.0)
    assert (seen.valence, seen.arousal) == (round(0.25 * 0.81, 6), round(0.25 * 0.51, 6))


def test_seq_counts_each_topic_from_zero_and_ids_never_repeat() -> None:
    head = everything_head()
    actor = actor_for(head)
    records: list[Record] = []
    for seen in random_scene(4, 80):
        records += step(actor, head, seen)
    records += actor.finish("end_of_stream")
    for kind in (Observation, Window, TrackEvent):
        numbered = [record for record in records if isinstance(record, kind)]
        assert [record.seq for record in numbered] == list(range(len(numbered)))
        assert len({record.id for record in numbered}) == len(numbered) > 3
        times = [record.media_time_s for record in numbered]
        assert times == sorted(times)


def test_a_pts_that_comes_again_in_a_later_segment_has_another_id() -> None:
    actor = actor_for(PassthroughHead())
    first = step(actor, PassthroughHead(), frame(3, [face(0, one_hot(0))], segment=0))
    again = step(actor, PassthroughHead(), frame(3, [face(0, one_hot(0))], segment=1))
    assert observations(first)[0].pts == observations(again)[0].pts
    assert observations(first)[0].id != observations(again)[0].id


def test_a_new_session_keeps_the_tracks_and_changes_the_ids() -> None:
    head = MeanHead()
    actor = actor_for(head)
    (first,) = observations(step(actor, head, frame(0, [face(0, one_hot(0))])))
    actor.begin_session("7.2")
    (after,) = observations(step(actor, head, frame(0, [face(0, one_hot(HAPPY))])))
    assert after.session == "7.2"
    assert after.id != first.id
    assert (after.seq, after.track, after.probs[0]) == (1, first.track, 0.75)


def test_windows_are_tumbling_blocks_of_s_observations() -> None:
    actor = actor_for(PassthroughHead(), window=3)
    rows = [probs_of(RNG) for _ in range(8)]
    records: list[Record] = []
    for i, row in enumerate(rows):
        records += step(actor, PassthroughHead(), frame(2 * i, [face(1, row)]))
    records += actor.finish("end_of_stream")
    found = windows(records)
    assert [(w.n_observations, w.complete) for w in found] == [(3, True), (3, True), (2, False)]
    assert [(w.from_media_time_s, w.to_media_time_s) for w in found] == [(0.0, 0.16), (0.24, 0.4), (0.48, 0.56)]
    second = np.stack(rows[3:6]).astype(np.float64)
    assert found[1].probs.min == pytest.approx(second.min(axis=0), abs=1e-6)
    assert found[1].probs.max == pytest.approx(second.max(axis=0), abs=1e-6)
    assert found[1].probs.mean == pytest.approx(second.mean(axis=0), abs=1e-6)
    assert found[1].label == EXPRESSIONS[int(second.mean(axis=0).argmax())]
    valences = [derived(row.tolist())[0] for row in rows[3:6]]
    spread = found[1].valence
    assert (spread.min, spread.max, spread.mean) == pytest.approx(
        (min(valences), max(valences), sum(valences) / 3), abs=1e-6
    )


def test_a_window_is_labelled_by_its_good_observations_alone() -> None:
    actor = actor_for(PassthroughHead(), window=3)
    records: list[Record] = []
    for i in range(6):
        good = i == 1
        seen = face(0, one_hot(2 if good else HAPPY), quality="ok" if good else "low")
        records += step(actor, PassthroughHead(), frame(i, [seen]))
    assert [w.label for w in windows(records)] == ["Disgust", None]
    assert windows(records)[0].probs.mean[HAPPY] == round(2 / 3, 6)


def test_a_track_leaves_with_a_summary_of_its_whole_life() -> None:
    actor = actor_for(PassthroughHead(), window=2)
    labels = [HAPPY, HAPPY, 0, HAPPY, 5]
    records: list[Record] = []
    for i, label in enumerate(labels):
        seen = face(9, one_hot(label), quality="low" if i == 4 else "ok")
        records += step(actor, PassthroughHead(), frame(i, [seen]))
    ended = step(actor, PassthroughHead(), frame(30, ended=[9]))
    window, left = ended
    assert isinstance(window, Window)
    assert not window.complete
    assert isinstance(left, TrackEvent)
    assert (left.event, left.cause, left.media_time_s) == ("left", "lost", 1.2)
    life = left.summary
    assert life is not None
    assert (life.from_media_time_s, life.to_media_time_s) == (0.0, 0.16)
    assert (life.n_observations, life.n_low_quality, life.label) == (5, 1, "Happy")
    assert life.shares == (0.25, 0.0, 0.0, 0.0, 0.75, 0.0, 0.0)
    assert life.probs_mean == (0.2, 0.0, 0.0, 0.0, 0.6, 0.2, 0.0)
    assert life.valence.max == 0.81
    assert life.valence.min == -0.63
    assert life.confidence_mean == 1.0
    assert step(actor, PassthroughHead(), frame(31, ended=[9])) == []


def test_a_track_of_low_quality_only_has_no_label_and_no_shares() -> None:
    actor = actor_for(PassthroughHead())
    step(actor, PassthroughHead(), frame(0, [face(0, one_hot(1), quality="low")]))
    left = events(actor.finish("interrupted"))[-1]
    assert left.cause == "interrupted"
    assert left.summary is not None
    assert (left.summary.label, left.summary.shares) == (None, (0.0,) * 7)


def test_state_is_cold_until_the_block_has_filled_once() -> None:
    head = MeanHead()
    actor = actor_for(head, window=3)
    seen = [observations(step(actor, head, frame(10 * i, [face(0, probs_of(RNG))])))[0] for i in range(5)]
    assert [record.state for record in seen] == ["cold", "cold", "warm", "warm", "warm"]
    assert [record.state_age_s for record in seen] == [0.0, 0.4, 0.8, 1.2, 1.6]


def test_a_new_track_never_inherits_anothers_state() -> None:
    head = everything_head()
    scene = [frame(i, [face(0, probs_of(RNG), RNG.normal(size=D).astype(np.float32))]) for i in range(7)]
    newcomer = face(1, probs_of(RNG), np.ones(D, np.float32))
    used, fresh = actor_for(head), actor_for(head)
    for seen in scene:
        step(used, head, seen)
    after = observations(step(used, head, frame(7, [newcomer], ended=[0])))
    alone = observations(step(fresh, head, frame(7, [newcomer])))
    same = {"seq": 0, "id": ""}
    assert [_with(record, **same) for record in after] == [_with(record, **same) for record in alone]
    number_again = observations(step(used, head, frame(8, [face(0, newcomer.embedding.probs, np.ones(D, np.float32))])))
    assert number_again[0].probs == alone[0].probs


def _with(record: Observation, **changes: object) -> Observation:
    changed: Observation = msgspec.structs.replace(record, **changes)
    return changed


def test_tracks_and_streams_share_a_batch_in_any_order() -> None:
    head = everything_head()
    scenes = [random_scene(seed, 25) for seed in (1, 2, 3)]
    alone: list[list[bytes]] = []
    for scene in scenes:
        actor = actor_for(head)
        alone.append([b for seen in scene for b in bytes_of(step(actor, head, seen))])
    actors = [actor_for(head) for _ in scenes]
    together: list[list[bytes]] = [[], [], []]
    for i in range(25):
        order = [(i + k) % 3 for k in range(3)]
        pending = [actors[k].observe(scenes[k][i]) for k in order]
        for k, one, output in zip(order, pending, head.infer_all([p.inputs for p in pending]), strict=True):
            together[k] += bytes_of(actors[k].resolve(one, output))
    assert together == alone


def test_the_head_is_told_of_the_observation_in_the_order_it_asks() -> None:
    head = ArithmeticHead(HeadNeeds(context=("yaw_deg", "gap_s", "face_px", "roll_deg", "detector_score")))
    actor = actor_for(head)
    told: list[list[float]] = []
    for index, score in ((0, 0.75), (1, 0.5), (26, 0.25)):
        seen = face(0, one_hot(0))
        seen = dataclasses.replace(
            seen, face=dataclasses.replace(seen.face, score=score, face_px=30.0 + index), yaw_deg=2.0 * index
        )
        pending = actor.observe(frame(index, [seen]))
        assert pending.inputs.context is not None
        told += pending.inputs.context.tolist()
        actor.resolve(pending, head.infer(pending.inputs))
    # The first of a track has no gap; media time is all that counts, here 1/25 s a frame.
    gaps = [0.0, float(np.float32(1 / 25)), float(np.float32(26 / 25 - 1 / 25))]
    assert told == [
        [0.0, gaps[0], 30.0, 3.5, 0.75],
        [2.0, gaps[1], 31.0, 3.5, 0.5],
        [52.0, gaps[2], 56.0, 3.5, 0.25],
    ]


def test_the_gap_is_to_the_last_observation_that_was_answered_and_of_the_own_track() -> None:
    head = ArithmeticHead(HeadNeeds(context=("gap_s",)))
    actor = actor_for(head)

    def gaps(seen: FrameFaces, causes: tuple[DropCause | None, ...] = ()) -> list[float]:
        pending = actor.observe(seen)
        assert pending.inputs.context is not None
        actor.resolve(pending, dataclasses.replace(head.infer(pending.inputs), causes=causes))
        return [round(gap, 6) for (gap,) in pending.inputs.context.tolist()]

    a, b = face(0, one_hot(0)), face(1, one_hot(1))
    assert gaps(frame(0, [a])) == [0.0]
    assert gaps(frame(5, [a, b]), (None, "engine_error")) == [0.2, 0.0]
    assert gaps(frame(10, [b, a]), (None, "engine_error")) == [0.0, 0.2]
    assert gaps(frame(15, [a, b])) == [0.4, 0.2]
    # Should time ever stand still or go back, no gap is negative.
    assert gaps(frame(15, [a])) == [0.0]
    assert gaps(frame(10, [a])) == [0.0]


def test_a_head_that_asks_for_no_context_is_given_none() -> None:
    pending = actor_for(MeanHead()).observe(frame(0, [face(0, one_hot(0))]))
    assert pending.inputs.context is None


def test_an_embedding_that_is_not_finite_is_dropped_and_leaves_no_trace() -> None:
    head, counters = everything_head(), Counters()
    actor, clean = actor_for(head, counters=counters), actor_for(head)
    poisons: list[FloatArray] = [np.array([np.nan] * 7, np.float32), one_hot(0)]
    for i, seen in enumerate(random_scene(6, 30)):
        if i % 4 == 3:
            bad = [
                face(0, poisons[0]),
                face(99, poisons[1], np.array([1.0, np.inf, 0.0], np.float32)),
                face(98, poisons[1], valence=math.nan, arousal=0.0),
            ]
            assert step(actor, head, frame(i, bad)) == []
            assert step(clean, head, frame(i)) == []
        else:
            assert bytes_of(step(actor, head, seen)) == bytes_of(step(clean, head, seen))
    assert counters.dropped == {"not_finite": 3 * 7}


def test_a_face_without_an_answer_is_dropped_with_the_cause_and_leaves_no_trace() -> None:
    head, counters = everything_head(), Counters()
    actor, clean = actor_for(head, counters=counters), actor_for(head)
    for i, seen in enumerate(random_scene(8, 40)):
        pending = actor.observe(seen)
        output = head.infer_all([pending.inputs])[0]
        fails = i % 3 == 1 and len(pending.faces) > 0
        if fails:
            output = dataclasses.replace(output, causes=("engine_error", *[None] * (len(pending.faces) - 1)))
        expected = dataclasses.replace(seen, faces=seen.faces[1:]) if fails else seen
        assert bytes_of(actor.resolve(pending, output)) == bytes_of(step(clean, head, expected))
    assert counters.dropped["engine_error"] > 5
    assert sorted(actor.tracks) == sorted(clean.tracks)


def test_valence_arousal_is_predicted_only_by_what_learned_from_people() -> None:
    def origin_and_value(backbone: str | None, head: str | None, head_has_it: bool) -> tuple[str, float]:
        needs = HeadNeeds(valence_arousal_trained_on=head)
        trained = dataclasses.replace(context(), valence_arousal_trained_on=backbone)
        actor = StreamActor(trained, StateSettings(), needs, Counters())
        pending = actor.observe(frame(0, [face(0, one_hot(HAPPY), valence=0.25, arousal=1.5)]))
        half = np.array([-0.5], np.float32) if head_has_it else None
        records = actor.resolve(pending, HeadOutput(pending.inputs.probs, half, half))
        (seen,) = observations(records)
        assert events(records)[0].va_origin == seen.va_origin
        return seen.va_origin, seen.valence

    assert origin_and_value(None, None, False) == ("derived", 0.25)
    assert origin_and_value("people", None, False) == ("predicted", 0.25)
    assert origin_and_value("people", None, True) == ("predicted", 0.25)
    assert origin_and_value("people", "people", True) == ("predicted", -0.5)
    assert origin_and_value(None, "people", True) == ("predicted", -0.5)
    assert origin_and_value(None, None, True) == ("derived", -0.5)


def test_status_records_are_numbered_and_carry_the_counters() -> None:
    actor = actor_for(PassthroughHead())
    counters = Counters(decoded=10, analysed=8, dropped={"late": 2})
    first = actor.status("connecting", Counters(), wall_s=1.7e9)
    step(actor, PassthroughHead(), frame(25, [face(0, one_hot(0))]))
    second = actor.status("live", counters, wall_s=1.7e9 + 1, frame_age_s=0.04, reorder_delay_s=0.08)
    assert isinstance(second, Status)
    assert (first.seq, second.seq) == (0, 1)
    assert (first.media_time_s, second.media_time_s, second.pts) == (0.0, 1.0, None)
    assert (second.decoded, second.analysed, second.dropped, second.frame_age_s) == (10, 8, {"late": 2}, 0.04)
    assert (first.reorder_delay_s, second.reorder_delay_s) == (None, 0.08)
    assert second.capture_time_s == 1.7e9 + 1
    assert first.id != second.id


def test_a_head_for_another_backbone_is_refused() -> None:
    head = everything_head()
    with pytest.raises(ModelError, match="3 features"):
        actor_for(head).observe(frame(0, [face(0, one_hot(0), np.zeros(5, np.float32))]))
