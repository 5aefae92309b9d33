"""What both homes promise of groups whose members share partitions, with real rebalances."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from streamer.bus.open import open_bus
from streamer.bus.protocol import Bus, GroupToken, Incoming, Load, Member, Outgoing, Position, Producer, Topic
from streamer.errors import Fenced

WITHIN_S = 40.0
SESSION_S = {"kafka": 6.0, "sqlite": 2.0}  # the least a Kafka broker takes
N = 6


@dataclass
class Seen:
    """A listener that remembers, and does what the test wants as it hears of a revocation."""

    events: list[tuple[str, frozenset[int]]] = field(default_factory=list)
    tokens: list[GroupToken | None] = field(default_factory=list)
    on_revoked: Callable[[frozenset[int], GroupToken | None], None] | None = None

    def assigned(self, partitions: frozenset[int]) -> None:
        self.events.append(("assigned", partitions))

    def revoked(self, partitions: frozenset[int], token: GroupToken | None) -> None:
        self.events.append(("revoked", partitions))
        self.tokens.append(token)
        if self.on_revoked is not None:
            self.on_revoked(partitions, token)

    def lost(self, partitions: frozenset[int]) -> None:
        self.events.append(("lost", partitions))

    def of(self, kind: str) -> list[int]:
        return sorted(p for what, partitions in self.events if what == kind for p in partitions)


class Crew:
    """Members of one group, polled in turns by the test's thread."""

    def __init__(self, bus: Bus, topic: str, session_s: float) -> None:
        self.bus = bus
        self.session_s = session_s
        self.topic = topic
        self.members: dict[str, Member] = {}
        self.seen: dict[str, Seen] = {}
        self.records: list[tuple[str, Incoming]] = []

    def join(self, name: str, max_units: int = 8, *, whole: bool = False, instance: str | None = None) -> Member:
        self.seen[name] = Seen()
        load = Load(name, max_units)
        self.members[name] = self.bus.member(
            self.topic,
            f"{self.topic}.g",
            self.seen[name],
            load,
            whole=whole,
            instance=instance,
            session_timeout_s=self.session_s,
        )
        return self.members[name]

    def leave(self, name: str) -> None:
        self.members.pop(name).close()

    def owned(self) -> dict[str, frozenset[int]]:
        return {name: member.owned() for name, member in self.members.items()}

    def sizes(self) -> list[int]:
        return sorted(len(owned) for owned in self.owned().values())

    def until(self, condition: Callable[[], bool], within_s: float = WITHIN_S) -> None:
        deadline_s = time.monotonic() + within_s
        while not condition():
            if time.monotonic() > deadline_s:
                events = {name: seen.events for name, seen in self.seen.items()}
                raise AssertionError(f"not within {within_s} s: {self.owned()}, {events}")
            for name, member in list(self.members.items()):
                self.records += [(name, record) for record in member.poll(0.05)]

    def until_shared(self, *sizes: int) -> None:
        self.until(lambda: self.sizes() == sorted(sizes))

    def for_a_while(self, duration_s: float) -> None:
        deadline_s = time.monotonic() + duration_s
        self.until(lambda: time.monotonic() > deadline_s)


@pytest.fixture
def bus(bus_url: str, prefix: str) -> Iterator[Bus]:
    bus = open_bus(bus_url)
    bus.ensure_topics([Topic(f"{prefix}.jobs", N), Topic(f"{prefix}.out", 1)])
    yield bus
    bus.close()


@pytest.fixture
def crew(bus: Bus, bus_url: str, prefix: str) -> Crew:
    return Crew(bus, f"{prefix}.jobs", SESSION_S[bus_url.partition(":")[0]])


def fill(bus: Bus, topic: str, each: int = 3) -> None:
    producer = bus.producer()
    producer.append(
        [Outgoing(topic, p, b"k", f"{p}.{i}".encode()) for i in range(each) for p in range(N)], timeout_s=20.0
    )
    producer.close()


def texts(crew: Crew, name: str | None = None) -> list[str]:
    return [(record.value or b"").decode() for who, record in crew.records if name in (None, who)]


def test_one_member_has_everything_and_reads_it_in_order(crew: Crew) -> None:
    fill(crew.bus, crew.topic)
    member = crew.join("a")
    assert member.owned() == frozenset()
    assert member.token() is None
    crew.until(lambda: len(crew.records) == 3 * N)
    assert crew.seen["a"].events == [("assigned", frozenset(range(N)))]
    assert member.owned() == frozenset(range(N))
    for p in range(N):
        mine = [text for text in texts(crew) if text.startswith(f"{p}.")]
        assert mine == [f"{p}.{i}" for i in range(3)]
    crew.until(lambda: all(member.caught_up(p) for p in range(N)))
    token = member.token()
    assert token is not None
    assert token.group == f"{crew.topic}.g"


