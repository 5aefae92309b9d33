"""Stop anywhere, go on elsewhere: the records are the same bytes."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.config import StateSettings
from streamer.errors import SnapshotRefused
from streamer.messages import Observation, Record, Track
from streamer.state.actor import StreamActor
from streamer.state.codec import PART_BYTES, peek, seal, stream_key, track_key, unseal
from streamer.state.head_batch import HeadNeeds
from streamer.state.heads import MeanHead, PassthroughHead, TemporalHead
from streamer.state.records import StreamContext
from streamer.state.snapshot import Restored, SnapshotSet, keys_of, restore, take
from streamer.types import Counters, FrameFaces
from tests.unit.state.scenes import (
    ArithmeticHead,
    D,
    actor_for,
    bytes_of,
    context,
    everything_head,
    face,
    frame,
    probs_of,
    random_scene,
    step,
)

HEADS: tuple[TemporalHead, ...] = (
    PassthroughHead(),
    MeanHead(),
    ArithmeticHead(HeadNeeds("probs", False, 5, 0, 4)),
    ArithmeticHead(HeadNeeds("none", True, 3)),
    ArithmeticHead(HeadNeeds(context=("gap_s",))),
    ArithmeticHead(HeadNeeds("mean", False, 6, D)),
    everything_head(),
)
WINDOW = 4


class Store:
    """A compacted topic: the newest value of each key."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}

    def write(self, snapshot: SnapshotSet) -> None:
        assert not set(snapshot.puts) & set(snapshot.tombstones)
        self.values |= snapshot.puts
        for key in snapshot.tombstones:
            del self.values[key]


def resume(
    values: dict[bytes, bytes], head: TemporalHead, context_: StreamContext | None = None, window: int = WINDOW
) -> Restored:
    return restore(context_ or context(), StateSettings(window=window), head.needs, Counters(), values)


def run(actor: StreamActor, head: TemporalHead, scene: list[FrameFaces]) -> list[Record]:
    return [record for seen in scene for record in step(actor, head, seen)]


@given(
    seed=st.integers(0, 2**32 - 1),
    head=st.sampled_from(HEADS),
    n=st.integers(1, 60),
    cuts=st.lists(st.integers(0, 60), max_size=4),
)
@settings(derandomize=True, max_examples=120, deadline=None)
def test_an_archive_resumes_as_if_it_had_never_stopped(seed: int, head: TemporalHead, n: int, cuts: list[int]) -> None:
    scene = random_scene(seed, n)
    unbroken = actor_for(head, WINDOW)
    expected = bytes_of([*run(unbroken, head, scene), *unbroken.finish("end_of_stream")])

    store, made, begin = Store(), [], 0
    actor = actor_for(head, WINDOW)
    for cut in sorted(min(cut, n) for cut in cuts):
        made += bytes_of(run(actor, head, scene[begin:cut]))
        store.write(take(actor, {"frame": cut}, {"next": cut}))
        # What was computed after the last snapshot is lost with the process.
        run(actor, head, scene[cut : cut + 3])
        restored = resume(store.values, head)
        actor, begin = restored.actor, restored.position["frame"]
        assert (begin, restored.tracker, restored.cold, restored.done) == (cut, {"next": cut}, (), False)
    made += bytes_of([*run(actor, head, scene[begin:]), *actor.finish("end_of_stream")])
    assert made == expected


