"""What a bus is: the contract both homes keep, proved by one test suite over both."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

Headers = tuple[tuple[str, bytes], ...]
Isolation = Literal["read_committed", "read_uncommitted"]


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it must be. `retention_s` None keeps everything."""

    name: str
    partitions: int
    cleanup: Literal["delete", "compact", "delete,compact"] = "delete"
    retention_s: float | None = None


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record to publish. `value` None is a tombstone. The partition is computed by us, never by a client library."""

    topic: str
    partition: int
    key: bytes
    value: bytes | None
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class Incoming:
    """A record as read. `time_s` is the broker's wall time of the append."""

    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes | None
    headers: Headers
    time_s: float


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a record was appended, and the broker's wall time of that."""

    offset: int
    time_s: float


@dataclass(frozen=True, slots=True)
class GroupToken:
    """Proof of membership in a group at one moment: plain values, so that it can travel to another process.

    A position committed with the token of an earlier generation is refused. `instance` names a static member.
    """

    group: str
    member: str
    generation: int
    instance: str | None = None


@dataclass(frozen=True, slots=True)
class Position:
    """How far a group's member is: (topic, partition, next offset), committed in one transaction with records."""

    token: GroupToken
    offsets: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True)
class Load:
    """What a group's member tells of itself: what it can carry and what its partitions weigh.

    Units are the caller's (streams, or jobs); `rate` is in frames per second, `max_rate` 0 means no limit.
    `partitions` maps each owned partition to (units, rate).
    """

    name: str
    max_units: int
    max_rate: float = 0.0
    partitions: tuple[tuple[int, int, float], ...] = ()


Verdict = Literal["keep", "forget"] | bytes
"""What is to become of a record; bytes are the value that is to stand in its place."""
Judge = Callable[[Incoming], Verdict]


@dataclass(slots=True)
class Found:
    """What a topic holds that is to be forgotten.

    `records` can be read with their values, `tombstones` only name their key; `newest_s` is the broker's time of the
    newest of them. `gone_by_s` is the wall time by which the home has removed the last of them by itself; None where
    nothing says so.
    """

    topic: str
    records: int = 0
    tombstones: int = 0
    newest_s: float = 0.0
    gone_by_s: float | None = None

    @property
    def n(self) -> int:
        """How many there are in all."""
        return self.records + self.tombstones

    def count(self, record: Incoming) -> None:
        """One more."""
        self.tombstones += record.value is None
        self.records += record.value is not None
        self.newest_s = max(self.newest_s, record.time_s)


@dataclass(slots=True)
class Erased:
    """What was done: by topic, how many records there were, and how many of them this home removed at once.

    `tombstones` were written for what is to be removed by compaction.
    """

    found: dict[str, Found]
    removed: dict[str, int] = field(default_factory=dict)
    tombstones: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MemberSeen:
    """A member of a group as others see it: the name, capacity and load it told (as in `Load`), and what it owns."""

    name: str
    max_units: int
    max_rate: float
    partitions: frozenset[int]
    units: float
    rate: float


@dataclass(frozen=True, slots=True)
class GroupSeen:
    """A group on one topic: its members by name, and per partition how many records its position is behind the end.

    `lag` has the partitions of which the group remembers a position. `settled` is false while partitions move.
    """

    members: tuple[MemberSeen, ...]
    lag: Mapping[int, int]
    settled: bool = True


class Producer(Protocol):
    """Writes records. Owned by one thread."""

    def send(self, records: Sequence[Outgoing]) -> None:
        """Take the records, in order; outside a transaction they are delivered at least once.

        Returns once they are accepted for delivery, not once delivered: see `flush`. Raises `DeliveryFailed` for a
        record that can never be taken and for any earlier one that was found lost, `BusFull` when no space is left.
        """

    def append(self, records: Sequence[Outgoing], timeout_s: float) -> list[Placed]:
        """Write the records outside a transaction and return where each lies, once all are acknowledged.

        Raises as `send` does, and `BusUnavailable` when not all were acknowledged in time; some may be written then.
        """

    def commit(self, records: Sequence[Outgoing], position: Position | None = None) -> None:
        """Write all records in one transaction: readers of committed records see all or none.

        With `position` the group's offsets move in the same transaction; `Fenced` when its token is no longer that
        of a member of the group's present generation, and then nothing is visible: a newer token may do.
        Raises `DeliveryFailed`, `BusFull` or `BusUnavailable`, and then none of them is visible; only a broker that
        went away in the very moment of committing leaves that open (`BusUnavailable`): give the same records again,
        they are written once.
        """

    def flush(self, timeout_s: float) -> None:
        """Return once everything sent is delivered; raises `DeliveryFailed` or `BusUnavailable` if not in time."""

    def unacknowledged(self) -> int:
        """How many records were sent and are not yet acknowledged."""

    def close(self) -> None:
        """Flush what can be flushed at once and free the connection."""