def test_poll_returns_at_most_what_was_asked_for(crew: Crew) -> None:
    fill(crew.bus, crew.topic)
    member = crew.join("a")
    sizes: list[int] = []
    deadline_s = time.monotonic() + WITHIN_S
    while sum(sizes) < 3 * N and time.monotonic() < deadline_s:
        sizes.append(len(member.poll(0.2, max_records=4)))
    assert sum(sizes) == 3 * N
    assert max(sizes) <= 4


def test_a_second_member_takes_half_and_the_rest_is_never_interrupted(crew: Crew) -> None:
    crew.join("a")
    crew.until_shared(N)
    crew.join("b")
    crew.until_shared(3, 3)
    assert len(crew.seen["a"].of("revoked")) == 3
    assert crew.seen["a"].of("revoked") == sorted(crew.members["b"].owned())
    assert crew.seen["a"].of("assigned") == list(range(N))
    assert crew.seen["a"].of("lost") == crew.seen["b"].of("lost") == []
    assert crew.seen["a"].tokens[0] is not None
    crew.for_a_while(2.0)
    assert len(crew.seen["a"].of("revoked")) == 3  # and nothing more moves


def test_who_leaves_is_replaced_at_once(crew: Crew) -> None:
    for name in "abc":
        crew.join(name)
    crew.until_shared(2, 2, 2)
    before = {name: crew.seen[name].of("revoked") for name in "ac"}
    crew.leave("b")
    crew.until_shared(3, 3)
    assert {name: crew.seen[name].of("revoked") for name in "ac"} == before  # what the others had stayed


def test_position_is_handed_over_in_the_revocation(crew: Crew, prefix: str) -> None:
    fill(crew.bus, crew.topic)
    crew.join("a")
    crew.until(lambda: len(crew.records) == 3 * N)
    producer = crew.bus.producer(f"{prefix}-a")

    def commit(partitions: frozenset[int], token: GroupToken | None) -> None:
        assert token is not None
        place = tuple((crew.topic, p, 2) for p in sorted(partitions))
        producer.commit([Outgoing(f"{prefix}.out", 0, b"k", b"by a")], Position(token, place))

    crew.seen["a"].on_revoked = commit
    crew.records.clear()
    crew.join("b")
    crew.until_shared(3, 3)
    crew.until(lambda: len(texts(crew, "b")) == 3)
    assert sorted(texts(crew, "b")) == [f"{p}.2" for p in sorted(crew.members["b"].owned())]
    assert texts(crew, "a") == []  # what stayed was not read again


def test_a_member_of_whole_partitions_reads_them_from_their_beginning_whatever_was_committed(crew: Crew) -> None:
    fill(crew.bus, crew.topic)
    member = crew.join("a", whole=True)
    crew.until(lambda: len(crew.records) == 3 * N)
    member.commit(dict.fromkeys(range(N), 3))
    crew.join("b", whole=True)
    crew.until_shared(3, 3)
    crew.until(lambda: len(texts(crew, "b")) == 9)
    assert sorted(texts(crew, "b")) == sorted(f"{p}.{i}" for p in crew.members["b"].owned() for i in range(3))


def test_a_committed_position_is_where_the_next_member_goes_on(crew: Crew) -> None:
    fill(crew.bus, crew.topic)
    member = crew.join("a")
    crew.until(lambda: len(crew.records) == 3 * N)
    member.commit({0: 1, 1: 3})
    crew.leave("a")
    crew.records.clear()
    again = crew.join("a2")
    crew.until(lambda: bool(again.owned()) and all(again.caught_up(p) for p in range(N)))
    assert sorted(texts(crew)) == sorted([f"{p}.{i}" for p in range(2, N) for i in range(3)] + ["0.1", "0.2"])


def test_a_position_with_a_stale_token_is_refused_and_a_newer_token_does(crew: Crew, prefix: str) -> None:
    a = crew.join("a")
    crew.until_shared(N)
    stale = a.token()
    assert stale is not None
    producer = crew.bus.producer(f"{prefix}-a")
    record = Outgoing(f"{prefix}.out", 0, b"k", b"v")
    crew.join("b")
    crew.until_shared(3, 3)
    kept = min(a.owned())
    with pytest.raises(Fenced):
        producer.commit([record], Position(stale, ((crew.topic, kept, 1),)))
    assert crew.bus.latest(f"{prefix}.out", 0) == {}
    crew.until(lambda: commits(producer, record, a.token(), crew.topic, kept))
    assert a.token() != stale
    consumer = crew.bus.consumer([f"{prefix}.out"])
    got: list[Incoming] = []
    deadline_s = time.monotonic() + WITHIN_S
    while not got and time.monotonic() < deadline_s:
        got += consumer.poll(0.2)
    assert [each.value for each in got] == [b"v"]


def test_more_capacity_takes_more(crew: Crew) -> None:
    crew.join("a", 4)
    crew.join("b", 4)
    crew.until_shared(3, 3)
    crew.members["b"].announce(Load("b", 20))
    crew.until(lambda: len(crew.members["b"].owned()) == 5)
    crew.until_shared(1, 5)


