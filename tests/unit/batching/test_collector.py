from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.batching.collector import Collector


def collector(**lanes: str) -> Collector[str, int]:
    policy: Collector[str, int] = Collector(max_frames=4, max_wait_s=0.01)
    for name, mode in lanes.items():
        policy.open(name, "live" if mode == "live" else "archive", 2)
    return policy


def test_a_full_live_lane_gives_back_its_oldest_frame() -> None:
    policy = collector(a="live")
    assert [policy.offer("a", n, 0.0) for n in range(4)] == [None, None, 0, 1]
    assert policy.take() == [("a", 2), ("a", 3)]


def test_a_full_archive_lane_refuses_and_loses_nothing() -> None:
    policy = collector(a="archive")
    policy.offer("a", 1, 0.0)
    policy.offer("a", 2, 0.0)
    assert not policy.has_room("a")
    with pytest.raises(ValueError, match="full"):
        policy.offer("a", 3, 0.0)
    assert policy.take() == [("a", 1), ("a", 2)]


def test_a_batch_is_shared_fairly_between_streams() -> None:
    policy: Collector[str, int] = Collector(max_frames=3, max_wait_s=0.01)
    for name in "abcd":
        policy.open(name, "archive", 8)
        for n in range(2):
            policy.offer(name, n, 0.0)
    assert policy.take() == [("a", 0), ("b", 0), ("c", 0)]
    assert policy.take() == [("d", 0), ("a", 1), ("b", 1)]
    assert policy.take() == [("c", 1), ("d", 1)]


def test_a_batch_waits_for_company_only_so_long() -> None:
    policy = collector(a="live", b="live")
    assert policy.due_in_s(0.0) is None
    policy.offer("a", 1, 1.0)
    assert policy.due_in_s(1.0) == pytest.approx(0.01)
    assert policy.due_in_s(1.02) == 0.0


def test_a_batch_is_due_at_once_when_nobody_could_add_to_it() -> None:
    policy = collector(a="archive", b="archive")
    policy.offer("a", 1, 1.0)
    policy.end("b")
    assert policy.due_in_s(1.0) == pytest.approx(0.01)
    policy.offer("a", 2, 1.0)
    assert policy.due_in_s(1.0) == 0.0


def test_an_ended_lane_is_finished_only_when_drained() -> None:
    policy = collector(a="archive")
    policy.offer("a", 1, 0.0)
    policy.end("a")
    assert policy.finished() == []
    policy.take()
    assert policy.finished() == ["a"]
    assert policy.close("a") == []


@settings(derandomize=True, max_examples=200)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=60))
def test_every_live_frame_is_delivered_in_order_or_given_back(steps: list[tuple[str, bool]]) -> None:
    policy = collector(a="live", b="live", c="live")
    seen: dict[str, list[int]] = {"a": [], "b": [], "c": []}
    gone: dict[str, list[int]] = {"a": [], "b": [], "c": []}
    for number, (stream, taking) in enumerate(steps):
        dropped = policy.offer(stream, number, 0.0)
        if dropped is not None:
            gone[stream].append(dropped)
        if taking:
            for name, item in policy.take():
                seen[name].append(item)
    for name in seen:
        seen[name] += policy.close(name)
        offered = [number for number, (stream, _) in enumerate(steps) if stream == name]
        assert seen[name] == sorted(seen[name])
        assert sorted(seen[name] + gone[name]) == offered


def test_while_archives_are_held_back_live_frames_go_on() -> None:
    collector: Collector[str, int] = Collector(max_frames=4, max_wait_s=0.01)
    collector.open("file", "archive", 2)
    collector.open("camera", "live", 2)
    collector.offer("file", 1, 0.0)
    collector.offer("file", 2, 0.0)
    collector.archives_held = True
    assert collector.due_in_s(9.0) is None
    assert collector.take() == []
    collector.offer("camera", 3, 1.0)
    assert collector.due_in_s(1.02) == 0.0
    assert collector.take() == [("camera", 3)]
    collector.archives_held = False
    assert collector.take() == [("file", 1), ("file", 2)]