class Consumer(Protocol):
    """Reads records in partition order. Owned by one thread."""

    def poll(self, timeout_s: float, max_records: int = 500) -> list[Incoming]:
        """The next records, at most `max_records`; an empty list when none came within `timeout_s`."""

    def at_end(self) -> bool:
        """Whether everything that was committed when this was called has been returned by `poll`."""

    def commit(self) -> None:
        """Remember, for the group, the position after the last records returned by `poll`."""

    def close(self) -> None:
        """Free the connection; does not commit."""


class Listener(Protocol):
    """Hears, inside of `Member.poll`, what happens to the partitions of a member."""

    def assigned(self, partitions: frozenset[int]) -> None:
        """These are ours from now on, in addition to what we had."""

    def revoked(self, partitions: frozenset[int], token: GroupToken | None) -> None:
        """These go to somebody else when this returns: commit now, with `token`. To be quick: heartbeats may wait."""

    def lost(self, partitions: frozenset[int]) -> None:
        """These may be somebody else's already: publish nothing more of them."""


class Member(Protocol):
    """Shares the partitions of one topic with the other members of its group. Owned by one thread.

    Partitions move cooperatively: what stays is never interrupted. Each newly assigned partition is read from the
    group's committed position, or from its beginning where the member was made with `whole=True`.
    """

    def poll(self, timeout_s: float, max_records: int = 500) -> list[Incoming]:
        """The next records of the owned partitions; stays a member (call at least every few seconds)."""

    def owned(self) -> frozenset[int]:
        """The partitions that are ours now."""

    def token(self) -> GroupToken | None:
        """Our present membership; None while we have none."""

    def caught_up(self, partition: int) -> bool:
        """Whether everything that lay in an owned partition when it was assigned has been returned by `poll`."""

    def announce(self, load: Load) -> None:
        """Tell the group of another load: when capacity changed, or `load` asks for more than we can carry, partitions
        are shared out anew."""

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Remember the next offset of these partitions. Raises `Fenced` when the group has moved on, and
        `BusUnavailable`."""

    def close(self) -> None:
        """Leave the group at once (a static member's place is kept for the session timeout) and free the connection."""


class Bus(Protocol):
    """A home of topics, reached by a URL. Safe to share between threads; producers and consumers are not."""

    def ensure_topics(self, topics: Iterable[Topic], *, retain: bool = False) -> list[str]:
        """Create what is missing and check what exists; raises `TopicMismatch` or `BusUnavailable`.

        With `retain` topics that exist are made to keep records for as long as these say; returns the names of those
        that were changed. Without, Kafka's are left as they are, and a difference is logged; an SQLite bus has no
        other keeper than its writers and takes over what the last of them says.
        """

    def producer(self, transactional_id: str | None = None) -> Producer:
        """A new producer; `commit` needs a `transactional_id`, unique to its owner."""

    def consumer(
        self,
        topics: Sequence[str],
        group: str | None = None,
        start: Literal["earliest", "latest"] = "earliest",
        isolation: Isolation = "read_committed",
    ) -> Consumer:
        """A consumer of all partitions of `topics`. With a group it resumes at the group's committed positions."""

    def member(
        self,
        topic: str,
        group: str,
        listener: Listener,
        load: Load,
        *,
        whole: bool = False,
        instance: str | None = None,
        session_timeout_s: float = 10.0,
    ) -> Member:
        """A member of `group` on `topic`; partitions come through `listener` while it polls.

        `instance` makes it a static member: a restart within the session timeout moves nothing.
        """

    def latest(
        self,
        topic: str,
        partition: int,
        keys: Sequence[bytes] | None = None,
        *,
        since_s: float | None = None,
        from_offset: int | None = None,
        settled: bool = False,
    ) -> dict[bytes, Incoming]:
        """The newest committed record of each key (of `keys`, or all) in one partition; tombstoned keys are absent.

        Only records appended since the broker time `since_s`, or from `from_offset` on, are looked at. With
        `settled` it waits first until every transaction that is open there now is over (at most the transaction
        timeout), so that nothing an earlier owner began can still appear. `BusUnavailable` when that cannot be had.
        """

    def end_offset(self, topic: str, partition: int) -> int:
        """The offset the next record of the partition will get."""

    def find(self, topics: Sequence[str], judge: Judge) -> dict[str, Found]:
        """By topic, what of everything that can be read there, uncommitted records included, is to be forgotten.

        Topics that do not exist are left out.
        """

    def erase(self, topics: Sequence[str], judge: Judge) -> Erased:
        """Forget what `judge` says for good, as far as this home can; what there was, and what was done about it."""

    def group(self, topic: str, group: str) -> GroupSeen:
        """Who shares `topic` in `group` now, and how far they are; nobody where there is no such group.

        Raises `TopicMissing` or `BusUnavailable`.
        """

    def maintain(self) -> None:
        """Apply retention and compaction in small steps; a no-op where a broker does it."""

    def close(self) -> None:
        """Close what this bus opened, its producers and consumers included."""
