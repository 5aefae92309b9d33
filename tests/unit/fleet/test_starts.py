from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.fleet.starts import (
    LONGEST_PAUSE_S,
    PERMANENT,
    PERMANENT_PAUSE_S,
    PROMPT,
    PROMPT_AFTER_S,
    PROMPT_PAUSE_S,
    RAN_LONG_S,
    RAN_WELL_S,
    SLOW_OPENING_S,
    StartGate,
)


def gate(host_starts: int = 4, starts_per_s: float = 10.0) -> StartGate:
    return StartGate(host_starts, starts_per_s, random.Random(1))


def test_a_host_is_opened_a_few_at_a_time_and_holds_up_no_other() -> None:
    starts = gate(host_starts=2)
    for k in range(4):
        starts.want(f"a{k}", "a", 0.0)
    starts.want("b", "b", 0.0)
    assert starts.due(0.0) == ["a0", "a1", "b"]
    assert starts.due(1.0) == []
    starts.opened("a0", 1.0)
    assert starts.due(1.0) == ["a2"]
    starts.failed("a1", "unreachable", 1.0)
    assert starts.due(1.0) == ["a3"]


def test_starts_are_spread_over_time() -> None:
    starts = gate(starts_per_s=10.0)
    for k in range(100):
        starts.want(f"s{k:03}", None, 0.0)
    assert len(starts.due(0.0)) == 10
    assert len(starts.due(0.5)) == 5
    assert len(starts.due(60.0)) == 10, "what was not used is not saved up"


def running(starts: StartGate, now_s: float, stream: str = "s") -> None:
    starts.want(stream, None, now_s)
    assert starts.due(now_s) == [stream]
    starts.opened(stream, now_s)


def test_pauses_grow_to_a_few_seconds_and_begin_anew_once_it_ran() -> None:
    starts = gate()
    starts.want("s", None, 0.0)
    now_s, pauses = 0.0, []
    for _ in range(12):
        assert starts.due(now_s) == ["s"]
        pauses.append(starts.failed("s", "unreachable", now_s))
        assert starts.due(now_s + pauses[-1] * 0.99) == []
        now_s += pauses[-1]
    assert all(
        0.5 * min(LONGEST_PAUSE_S, 2.0**k) <= pause <= min(LONGEST_PAUSE_S, 2.0**k) for k, pause in enumerate(pauses)
    )
    starts.due(now_s)
    starts.opened("s", now_s)
    assert starts.failed("s", "unreachable", now_s + 1.0) >= LONGEST_PAUSE_S / 2, "it only flaps"
    starts.due(now_s + 100.0)
    starts.opened("s", now_s + 100.0)
    assert starts.failed("s", "unreachable", now_s + 200.0) <= 1.0


def test_the_longest_pause_and_an_opening_end_within_ten_seconds() -> None:
    starts = gate()
    starts.want("s", None, 0.0)
    for _ in range(1000):
        starts.due(0.0)
        assert starts.failed("s", "unreachable", 0.0) + 3.0 < 10.0


@pytest.mark.parametrize("cause", sorted(PROMPT))
def test_what_ended_as_it_should_is_tried_again_at_once_unless_it_never_ran(cause: str) -> None:
    starts = gate()
    running(starts, 0.0)
    for k in range(1, 4):  # an address that expires every few seconds is no failure
        now_s = k * 2 * PROMPT_AFTER_S
        assert starts.failed("s", cause, now_s) <= PROMPT_PAUSE_S
        assert starts.due(now_s + PROMPT_PAUSE_S) == ["s"]
        starts.opened("s", now_s + PROMPT_PAUSE_S)
    now_s = 100.0
    pauses = []
    for _ in range(6):  # opened, and over at once
        pauses.append(starts.failed("s", cause, now_s))
        now_s += pauses[-1]
        assert starts.due(now_s) == ["s"]
        starts.opened("s", now_s)
    assert min(pauses[3:]) >= LONGEST_PAUSE_S / 2


def test_the_first_silence_after_a_long_run_costs_no_pause_the_next_one_does() -> None:
    starts = gate()
    running(starts, 0.0)
    assert starts.failed("s", "stalled", RAN_LONG_S) <= PROMPT_PAUSE_S
    assert starts.due(RAN_LONG_S + 1.0) == ["s"]
    assert starts.failed("s", "stalled", RAN_LONG_S + 2.0) >= 0.5
    running(starts, 100.0)
    assert starts.failed("s", "stalled", 100.0 + RAN_LONG_S / 2) >= 0.5


def test_a_camera_that_flaps_but_runs_in_between_is_tried_soon_each_time() -> None:
    starts = gate()
    running(starts, 0.0)
    now_s = 0.0
    for _ in range(20):
        now_s += RAN_WELL_S
        now_s += (pause_s := starts.failed("s", "unreachable", now_s))
        assert pause_s <= 1.0
        assert starts.due(now_s) == ["s"]
        starts.opened("s", now_s)


@pytest.mark.parametrize("cause", sorted(PERMANENT))
def test_what_ran_before_is_given_up_slowly_whatever_it_answers(cause: str) -> None:
    """A camera that starts up says 404 for a while."""
    starts = gate()
    running(starts, 0.0)
    now_s, pauses = 5.0, []
    for _ in range(10):
        now_s += starts.failed("s", "unreachable", now_s)
        assert starts.due(now_s) == ["s"]
    starts.opened("s", now_s)
    for _ in range(12):
        pauses.append(starts.failed("s", cause, now_s))
        now_s += pauses[-1]
        assert starts.due(now_s) == ["s"]
    assert sum(pauses[:3]) <= 7.0, "also after many failures of another kind"
    assert pauses[-1] >= PERMANENT_PAUSE_S / 2


