"""The policy of sharing partitions out, by what must hold whatever the members and loads."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.bus.assignment import Candidate, share_out
from streamer.bus.group import Announcer, Card, Known, Shares, deal
from streamer.bus.protocol import Load

Owned = dict[str, frozenset[int]]


@st.composite
def situations(draw: st.DrawFn) -> tuple[list[int], list[Candidate], dict[int, tuple[float, float]]]:
    """Partitions, members with what each holds, and what some partitions weigh."""
    partitions = list(range(draw(st.integers(0, 16))))
    n = draw(st.integers(1, 5))
    holders = [draw(st.integers(-1, n - 1)) for _ in partitions]
    members = [
        Candidate(
            f"m{at}",
            draw(st.integers(0, 12)),
            draw(st.sampled_from([0.0, 0.0, 30.0, 100.0])),
            frozenset(p for p, holder in zip(partitions, holders, strict=True) if holder == at),
        )
        for at in range(n)
    ]
    weight = st.tuples(st.integers(0, 6).map(float), st.floats(0, 60, allow_nan=False))
    known = draw(st.sets(st.sampled_from(partitions))) if partitions else set()
    return partitions, members, {partition: draw(weight) for partition in sorted(known)}


def holding(members: list[Candidate], owned: Owned) -> list[Candidate]:
    return [Candidate(m.member, m.max_units, m.max_rate, owned[m.member]) for m in members]


def equal(n: int, held: Owned | None = None, max_units: int = 8) -> list[Candidate]:
    return [Candidate(f"m{at}", max_units, 0.0, (held or {}).get(f"m{at}", frozenset())) for at in range(n)]


@given(situations())
@settings(max_examples=300, deadline=None)
def test_every_partition_has_exactly_one_owner(
    situation: tuple[list[int], list[Candidate], dict[int, tuple[float, float]]],
) -> None:
    partitions, members, weights = situation
    shares = share_out(partitions, members, weights)
    assert sorted(p for owned in shares.values() for p in owned) == partitions
    assert set(shares) == {m.member for m in members}


@given(situations())
@settings(max_examples=300, deadline=None)
def test_what_was_shared_out_is_shared_out_the_same_way_again(
    situation: tuple[list[int], list[Candidate], dict[int, tuple[float, float]]],
) -> None:
    partitions, members, weights = situation
    shares = share_out(partitions, members, weights)
    assert share_out(partitions, holding(members, shares), weights) == shares


@given(situations())
@settings(max_examples=300, deadline=None)
def test_nobody_is_over_capacity_while_somebody_has_room_for_one_of_its_partitions(
    situation: tuple[list[int], list[Candidate], dict[int, tuple[float, float]]],
) -> None:
    partitions, members, weights = situation
    weights = {partition: (weights.get(partition, (1.0, 0.0))[0], 0.0) for partition in partitions}
    shares = share_out(partitions, members, weights)
    units = {name: sum(weights[p][0] for p in owned) for name, owned in shares.items()}
    for over in members:
        if units[over.member] <= over.max_units:
            continue
        for other in members:
            room = other.max_units - units[other.member]
            assert not any(0 < weights[p][0] <= room for p in shares[over.member]), (shares, weights)


@given(st.integers(0, 40), st.integers(1, 6), st.integers(1, 50), st.data())
@settings(max_examples=200, deadline=None)
def test_equal_members_without_weights_differ_by_at_most_one(
    n: int, m: int, max_units: int, data: st.DataObject
) -> None:
    holders = [data.draw(st.integers(-1, m - 1)) for _ in range(n)]
    held = {f"m{at}": frozenset(p for p in range(n) if holders[p] == at) for at in range(m)}
    sizes = [len(owned) for owned in share_out(range(n), equal(m, held, max_units), {}).values()]
    assert max(sizes) - min(sizes) <= 1


@given(situations())
@settings(max_examples=300, deadline=None)
def test_two_rounds_are_enough_and_nothing_is_ever_with_two_owners(
    situation: tuple[list[int], list[Candidate], dict[int, tuple[float, float]]],
) -> None:
    partitions, members, weights = situation
    owned = {m.member: m.held for m in members}
    promised: Owned = {m.member: frozenset() for m in members}
    memory: dict[str, dict[int, Known]] = {m.member: {} for m in members} | {
        members[0].member: {p: Known(units, rate, 1) for p, (units, rate) in weights.items()}
    }
    rounds: list[dict[str, Shares]] = []
    for generation in range(1, 4):
        cards = {
            m.member: Card(
                name=m.member,
                max_units=m.max_units,
                max_rate=m.max_rate,
                generation=generation,
                owned=tuple(owned[m.member]),
                promised=tuple(promised[m.member]),
                known=memory[m.member],
            )
            for m in members
        }
        shares = deal(partitions, cards)
        for name, share in shares.items():
            elsewhere = {p for other, theirs in owned.items() if other != name for p in theirs}
            assert not share.now & elsewhere
        rounds.append(shares)
        owned = {name: share.now for name, share in shares.items()}
        promised = {name: share.promised for name, share in shares.items()}
    assert rounds[1] == rounds[2]
    assert not any(share.promised for share in rounds[1].values())
    assert {name: share.now | share.promised for name, share in rounds[0].items()} == {
        name: share.now for name, share in rounds[1].items()
    }


def test_a_new_member_takes_its_part_and_nothing_else_moves() -> None:
    before = share_out(range(12), equal(2), {})
    after = share_out(range(12), equal(3, before), {})
    assert sorted(map(len, after.values())) == [4, 4, 4]
    assert after["m0"] < before["m0"]
    assert after["m1"] < before["m1"]


def test_a_member_that_left_is_shared_between_the_others_and_nothing_else_moves() -> None:
    before = share_out(range(12), equal(3), {})
    left = {name: owned for name, owned in before.items() if name != "m2"}
    after = share_out(range(12), equal(2, left), {})
    assert after["m0"] > before["m0"]
    assert after["m1"] > before["m1"]


def test_small_members_get_less() -> None:
    shares = share_out(range(12), [Candidate("big", 9), Candidate("small", 3)], {})
    assert (len(shares["big"]), len(shares["small"])) == (9, 3)


def test_a_member_without_capacity_gets_nothing_while_there_is_another() -> None:
    shares = share_out(range(4), [Candidate("full", 4), Candidate("none", 0, 0.0, frozenset({0, 1}))], {})
    assert shares == {"full": frozenset(range(4)), "none": frozenset()}
    assert share_out(range(2), [Candidate("none", 0)], {}) == {"none": frozenset({0, 1})}


def test_a_swap_helps_where_a_move_cannot() -> None:
    weights = {0: (3.0, 0.0), 1: (3.0, 0.0), 2: (2.0, 0.0)}
    members = [Candidate("a", 5, 0.0, frozenset({0, 1})), Candidate("b", 3, 0.0, frozenset({2}))]
    shares = share_out(range(3), members, weights)
    assert {name: sum(weights[p][0] for p in owned) for name, owned in shares.items()} == {"a": 5.0, "b": 3.0}


def test_rates_count_where_a_member_has_a_limit_on_them() -> None:
    weights = {0: (1.0, 60.0), 1: (1.0, 60.0), 2: (1.0, 1.0), 3: (1.0, 1.0)}
    members = [Candidate("a", 8, 70.0, frozenset(range(4))), Candidate("b", 8, 70.0)]
    shares = share_out(range(4), members, weights)
    assert all(sum(weights[p][1] for p in owned) <= 70 for owned in shares.values())


def test_wavering_rates_move_nothing() -> None:
    weights = dict.fromkeys(range(8), (1.0, 25.0))
    members = [Candidate("a", 8, 200.0), Candidate("b", 8, 200.0)]
    shares = share_out(range(8), members, weights)
    for at in range(8):
        shaken = {p: (1.0, 25.0 + ((p * 7 + at) % 5 - 2)) for p in range(8)}
        assert share_out(range(8), holding(members, shares), shaken) == shares


def test_of_two_who_say_they_own_a_partition_the_later_generation_is_right() -> None:
    cards = {
        "old": Card(name="a", max_units=4, generation=3, owned=(0, 1)),
        "new": Card(name="b", max_units=4, generation=5, owned=(0,)),
    }
    shares = deal(range(2), cards)
    assert shares["new"].now == {0}
    assert shares["old"].now == {1}


def load(units: int, max_units: int = 4, rate: float = 0.0, max_rate: float = 0.0) -> Load:
    return Load("m", max_units, max_rate, ((0, units, rate),))


def test_a_load_is_announced_when_capacity_changed_or_too_much_changed_and_never_at_once() -> None:
    announcer = Announcer()
    assert not announcer.is_due(load(9), 100.0)  # not a member yet: it will tell when it joins
    announcer.told(load(1), 100.0)
    assert not announcer.is_due(load(1, max_units=5), 101.0)
    assert announcer.is_due(load(1, max_units=5), 103.5)
    assert not announcer.is_due(load(4), 200.0)
    assert announcer.is_due(load(5), 103.5)
    announcer.told(load(5), 110.0)
    assert not announcer.is_due(load(5), 120.0)
    assert announcer.is_due(load(6), 120.0)
    assert announcer.is_due(load(5), 141.0)
    announcer.told(load(1, rate=69.0, max_rate=60.0), 150.0)
    assert not announcer.is_due(load(1, rate=70.0, max_rate=60.0), 160.0)
    assert announcer.is_due(load(1, rate=90.0, max_rate=60.0), 160.0)