def test_only_changed_tracks_are_written_and_the_dead_are_deleted() -> None:
    head, rng = MeanHead(), np.random.default_rng(0)
    actor = actor_for(head, WINDOW)
    keys = [track_key("lobby", Track(epoch=0, number=i)) for i in range(4)]
    step(actor, head, frame(0, [face(0, probs_of(rng)), face(1, probs_of(rng))]))
    assert list(take(actor, {}, None).puts) == [keys[0], keys[1], b"lobby"]
    assert list(take(actor, {}, None).puts) == [b"lobby"]
    step(actor, head, frame(1, [face(1, probs_of(rng)), face(2, probs_of(rng))], ended=[0]))
    changed = take(actor, {}, None)
    assert list(changed.puts) == [keys[1], keys[2], b"lobby"]
    assert changed.tombstones == [keys[0]]
    # Track 3 comes and goes between two snapshots: nobody ever wrote it, nobody deletes it.
    step(actor, head, frame(2, [face(3, probs_of(rng))]))
    step(actor, head, frame(3, ended=[3]))
    assert take(actor, {}, None).tombstones == []
    assert list(take(actor, {}, None, full=True).puts) == [keys[1], keys[2], b"lobby"]
    actor.finish("end_of_stream")
    last = take(actor, {"frames": 4}, None, done=True)
    assert (list(last.puts), last.tombstones) == ([b"lobby"], [keys[1], keys[2]])
    assert resume(last.puts, head).done


def test_position_and_tracker_come_back_with_arrays() -> None:
    actor = actor_for(PassthroughHead(), WINDOW)
    position = {"pts": -(2**33), "media_time_s": 1.25, "phase": [1, None], "map": {"offset_s": 0.1}}
    boxes = np.arange(8, dtype=np.float32).reshape(2, 4)
    tracker = {"boxes": boxes, "next": 12}
    restored = resume(take(actor, position, tracker).puts, PassthroughHead())
    assert restored.position == position
    assert restored.tracker["next"] == 12
    assert np.array_equal(restored.tracker["boxes"], boxes)


def test_parts_that_a_smaller_value_no_longer_has_are_deleted() -> None:
    actor, store = actor_for(PassthroughHead(), WINDOW), Store()
    store.write(take(actor, {"large": np.random.default_rng(0).bytes(2 * PART_BYTES)}, None))
    assert len(store.values) == 3
    again = resume(store.values, PassthroughHead()).actor
    store.write(take(again, {"large": b""}, None))
    assert list(store.values) == [b"lobby"]


def live(epoch: int) -> StreamContext:
    return context("live", epoch, session=f"{epoch}.0")


def test_a_take_over_numbers_anew_and_names_the_epoch_before() -> None:
    head = MeanHead()
    scene = [frame(i, [face(0, probs_of(np.random.default_rng(i)))]) for i in range(12)]
    first = actor_for(head, WINDOW, live(7))
    run(first, head, scene[:6])
    store = Store()
    store.write(take(first, {}, None))
    second = resume(store.values, head, live(9)).actor
    seen = [record for record in run(second, head, scene[6:]) if isinstance(record, Observation)]
    assert [(o.epoch, o.seq) for o in seen] == [(9, i) for i in range(6)]
    assert [(o.prev_epoch, o.prev_seq) for o in seen] == [(7, 5)] + [(None, None)] * 5
    assert [o.state for o in seen] == ["restored"] * 3 + ["warm"] * 3
    assert {(o.track.epoch, o.track.number) for o in seen} == {(7, 0)}
    assert [o.state_age_s for o in seen] == [round(i / 25, 6) for i in range(6, 12)]
    # The tracks topic says nothing new: the face never left. Its first record of the epoch will name the one before.
    left = second.finish("interrupted")[-1]
    assert (left.seq, left.prev_epoch, left.prev_seq) == (0, 7, 0)
    # Probabilities are kept in full, so the answers of a head that reads those alone are the unbroken ones.
    unbroken = actor_for(head, WINDOW, live(7))
    whole = [r for r in run(unbroken, head, scene) if isinstance(r, Observation)]
    assert [o.probs for o in seen] == [o.probs for o in whole[6:]]


