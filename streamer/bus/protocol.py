"""What a bus is: the contract both homes keep, proved by one test suite over both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
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

    def ensure_topics(self, topics: Iterable[Topic]) -> None:
        """Create what is missing and check what exists; raises `TopicMismatch` or `BusUnavailable`."""

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

    def maintain(self) -> None:
        """Apply retention and compaction in small steps; a no-op where a broker does it."""

    def close(self) -> None:
        """Close what this bus opened, its producers and consumers included."""