def test_what_can_run_does_not_queue_behind_hundreds_that_are_down() -> None:
    starts = gate(starts_per_s=5.0)
    down = [f"down{k}" for k in range(300)]
    for name in down:
        starts.want(name, None, 0.0)
    now_s = 0.0
    while now_s < 120.0:
        for name in starts.due(now_s):
            starts.failed(name, "unreachable", now_s)
        now_s += 0.2
    starts.want("new", None, now_s)
    assert starts.due(now_s)[0] == "new"
    tried = set[str]()
    while now_s < 120.0 + 2 * len(down) / 5.0:
        for name in starts.due(now_s):
            tried.add(name)
            starts.failed(name, "unreachable", now_s)
        now_s += 0.2
    assert tried >= set(down), "none is forgotten"


@pytest.mark.parametrize("cause", sorted(PERMANENT))
def test_what_somebody_must_put_right_is_tried_every_few_minutes(cause: str) -> None:
    starts = gate()
    starts.want("s", None, 0.0)
    starts.due(0.0)
    assert PERMANENT_PAUSE_S / 2 <= starts.failed("s", cause, 0.0) <= PERMANENT_PAUSE_S


def test_an_opening_that_hangs_gives_its_place_away() -> None:
    starts = gate(host_starts=1)
    starts.want("hangs", "a", 0.0)
    starts.want("next", "a", 0.0)
    assert starts.due(0.0) == ["hangs"]
    assert starts.due(SLOW_OPENING_S - 1.0) == []
    assert starts.due(SLOW_OPENING_S) == ["next"]


def test_a_lost_place_costs_no_pause_and_what_is_forgotten_never_starts() -> None:
    starts = gate()
    for name in "ab":
        starts.want(name, None, 0.0)
    starts.due(0.0)
    starts.interrupted("a", 1.0)
    starts.interrupted("b", 1.0)
    starts.forget("b")
    assert starts.due(1.0) == ["a"]
    assert starts.wanted() == {"a"}
    assert starts.failed("b", "unreachable", 1.0) == 0.0


@given(
    seed=st.integers(0, 2**32),
    n=st.integers(1, 200),
    n_hosts=st.integers(1, 6),
    host_starts=st.integers(1, 8),
    starts_per_s=st.floats(0.5, 50.0),
)
def test_after_a_switch_came_back_all_cameras_run_in_the_end(
    seed: int, n: int, n_hosts: int, host_starts: int, starts_per_s: float
) -> None:
    """Every camera refuses while the switch starts and answers afterwards, most of the time."""
    rng = random.Random(seed)
    starts = StartGate(host_starts, starts_per_s, rng)
    hosts = {f"cam{k:03}": f"host{k % n_hosts}" for k in range(n)}
    for name, host in hosts.items():
        starts.want(name, host, 0.0)
    opening: dict[str, float] = {}
    running: set[str] = set()
    begun_s: list[float] = []
    now_s = 0.0
    back_s = 20.0
    while len(running) < n:
        for name in starts.due(now_s):
            opening[name] = now_s + rng.uniform(0.1, 2.0)
            begun_s.append(now_s)
        for host in set(hosts.values()):
            assert sum(hosts[name] == host for name in opening) <= host_starts
        for name in [name for name, done_s in opening.items() if done_s <= now_s]:
            del opening[name]
            if now_s > back_s and rng.random() < 0.9:
                starts.opened(name, now_s)
                running.add(name)
            else:
                starts.failed(name, "unreachable", now_s)
        now_s += 0.1
        assert now_s < 3600.0, f"{n - len(running)} cameras never started"
    burst = max(1.0, starts_per_s)
    for k, since_s in enumerate(begun_s):  # in no ten seconds more than what they hold and one burst
        in_window = sum(1 for other_s in begun_s[k : k + 1000] if other_s < since_s + 10.0)
        assert in_window <= 10.0 * starts_per_s + burst + 1e-6


@pytest.mark.parametrize("n_hosts", [1, 200])
def test_two_hundred_cameras_behind_a_dead_switch_do_not_storm_and_come_back_soon(n_hosts: int) -> None:
    """Ten minutes down: tries are bounded by the gate's own rates. Back: as fast as these rates allow, no slower."""
    rng = random.Random(3)
    starts = StartGate(4, 10.0, rng)
    hosts = {f"cam{k:03}": f"host{k % n_hosts}" for k in range(200)}
    for name, host in hosts.items():
        starts.want(name, host, 0.0)
    opening: dict[str, float] = {}
    running: dict[str, float] = {}
    tries: list[float] = []
    back_s, step_s, opening_s = 600.0, 0.1, 1.0
    for step in range(round((back_s + 120.0) / step_s)):
        now_s = step * step_s
        for name in starts.due(now_s):
            opening[name] = now_s + opening_s
            tries.append(now_s)
        assert all(n <= 4 for n in Counter(hosts[name] for name in opening).values())
        for name in [name for name, done_s in opening.items() if done_s <= now_s]:
            del opening[name]
            if now_s - opening_s >= back_s:
                starts.opened(name, now_s)
                running[name] = now_s
            else:
                starts.failed(name, "unreachable", now_s)
    assert len([1 for at_s in tries if at_s < back_s]) <= 10.0 * (back_s + 1.0)
    for second in range(0, 600, 5):
        assert len([1 for at_s in tries if second <= at_s < second + 5]) <= 5 * 10 + 10
    assert len(running) == 200
    rate_per_s = min(10.0, 4 * n_hosts / opening_s)
    assert max(running.values()) - back_s <= 200 / rate_per_s + LONGEST_PAUSE_S + 2 * opening_s + 1.0