def test_a_take_over_of_a_take_over_is_restored_until_a_whole_block_has_passed_again() -> None:
    head = MeanHead()  # its block is WINDOW
    scene = [frame(i, [face(0, probs_of(np.random.default_rng(i)))]) for i in range(20)]
    store = Store()
    actor = actor_for(head, WINDOW, live(1))
    states, ages = [], []
    for epoch, (begin, end) in enumerate(((0, 2), (2, 4), (4, 12), (12, 20)), start=1):
        if epoch > 1:
            actor = resume(store.values, head, live(epoch)).actor
        seen = [record for record in run(actor, head, scene[begin:end]) if isinstance(record, Observation)]
        states += [record.state for record in seen]
        ages += [record.state_age_s for record in seen]
        assert {(record.epoch, record.track.epoch) for record in seen} == {(epoch, 1)}
        assert (seen[0].seq, seen[0].prev_epoch) == (0, epoch - 1 if epoch > 1 else None)
        store.write(take(actor, {}, None))
    warm_again = ["restored"] * 3 + ["warm"] * 5
    assert states == ["cold"] * 2 + ["restored"] * 2 + warm_again + warm_again
    assert ages == [round(i / 25, 6) for i in range(20)]


def test_a_restart_under_the_same_epoch_changes_neither_state_nor_age() -> None:
    head = MeanHead()
    scene = [frame(i, [face(0, probs_of(np.random.default_rng(i)))]) for i in range(8)]
    actor = actor_for(head, WINDOW, live(1))
    run(actor, head, scene[:2])
    again = resume(take(actor, {}, None).puts, head, live(1)).actor
    again.begin_session("1.1")
    seen = [record for record in run(again, head, scene[2:]) if isinstance(record, Observation)]
    assert [record.state for record in seen] == ["cold"] + ["warm"] * 5
    assert [(record.session, record.seq) for record in seen] == [("1.1", i) for i in range(2, 8)]


class TestLateOwners:
    """A zombie wrote once more after it had lost the stream: its values lie over those of the owner after it."""

    def two_owners(self) -> tuple[SnapshotSet, SnapshotSet]:
        """What the zombie (epoch 3) writes late, and what the owner (epoch 5) wrote before that."""
        head, rng = PassthroughHead(), np.random.default_rng(0)
        first = actor_for(head, WINDOW, live(3))
        step(first, head, frame(0, [face(1, probs_of(rng)), face(2, probs_of(rng))]))
        owner = resume(take(first, {"by": 3}, None).puts, head, live(5)).actor
        step(first, head, frame(1, [face(1, probs_of(rng)), face(2, probs_of(rng))]))
        step(owner, head, frame(1, [face(1, probs_of(rng)), face(2, probs_of(rng)), face(3, probs_of(rng))]))
        return take(first, {"by": 3}, None), take(owner, {"by": 5}, None)

    def test_a_late_track_starts_cold_and_the_others_go_on(self) -> None:
        late, good = self.two_owners()
        key = track_key("lobby", Track(epoch=3, number=1))
        restored = resume(good.puts | {key: late.puts[key]}, PassthroughHead(), live(8))
        assert [track.number for track, _ in restored.cold] == [1]
        assert "of epoch 3 and the stream's of 5" in restored.cold[0][1]
        assert sorted(restored.actor.tracks) == [2, 3]
        assert take(restored.actor, {}, None).tombstones == [key]

    def test_a_late_checkpoint_goes_on_with_its_own_tracks_and_names_the_owner_it_did_not_know(self) -> None:
        late, good = self.two_owners()
        key = track_key("lobby", Track(epoch=3, number=1))
        values = good.puts | {name: late.puts[name] for name in (key, b"lobby")}
        restored = resume(values, PassthroughHead(), live(8))
        assert restored.position == {"by": 3}
        assert [track.number for track, _ in restored.cold] == [2]
        assert sorted(restored.actor.tracks) == [1]
        status = restored.actor.status("live", Counters())
        assert (status.prev_epoch, status.prev_seq) == (5, None)
        gone = {track_key("lobby", Track(epoch=epoch, number=n)) for epoch, n in ((3, 2), (5, 3))}
        assert set(take(restored.actor, {}, None).tombstones) == gone

    def test_what_a_later_owner_wrote_is_not_taken_by_an_earlier(self) -> None:
        late, good = self.two_owners()
        key = track_key("lobby", Track(epoch=3, number=1))
        restored = resume(late.puts | {key: good.puts[key]}, PassthroughHead(), live(4))
        assert [track.number for track, _ in restored.cold] == [1]
        assert restored.actor.recorder.previous is not None
        assert restored.actor.recorder.previous.epoch == 3


