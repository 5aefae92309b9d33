"""What a bus is: the contract both homes keep, proved by one test suite over both."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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


class Producer(Protocol):
    """Writes records. Owned by one thread."""

    def send(self, records: Sequence[Outgoing]) -> None:
        """Take the records, in order; outside a transaction they are delivered at least once.

        Returns once they are accepted for delivery, not once delivered: see `flush`. Raises `DeliveryFailed` for a
        record that can never be taken and for any earlier one that was found lost, `BusFull` when no space is left.
        """

    def commit(self, records: Sequence[Outgoing]) -> None:
        """Write all records in one transaction: readers of committed records see all or none.

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

    def latest(self, topic: str, partition: int, keys: Sequence[bytes] | None = None) -> dict[bytes, Incoming]:
        """The newest committed record of each key (of `keys`, or all) in one partition; tombstoned keys are absent."""

    def maintain(self) -> None:
        """Apply retention and compaction in small steps; a no-op where a broker does it."""

    def close(self) -> None:
        """Close what this bus opened, its producers and consumers included."""
