from __future__ import annotations

from itertools import pairwise

import pytest

from streamer.config import Config
from streamer.plan.capacity import largest, most_streams
from streamer.plan.costs import read_costs
from streamer.plan.fleet import WorkerKind, placed, simulate
from streamer.plan.load import Bill, StreamLoad
from tests.unit.plan.examples import EXAMPLE, ONE_BY_ONE, bare

LOAD = StreamLoad(10.0, 640, 360)
TWO = WorkerKind(2)


def shared_out(n_streams: int, n_workers: int) -> list[list[StreamLoad]]:
    return [[LOAD] * (n_streams // n_workers + (k < n_streams % n_workers)) for k in range(n_workers)]


def test_streams_are_placed_as_a_worker_places_them() -> None:
    assert [len(mine) for mine in placed([LOAD] * 5, TWO, Config())] == [3, 2]
    assert [len(mine) for mine in placed([LOAD], WorkerKind(4, 2), Config())] == [1]


def test_more_workers_never_hurt() -> None:
    outcomes = [simulate(Bill(bare()), shared_out(60, n), TWO, ONE_BY_ONE, duration_s=10.0) for n in range(1, 6)]
    analysed = [outcome.analysed_fps for outcome in outcomes]
    lost = [outcome.lost_share for outcome in outcomes]
    for fewer, more in pairwise(analysed):
        assert more >= 0.998 * fewer, "but for the last frame of each stream"
    assert lost == sorted(lost, reverse=True)
    assert lost[0] > 0.5
    assert lost[-1] == 0.0


def test_one_child_with_streams_has_all_cores_and_two_have_half_each() -> None:
    costs = bare(decode_s=0.01)
    one = simulate(Bill(costs), [[LOAD] * 6], WorkerKind(2, 1), ONE_BY_ONE)
    two = simulate(Bill(costs), [[LOAD] * 12], WorkerKind(2, 2), ONE_BY_ONE)
    assert (len(one.children), one.children[0][0].cores) == (1, 2.0)
    assert two.children[0][0].cores == 1.0
    assert one.lost_share == 0.0
    assert two.lost_share > 0.1


def test_children_alike_are_simulated_once_for_all() -> None:
    outcome = simulate(Bill(bare(supervisor_s=0.1)), [[LOAD] * 10] * 50, TWO, ONE_BY_ONE, duration_s=10.0)
    assert len(outcome.children) == 3
    assert outcome.analysed_fps == pytest.approx(50 * 10 * 10, rel=0.01)
    assert outcome.cpu_s_per_s == pytest.approx(50 * (0.1 + 10 * 10 * 0.01), rel=0.01)
    assert outcome.utilisation == pytest.approx(outcome.cpu_s_per_s / 100)


def test_a_thousand_cameras_are_no_matter() -> None:
    bill = Bill(read_costs(EXAMPLE), 0.2)
    outcome = simulate(bill, shared_out(1000, 50), TWO, Config(), duration_s=60.0)
    assert outcome.analysed_fps == pytest.approx(10_000, rel=0.01)


def test_the_largest_number_is_found() -> None:
    for n in range(8):
        assert largest(lambda k, n=n: k <= n, 7) == n  # type: ignore[misc]


def test_a_worker_holds_what_its_cores_allow_and_less_with_head_room() -> None:
    held, planned, none = most_streams(Bill(bare()), LOAD, TWO, ONE_BY_ONE, (1.0, 0.52, 0.04), duration_s=20.0)
    assert 17 <= held <= 20  # 100 ms of each second a stream, two cores
    assert planned == 10
    assert none == 0