def test_a_full_snapshot_deletes_again_what_may_not_have_arrived() -> None:
    head, rng = PassthroughHead(), np.random.default_rng(0)
    actor = actor_for(head, WINDOW)
    keys = [track_key("lobby", Track(epoch=0, number=i)) for i in range(2)]
    step(actor, head, frame(0, [face(0, probs_of(rng)), face(1, probs_of(rng))]))
    take(actor, {}, None)
    step(actor, head, frame(1, [face(1, probs_of(rng))], ended=[0]))
    assert take(actor, {}, None).tombstones == [keys[0]]
    step(actor, head, frame(2, ended=[1]))
    assert take(actor, {}, None).tombstones == [keys[1]]
    assert take(actor, {}, None).tombstones == []
    assert take(actor, {}, None, full=True).tombstones == keys
    step(actor, head, frame(3, [face(2, probs_of(rng))]))
    take(actor, {}, None)
    assert set(keys_of(actor)) == {*keys, track_key("lobby", Track(epoch=0, number=2)), b"lobby"}


def test_the_epoch_before_is_remembered_until_a_topic_has_its_first_record() -> None:
    head = PassthroughHead()
    first = actor_for(head, WINDOW, live(7))
    run(first, head, [frame(0, [face(0, probs_of(np.random.default_rng(1)))])])
    second = resume(take(first, {}, None).puts, head, live(8)).actor
    snapshot = take(second, {}, None)
    assert track_key("lobby", Track(epoch=7, number=0)) in snapshot.puts, "a new owner writes everything at once"
    again = resume(snapshot.puts, head, live(8)).actor
    left = again.finish("lost")[-1]
    assert (left.prev_epoch, left.prev_seq) == (7, 0)
    third = resume(snapshot.puts, head, live(9)).actor
    status = third.status("live", Counters())
    assert (status.seq, status.prev_epoch, status.prev_seq) == (0, 8, None)


def test_a_track_born_after_a_take_over_belongs_to_the_new_epoch() -> None:
    head = PassthroughHead()
    first = actor_for(head, WINDOW, live(7))
    second = resume(take(first, {}, {"next": 4}).puts, head, live(9)).actor
    (_, seen) = step(second, head, frame(0, [face(4, probs_of(np.random.default_rng(1)))]))
    assert isinstance(seen, Observation)
    assert (seen.track, seen.state) == (Track(epoch=9, number=4), "cold")


def test_the_gap_goes_on_across_a_restore_and_a_take_over() -> None:
    """Also where the last observation is in the open window, and where it closed one."""
    head = ArithmeticHead(HeadNeeds(context=("gap_s",)))
    rng = np.random.default_rng(4)
    for n_before in (3, WINDOW, WINDOW + 1):
        first = actor_for(head, WINDOW, live(1))
        run(first, head, [frame(i, [face(0, probs_of(rng))]) for i in range(n_before)])
        values = take(first, {}, None).puts
        for epoch in (1, 2):
            again = resume(values, head, live(epoch)).actor
            pending = again.observe(frame(n_before + 12, [face(0, probs_of(rng))]))
            assert pending.inputs.context is not None
            assert pending.inputs.context.tolist() == [[np.float32((n_before + 12) / 25 - (n_before - 1) / 25)]]


def test_a_track_whose_last_time_is_no_number_is_refused() -> None:
    head = PassthroughHead()
    actor = actor_for(head, WINDOW)
    step(actor, head, frame(0, [face(0, probs_of(np.random.default_rng(0)))]))
    values = dict(take(actor, {}, None).puts)
    key = track_key("lobby", Track(epoch=0, number=0))
    header, body, _ = unseal(values, key)
    body["window"]["to_s"] = float("nan")
    values |= seal(key, header.kind, header.stream, header.epoch, header.seq, body)
    with pytest.raises(SnapshotRefused, match="time that is none"):
        resume(values, head)


