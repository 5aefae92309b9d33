from __future__ import annotations

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


def test_the_streams_of_a_dead_child_are_placed_again() -> None:
    placement = Placement(n_children=2, slots=4, max_restarts=3)
    for name in "abcd":
        placement.add(name, live=False)
    placement.due()
    assert placement.died(0) == (["a", "c"], [])
    assert {one.stream: one.restarts for one in placement.due()} == {"a": 1, "c": 1}


def test_a_stream_that_killed_two_children_runs_alone_and_is_then_given_up() -> None:
    placement = Placement(n_children=2, slots=4, max_restarts=2)
    placement.add("poison", live=False)
    placement.due()
    placement.died(0)
    [again] = placement.due()
    placement.died(again.child)
    for name in "ab":
        placement.add(name, live=False)
    placed = {one.stream: one.child for one in placement.due()}
    assert placed["a"] != placed["poison"]
    assert placed["b"] != placed["poison"]
    assert placement.died(placed["poison"]) == ([], ["poison"])
    placement.add("c", live=False)
    assert placement.due()[0].child == placed["poison"]
