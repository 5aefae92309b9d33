from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from streamer.worker.snapshots import SnapshotSchedule


def run(
    schedule: SnapshotSchedule[str], names: list[str], from_s: float, to_s: float, n_bytes: int = 1
) -> list[tuple[float, str]]:
    """What is taken when, looked at ten times a second."""
    taken = []
    for step in range(int(from_s * 10), int(to_s * 10)):
        now_s = step / 10
        while (name := schedule.next(names, now_s)) is not None:
            schedule.took(name, n_bytes, now_s)
            taken.append((now_s, name))
    return taken


def opened(names: list[str], bytes_per_s: float = 1e9) -> SnapshotSchedule[str]:
    schedule: SnapshotSchedule[str] = SnapshotSchedule(5.0, bytes_per_s)
    for name in names:
        schedule.opened(name, name, 0.0)
    return schedule


@given(st.lists(st.text(min_size=1), min_size=1, max_size=20, unique=True))
def test_each_is_taken_at_once_and_then_every_interval(names: list[str]) -> None:
    taken = run(opened(names), names, 0, 60)
    for name in names:
        times = [at for at, one in taken if one == name]
        assert times[0] == 0
        gaps = [after - before for before, after in pairwise(times)]
        assert 2.4 <= gaps[0] <= 7.7
        assert all(4.8 <= gap <= 5.21 for gap in gaps[1:])


def test_they_are_spread_over_the_interval() -> None:
    names = [f"camera-{n}" for n in range(40)]
    later = [at for at, _ in run(opened(names), names, 0, 20) if at >= 10]
    busiest = max(sum(from_s <= at < from_s + 1 for at in later) for from_s in range(10, 19))
    assert busiest <= 18  # of 40 in 5 s; all 40 if they were in step


@given(st.integers(1, 30), st.integers(1, 5000))
def test_the_bound_on_bytes_holds_and_everybody_has_a_turn(n_streams: int, n_bytes: int) -> None:
    names = [str(n) for n in range(n_streams)]
    taken = run(opened(names, bytes_per_s=2000), names, 0, 300, n_bytes)
    assert (len(taken) - 1) * n_bytes <= 301 * 2000
    assert {name for _, name in taken} == set(names)
    counts = [sum(name == one for _, one in taken) for name in names]
    assert max(counts) - min(counts) <= 1 + max(counts) // 2


def test_lateness_is_seen() -> None:
    names = ["a", "b"]
    schedule = opened(names, bytes_per_s=10)
    assert schedule.late_s(0.0) == 0.0
    run(schedule, names, 0, 1, n_bytes=200)  # 20 s worth
    assert schedule.late_s(10.0) == 10.0
    assert [name for _, name in run(schedule, names, 1, 20, n_bytes=200)] == ["b"]


def test_after_a_loss_all_are_due_in_full_also_those_that_rest() -> None:
    names = ["a", "b"]
    schedule = opened(names)
    run(schedule, names, 0, 1)
    schedule.all_full(1.0)
    assert schedule.next(["a"], 1.0) == "a"
    schedule.took("a", 1, 1.0)
    schedule.opened("b", "b", 2.0)  # its source came back
    assert (schedule.wants_full("a"), schedule.wants_full("b")) == (False, True)
    schedule.keep(["a"])
    assert not schedule.wants_full("b")
    assert schedule.next(names, 2.0) is None