def test_live_features_are_kept_in_half_precision() -> None:
    head = ArithmeticHead(HeadNeeds("min_max_mean", False, 8, D))
    rng = np.random.default_rng(5)
    scene = [frame(i, [face(0, probs_of(rng), 30 * rng.normal(size=D).astype(np.float32))]) for i in range(12)]
    exact, first = actor_for(head, WINDOW, live(1)), actor_for(head, WINDOW, live(1))
    run(exact, head, scene[:8])
    run(first, head, scene[:8])
    second = resume(take(first, {}, None).puts, head, live(2)).actor
    for seen in scene[8:]:
        a, b = exact.observe(seen), second.observe(seen)
        assert a.inputs.stat is not None
        assert b.inputs.stat is not None
        # Half precision: 11 bits of mantissa, so half a unit is 2**-11 of the largest number of the block.
        assert np.allclose(a.inputs.stat, b.inputs.stat, rtol=0, atol=2**-11 * 128)
        probs = np.r_[D : D + 7, 2 * D + 7 : 2 * D + 14, 3 * D + 14 : 3 * D + 21]
        assert np.array_equal(a.inputs.stat[:, probs], b.inputs.stat[:, probs])
        exact.resolve(a, head.infer_all([a.inputs])[0])
        second.resolve(b, head.infer_all([b.inputs])[0])


def test_live_a_missing_or_damaged_track_starts_cold_and_says_so() -> None:
    head, rng = MeanHead(), np.random.default_rng(2)
    first = actor_for(head, WINDOW, live(1))
    for i in range(6):
        step(first, head, frame(i, [face(k, probs_of(rng)) for k in range(3)]))
    values = dict(take(first, {}, None).puts)
    keys = [track_key("lobby", Track(epoch=1, number=i)) for i in range(3)]
    del values[keys[0]]
    values[keys[1]] = values[keys[1]][:-9]
    restored = resume(values, head, live(2))
    assert [track.number for track, _ in restored.cold] == [0, 1]
    records = step(restored.actor, head, frame(6, [face(k, probs_of(rng)) for k in range(3)]))
    assert [r.state for r in records if isinstance(r, Observation)] == ["cold", "cold", "restored"]
    # The damaged value is of no further use.
    assert take(restored.actor, {}, None).tombstones == [keys[1]]


def test_in_an_archive_the_set_is_whole_or_refused() -> None:
    head = MeanHead()
    actor = actor_for(head, WINDOW)
    step(actor, head, frame(0, [face(0, probs_of(np.random.default_rng(0)))]))
    values = dict(take(actor, {}, None).puts)
    del values[track_key("lobby", Track(epoch=0, number=0))]
    with pytest.raises(SnapshotRefused, match="there is no snapshot"):
        resume(values, head)


def test_values_nobody_names_are_put_down_for_deletion() -> None:
    head, rng = PassthroughHead(), np.random.default_rng(0)
    zombie = actor_for(head, WINDOW, live(3))
    step(zombie, head, frame(0, [face(5, probs_of(rng))]))
    orphan = {k: v for k, v in take(zombie, {}, None).puts.items() if b"/" in k}
    owner = actor_for(head, WINDOW, live(4))
    step(owner, head, frame(0, [face(5, probs_of(rng))]))
    restored = resume(orphan | take(owner, {}, None).puts, head, live(5))
    assert take(restored.actor, {}, None).tombstones == list(orphan)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"model": "other@1#00000000"}, "model"),
        ({"precision": "bf16"}, "precision"),
        ({"run": "r-2"}, "run"),
        ({"session": "another-file"}, "session"),
    ],
)
def test_what_another_model_or_run_made_is_refused(change: dict[str, Any], named: str) -> None:
    values = take(actor_for(PassthroughHead(), WINDOW), {}, None).puts
    with pytest.raises(SnapshotRefused, match=named):
        resume(values, PassthroughHead(), dataclasses.replace(context(), **change))