def test_too_much_load_moves_to_who_has_room(crew: Crew) -> None:
    a, _ = crew.join("a", 4), crew.join("b", 4)
    crew.until_shared(3, 3)
    mine = sorted(a.owned())
    a.announce(Load("a", 4, 0.0, tuple((p, 2, 0.0) for p in mine)))
    crew.members["b"].announce(Load("b", 4, 0.0, tuple((p, 0, 0.0) for p in crew.members["b"].owned())))
    crew.until(lambda: sum(p in a.owned() for p in mine) == 2)
    crew.for_a_while(1.5)
    assert sum(p in a.owned() for p in mine) == 2


def test_a_static_member_that_comes_back_in_time_moves_nothing(crew: Crew) -> None:
    crew.join("a", instance="host-a")
    crew.join("b", instance="host-b")
    crew.until_shared(3, 3)
    before = crew.owned()
    crew.leave("a")
    crew.for_a_while(0.5)
    crew.join("a", instance="host-a")
    crew.until_shared(3, 3)
    assert crew.owned() == before
    assert crew.seen["b"].of("assigned") == sorted(before["b"])
    assert crew.seen["b"].of("revoked") == []


def test_who_is_replaced_by_its_namesake_loses_everything_and_cannot_commit(crew: Crew, prefix: str) -> None:
    first = crew.join("first", instance="host-a")
    crew.until_shared(N)
    token = first.token()
    zombie = crew.members.pop("first")
    crew.join("second", instance="host-a")
    crew.until_shared(N)
    producer = crew.bus.producer(f"{prefix}-a")
    assert token is not None
    with pytest.raises(Fenced):
        producer.commit([Outgoing(f"{prefix}.out", 0, b"k", b"v")], Position(token, ((crew.topic, 0, 1),)))
    deadline_s = time.monotonic() + WITHIN_S
    while not crew.seen["first"].of("lost") and time.monotonic() < deadline_s:
        try:
            zombie.poll(0.1)
        except Fenced:
            pass
    assert crew.seen["first"].of("lost") == list(range(N))


def test_a_member_that_falls_silent_is_replaced_and_learns_it(crew: Crew, prefix: str) -> None:
    silent = crew.join("a")
    crew.until_shared(N)
    token = silent.token()
    gone = crew.members.pop("a")
    silence(gone)
    crew.join("b")
    crew.until_shared(N)
    producer = crew.bus.producer(f"{prefix}-a")
    assert token is not None
    with pytest.raises(Fenced):
        producer.commit([Outgoing(f"{prefix}.out", 0, b"k", b"v")], Position(token, ((crew.topic, 0, 1),)))
    with pytest.raises(Fenced):
        gone.commit({0: 1})
    revive(gone)
    crew.members["a"] = gone
    crew.until(lambda: crew.seen["a"].of("lost") == list(range(N)))
    crew.until_shared(3, 3)


def commits(producer: Producer, record: Outgoing, token: GroupToken | None, topic: str, partition: int) -> bool:
    """Whether the token is of the group's present generation, which its member may be the last to hear of."""
    assert token is not None
    try:
        producer.commit([record], Position(token, ((topic, partition, 1),)))
    except Fenced:
        return False
    return True


def silence(member: Member) -> None:
    """Stop a member's heartbeats, as a machine that sleeps does (an SQLite member has none when it is not polled)."""
    coordinator = getattr(getattr(member, "_client", None), "_coordinator", None)
    if coordinator is not None:
        coordinator.heartbeat.config["heartbeat_interval_ms"] = 10**9


def revive(member: Member) -> None:
    coordinator = getattr(getattr(member, "_client", None), "_coordinator", None)
    if coordinator is not None:
        coordinator.heartbeat.config["heartbeat_interval_ms"] = 1000
        coordinator._heartbeat_wakeup.notify()


def test_others_see_who_is_in_a_group_what_each_owns_and_how_far_it_is(
    crew: Crew, bus: Bus, bus_url: str, prefix: str
) -> None:
    fill(bus, crew.topic)
    watching = open_bus(bus_url)
    try:
        assert watching.group(crew.topic, f"{crew.topic}.g").members == ()
        crew.join("one", max_units=5)
        crew.join("two", max_units=3)
        crew.until(lambda: sum(crew.sizes()) == N and min(crew.sizes()) > 0)
        for member in crew.members.values():
            member.commit(dict.fromkeys(member.owned(), 2))

        def told() -> bool:
            seen = watching.group(crew.topic, f"{crew.topic}.g")
            return seen.settled and {each.name: each.partitions for each in seen.members} == crew.owned()

        crew.until(told)
        seen = watching.group(crew.topic, f"{crew.topic}.g")
        assert [(each.name, each.max_units) for each in seen.members] == [("one", 5), ("two", 3)]
        assert seen.lag == dict.fromkeys(range(N), 1)
        crew.leave("two")
        crew.until(lambda: [each.name for each in watching.group(crew.topic, f"{crew.topic}.g").members] == ["one"])
    finally:
        watching.close()
