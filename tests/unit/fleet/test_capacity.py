from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streamer.fleet.capacity import ASSUMED_FPS, TOLERANCE, Capacity, Demand, rate_of


def test_what_exceeds_the_streams_waits_with_a_sentence() -> None:
    share = Capacity(max_streams=2).share([Demand(name, 5.0) for name in "abc"], [])
    assert share.run == {"a", "b"}
    assert share.waiting == {"c": "waiting for capacity: this worker carries 2 of at most 2 streams"}


def test_a_higher_priority_takes_the_place_of_a_running_stream_and_an_equal_one_does_not() -> None:
    capacity = Capacity(max_streams=1)
    assert capacity.share([Demand("a", 5.0), Demand("z", 5.0)], ["z"]).run == {"z"}
    assert capacity.share([Demand("a", 5.0, priority=1), Demand("z", 5.0)], ["z"]).run == {"a"}


def test_frames_a_second_are_shared_out_and_a_small_stream_takes_what_is_left() -> None:
    share = Capacity(max_fps=30.0).share([Demand("a", 25.0), Demand("b", 10.0), Demand("c", 5.0)], [])
    assert share.run == {"a", "c"}
    assert "25 of at most 30 frames/s and it needs 10" in share.waiting["b"]


def test_a_stream_that_can_never_fit_is_told_so() -> None:
    share = Capacity(max_fps=20.0).share([Demand("a", 25.0)], [])
    assert "sample_fps" in share.waiting["a"]


def test_running_streams_keep_their_places_while_rates_waver() -> None:
    capacity = Capacity(max_fps=50.0)
    demands = [Demand("a", 26.0), Demand("b", 26.0)]
    assert capacity.share(demands, ["a", "b"]).run == {"a", "b"}
    assert capacity.share(demands, ["a"]).run == {"a"}


def test_connections_to_one_host_are_bounded() -> None:
    demands = [Demand(name, 5.0, host="cam") for name in "abc"] + [Demand("d", 5.0, host="other"), Demand("e", 5.0)]
    share = Capacity(host_streams=2).share(demands, ["c"])
    assert share.run == {"a", "c", "d", "e"}
    assert share.waiting["b"].startswith("waiting for its host")


def test_a_rate_is_what_is_asked_for_and_no_more_than_there_is() -> None:
    assert rate_of(None, None) == ASSUMED_FPS
    assert rate_of(2.0, None) == 2.0
    assert rate_of(None, 12.5) == 12.5
    assert rate_of(50.0, 25.0) == 25.0


@st.composite
def demands(draw: st.DrawFn) -> list[Demand]:
    names = draw(st.lists(st.sampled_from("abcdefghij"), unique=True))
    rate, priority = st.floats(0.5, 60.0), st.integers(0, 2)
    host = st.sampled_from([None, "x", "y"])
    return [Demand(name, draw(rate), draw(priority), draw(host)) for name in names]


@given(demands(), st.sets(st.sampled_from("abcdefghij")), st.integers(0, 5), st.floats(0.0, 200.0), st.integers(0, 3))
def test_everyone_runs_or_waits_limits_hold_and_nothing_moves_twice(
    asked: list[Demand], running: set[str], max_streams: int, max_fps: float, host_streams: int
) -> None:
    capacity = Capacity(max_streams, max_fps, host_streams)
    share = capacity.share(asked, running)
    assert share.run | set(share.waiting) == {demand.stream for demand in asked}
    assert not share.run & set(share.waiting)
    assert all(share.waiting.values())
    by_name = {demand.stream: demand for demand in asked}
    assert not max_streams or len(share.run) <= max_streams
    assert not max_fps or sum(by_name[name].rate_fps for name in share.run) <= max_fps * TOLERANCE + 1e-6
    for host in "xy":
        assert not host_streams or sum(by_name[name].host == host for name in share.run) <= host_streams
    again = capacity.share(reversed(asked), share.run)
    assert again.run >= share.run, "who runs stays"
    if not max_fps and not host_streams:  # without those no smaller stream slips in
        for name in share.waiting:
            assert all(by_name[other].priority >= by_name[name].priority for other in share.run)