def test_another_window_or_a_later_epoch_is_refused() -> None:
    values = take(actor_for(PassthroughHead(), WINDOW, live(5)), {}, None).puts
    with pytest.raises(SnapshotRefused, match="window 4, not 8"):
        resume(values, PassthroughHead(), live(6), window=8)
    with pytest.raises(SnapshotRefused, match="another worker owns"):
        resume(values, PassthroughHead(), live(4))
    with pytest.raises(SnapshotRefused, match="there is no snapshot"):
        resume({}, PassthroughHead(), live(6))


def test_a_live_runs_name_may_change_with_its_owner() -> None:
    values = take(actor_for(PassthroughHead(), WINDOW, live(5)), {}, None).puts
    assert resume(values, PassthroughHead(), dataclasses.replace(live(6), run="r-2")).cold == ()


def sample_values() -> dict[bytes, bytes]:
    head = everything_head()
    actor = actor_for(head, WINDOW)
    run(actor, head, random_scene(3, 25))
    return take(actor, {"frame": 25}, {"next": 3}).puts


@given(data=st.data())
@settings(derandomize=True, max_examples=200, deadline=None)
def test_bodies_that_lie_are_refused_or_good_to_use(data: st.DataObject) -> None:
    """Fields gone, or of another kind, behind a good checksum."""
    values = sample_values()
    key = data.draw(st.sampled_from(sorted(values)))
    header, body, _ = unseal(values, key)
    field = data.draw(st.sampled_from(sorted(body)))
    lies: list[Any] = [None, -1, 10**9, "x", [], {}, [[0, 99]], float("nan"), np.full((5, 7), np.nan, np.float32)]
    lies += [np.zeros((5, 7), np.uint8), np.zeros(4, np.float32), b"", True, {"": 0}]
    if data.draw(st.booleans()):
        del body[field]
    else:
        body[field] = data.draw(st.sampled_from(lies))
    values |= seal(key, header.kind, header.stream, header.epoch, header.seq, body)
    try:
        restored = resume(values, everything_head())
    except SnapshotRefused:
        return
    for record in [*run(restored.actor, everything_head(), random_scene(4, 3)), *restored.actor.finish("lost")]:
        assert bytes_of([record])


def test_headers_tell_the_newest_without_the_body() -> None:
    actor = actor_for(PassthroughHead(), WINDOW, live(5))
    headers = [peek(take(actor, {}, None).puts[stream_key("lobby")]) for _ in range(3)]
    assert [(h.kind, h.stream, h.epoch, h.seq) for h in headers] == [("stream", "lobby", 5, i) for i in range(3)]


@pytest.mark.parametrize(
    ("mode", "d", "s", "kib"), [("live", 256, 32, 22), ("archive", 256, 32, 34), ("live", 2048, 128, 455)]
)
def test_sizes(mode: Any, d: int, s: int, kib: int) -> None:
    """Of features that are noise; what networks give is smaller."""
    rng = np.random.default_rng(0)
    needs = HeadNeeds("min_max_mean", False, s, d, 256)
    actor = StreamActor(context(mode, 1), StateSettings(window=s), needs, Counters())
    pending = actor.observe(frame(0, [face(0, probs_of(rng), np.ones(d, np.float32))]))
    actor.resolve(pending, ArithmeticHead(needs).infer(pending.inputs))
    track = actor.tracks[0]
    assert track.ring is not None
    track.ring.restore(rng.normal(size=(s, d + 7)).astype(np.float32))
    track.h, track.c = rng.normal(size=(2, 256)).astype(np.float32)
    snapshot = take(actor, {}, None)
    values = [value for key, value in snapshot.puts.items() if b"/" in key]
    assert kib - 5 <= sum(map(len, values)) / 1024 <= kib
    assert max(map(len, values)) <= PART_BYTES + 300


def test_a_head_that_reads_probs_alone_stores_no_features() -> None:
    head = ArithmeticHead(HeadNeeds("probs", False, 32, 0, 256))
    actor = actor_for(head, 32)
    step(actor, head, frame(0, [face(0, probs_of(np.random.default_rng(0)), np.ones(256, np.float32))]))
    assert sum(map(len, take(actor, {}, None).puts.values())) < 5 * 1024
