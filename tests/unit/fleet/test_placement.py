from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.fleet.placement import Assignment, Placement


def test_streams_go_to_the_child_with_the_fewest() -> None:
    placement = Placement(n_children=2, slots=2, max_restarts=3)
    for name in "abcde":
        placement.add(name, live=False)
    assert placement.due() == [
        Assignment("a", 0, 0),
        Assignment("b", 1, 0),
        Assignment("c", 0, 0),
        Assignment("d", 1, 0),
    ]
    assert placement.due() == []
    placement.ended("b")
    assert placement.due() == [Assignment("e", 1, 0)]
    assert placement.unfinished == 4


def test_live_streams_never_wait_for_a_slot() -> None:
    placement = Placement(n_children=1, slots=1, max_restarts=3)
    for name in "abc":
        placement.add(name, live=True)
    assert [one.stream for one in placement.due()] == ["a", "b", "c"]


def die(placement: Placement, child: int, *, live: bool = False) -> tuple[list[str], list[str]]:
    """A child dies and what can be resumed is added again, as its owner does."""
    resumed, given_up = placement.died(child)
    for name in resumed:
        placement.add(name, live=live)
    return resumed, given_up


def test_the_streams_of_a_dead_child_are_placed_again() -> None:
    placement = Placement(n_children=2, slots=4, max_restarts=3)
    for name in "abcd":
        placement.add(name, live=False)
    placement.due()
    assert die(placement, 0) == (["a", "c"], [])
    assert {one.stream: one.restarts for one in placement.due()} == {"a": 1, "c": 1}


def test_a_stream_that_killed_two_children_runs_alone_and_is_then_given_up() -> None:
    placement = Placement(n_children=2, slots=4, max_restarts=2)
    placement.add("poison", live=False)
    placement.due()
    die(placement, 0)
    [again] = placement.due()
    die(placement, again.child)
    for name in "ab":
        placement.add(name, live=False)
    placed = {one.stream: one.child for one in placement.due()}
    assert placed["a"] != placed["poison"]
    assert placed["b"] != placed["poison"]
    assert die(placement, placed["poison"]) == ([], ["poison"])
    placement.add("c", live=False)
    assert placement.due()[0].child == placed["poison"]


def test_with_few_restarts_the_last_chance_is_taken_alone() -> None:
    """So that a stream is never given up for what a neighbour did."""
    placement = Placement(n_children=1, slots=4, max_restarts=1)
    for name in ("good", "poison"):
        placement.add(name, live=False)
    assert len(placement.due()) == 2
    assert die(placement, 0) == (["good", "poison"], [])
    assert [one.stream for one in placement.due()] == ["good"]
    placement.ended("good")
    assert [one.stream for one in placement.due()] == ["poison"]
    assert die(placement, 0) == ([], ["poison"])
    assert placement.unfinished == 0


def test_a_suspected_live_stream_does_not_wait_for_others_that_never_end() -> None:
    placement = Placement(n_children=2, slots=4, max_restarts=3)
    for name in "abcd":
        placement.add(name, live=True)
    placed = {one.stream: one.child for one in placement.due()}
    assert placed == {"a": 0, "b": 1, "c": 0, "d": 1}
    for _ in range(2):
        die(placement, 0, live=True)
        placed |= {one.stream: one.child for one in placement.due()}
    assert set(placed) == set("abcd")
    assert placed["b"] == placed["d"] == 1
    alone = {placed["a"], placed["c"]}
    assert alone == {0, 2}
    placement.add("e", live=True)
    assert placement.due()[0].child == 1
    placement.ended("c")
    placement.add("f", live=True)
    assert placement.due()[0].child not in alone - {placed["c"]}


@settings(derandomize=True, max_examples=150)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(0, 3), st.data())
def test_whatever_dies_every_archive_stream_ends_and_only_the_guilty_are_given_up(
    n_children: int, slots: int, max_restarts: int, data: st.DataObject
) -> None:
    streams = data.draw(st.lists(st.sampled_from("abcdefgh"), unique=True, min_size=1))
    poisonous = {name for name in streams if data.draw(st.booleans())}
    placement = Placement(n_children, slots, max_restarts)
    for name in streams:
        placement.add(name, live=False)
    running: dict[str, int] = {}
    given_up: set[str] = set()
    for _ in range(200):
        for one in placement.due():
            running[one.stream] = one.child
            assert one.restarts <= max_restarts
        if not placement.unfinished:
            break
        assert running, "streams wait and nothing runs"
        name = data.draw(st.sampled_from(sorted(running)))
        if name in poisonous:
            child = running[name]
            resumed, lost = die(placement, child)
            assert sorted(resumed + lost) == sorted(one for one, at in running.items() if at == child)
            running = {one: at for one, at in running.items() if at != child}
            given_up |= set(lost)
        else:
            placement.ended(name)
            del running[name]
    assert placement.unfinished == 0
    assert poisonous <= given_up
    if max_restarts and len(poisonous) <= 1:
        assert given_up == poisonous


def test_a_stream_that_ran_well_for_long_is_forgiven_and_may_have_company() -> None:
    placement = Placement(1, 4, max_restarts=3)
    for _ in range(2):
        placement.add("camera", live=True)
        placement.due()
        placement.died(0)
    placement.add("camera", live=True)
    [alone] = placement.due()
    placement.add("other", live=True)
    assert [(one.child != alone.child, one.restarts) for one in placement.due()] == [(True, 0)]
    placement.forgive("camera")
    placement.ended("other")
    placement.add("other", live=True)
    assert [one.child for one in placement.due()] == [alone.child]
    placement.died(alone.child)
    placement.add("camera", live=True)
    assert [one.restarts for one in placement.due()] == [1]
