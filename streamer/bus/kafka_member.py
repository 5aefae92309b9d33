"""A member of a group on Kafka: the library's consumer with our own way of sharing partitions out.

The library runs a rebalance inside its `poll` and waits there for whoever listens. So its `poll` runs on a thread of
ours while the owner's thread waits for what happens: callbacks run on the owner's thread, and heartbeats go on
meanwhile.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from kafka import errors
from kafka.structs import MemberState, OffsetAndMetadata, TopicPartition

from streamer.bus.group import Announcer, Card, Known
from streamer.bus.kafka_answers import learn, unavailable
from streamer.bus.kafka_assignor import CapacityAssignor
from streamer.bus.kafka_options import KafkaOptions
from streamer.bus.kafka_polling import Change, Polling
from streamer.bus.protocol import GroupToken, Incoming, Listener, Load
from streamer.clock import Clock
from streamer.errors import BusUnavailable, Fenced

_STALLED_S = 30.0  # an owner that does not poll for so long has its partitions taken away
_GONE = (
    errors.CommitFailedError,
    errors.IllegalGenerationError,
    errors.UnknownMemberIdError,
    errors.FencedInstanceIdError,
)


class Home(Protocol):
    """What a member needs of its bus."""

    options: KafkaOptions
    clock: Clock

    def forget(self, opened: KafkaBusMember) -> None:
        """Called by what was closed."""


class KafkaBusMember:
    """Shares the partitions of one topic. `make` makes a client of the library from the settings it is given."""

    def __init__(
        self,
        bus: Home,
        make: Callable[[dict[str, Any]], Any],
        topic: str,
        partitions: int,
        listener: Listener,
        load: Load,
        *,
        whole: bool,
        session_timeout_s: float,
    ) -> None:
        self._bus = bus
        self._options = bus.options
        self._clock = bus.clock
        self._topic = topic
        self._listener = listener
        self._load = load
        self._announcer = Announcer()
        self._owned: frozenset[int] = frozenset()
        self._token: GroupToken | None = None
        self._ends: dict[int, int] = {}
        self._reached: dict[int, int] = {}
        self._ready: deque[Incoming] = deque()
        self._assignor = CapacityAssignor(topic, partitions, self._card)
        self._known: dict[int, Known] = {}
        self._closed = False
        self._client = make(
            {
                "partition_assignment_strategy": (self._assignor,),
                "session_timeout_ms": int(session_timeout_s * 1000),
                "heartbeat_interval_ms": int(min(1.0, session_timeout_s / 4) * 1000),
                "max_poll_interval_ms": int(max(_STALLED_S, 3 * session_timeout_s) * 1000),
            }
        )
        self._polling = Polling(self._client, whole)
        try:
            self._client.subscribe([topic], listener=self._polling.relay)
            learn(self._client, [topic], self._options.wait_s)
        except errors.KafkaError:
            self._polling.close()
            self._client.close(autocommit=False, timeout_ms=0)
            raise

    def poll(self, timeout_s: float, max_records: int = 500) -> list[Incoming]:
        self._check_open()
        deadline_s = self._clock.monotonic_s() + timeout_s
        while not self._ready:
            self._check_not_replaced()
            if self._announcer.is_due(self._load, self._clock.monotonic_s()):
                self._client._coordinator.request_rejoin()
            left_s = max(0.0, deadline_s - self._clock.monotonic_s())
            happened = self._polling.wait(left_s, max_records)
            if isinstance(happened, Change):
                self._apply(happened)
            elif isinstance(happened, Exception):
                self._raise_failed(happened)
            elif happened:
                self._ready.extend(each for each in happened if each.partition in self._owned)
            elif self._clock.monotonic_s() >= deadline_s:
                break
        return [self._ready.popleft() for _ in range(min(max_records, len(self._ready)))]

    def owned(self) -> frozenset[int]:
        return self._owned

    def token(self) -> GroupToken | None:
        if not self._closed:
            now = self._client.group_metadata()
            if now.generation_id < 0 or not now.member_id:
                self._token = None
            elif now.state == MemberState.STABLE:
                self._token = GroupToken(now.group_id, now.member_id, now.generation_id, now.group_instance_id)
        return self._token

    def caught_up(self, partition: int) -> bool:
        self._check_open()
        waiting = self._polling.has_news() or any(each.partition == partition for each in self._ready)
        if waiting or partition not in self._owned:
            return False
        try:
            unasked = [TopicPartition(self._topic, each) for each in self._owned if each not in self._ends]
            if unasked:
                ends = self._client.end_offsets(unasked, timeout_ms=1000)
                self._ends |= {each.partition: end for each, end in ends.items()}
        except errors.KafkaError:
            return False
        # Its public question would, beside the poll that is under way, seek to the committed position once more.
        position = self._client._subscription.all_consumed_offsets().get(TopicPartition(self._topic, partition))
        if position is None or position.offset < self._ends[partition]:
            return False
        # The library's position is ahead of what the poll that is under way has yet to return.
        reached = self._reached.setdefault(partition, self._polling.turns)
        return self._polling.turns > reached and not self._polling.has_news()

    def announce(self, load: Load) -> None:
        self._load = load

    def commit(self, offsets: Mapping[int, int]) -> None:
        self._check_open()
        group = self._client.config["group_id"]
        positions = {TopicPartition(self._topic, each): OffsetAndMetadata(at, "", -1) for each, at in offsets.items()}
        try:
            self._client.commit(positions, timeout_ms=int(self._options.wait_s * 1000))
        except _GONE as error:
            raise Fenced(
                f"group {group} moved on without this member: its position was not remembered, the partition's new"
                " owner reads those records again"
            ) from error
        except errors.KafkaError as error:
            raise unavailable(self._options, error) from error

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._polling.close()
            self._client.close(autocommit=False, timeout_ms=1000)
            self._bus.forget(self)

    def _apply(self, change: Change) -> None:
        """Tell the listener; whatever it does or raises, the rebalance goes on afterwards."""
        if change.kind == "assigned":
            self._owned |= change.partitions
        else:
            self._ready = deque(each for each in self._ready if each.partition not in change.partitions)
            for each in change.partitions:
                self._ends.pop(each, None)
                self._reached.pop(each, None)
        try:
            if change.kind == "assigned":
                self._listener.assigned(change.partitions)
            elif change.kind == "revoked":
                self._listener.revoked(change.partitions, self.token())
            else:
                self._owned -= change.partitions
                self._listener.lost(change.partitions)
        finally:
            if change.kind != "assigned":
                self._owned -= change.partitions
            change.done()

    def _card(self) -> Card:
        """What the group hears of us as it shares out (called on the library's thread)."""
        load, owned = self._load, self._owned
        generation = self._client.group_metadata().generation_id
        self._known |= {at: Known(units, rate, generation) for at, units, rate in load.partitions if at in owned}
        self._announcer.told(load, self._clock.monotonic_s())
        return Card(
            name=load.name,
            max_units=load.max_units,
            max_rate=load.max_rate,
            generation=generation,
            owned=tuple(sorted(owned)),
            promised=tuple(sorted(self._assignor.promised - owned)),
            known=dict(self._known),
        )

    def _raise_failed(self, error: Exception) -> None:
        if isinstance(error, errors.FencedInstanceIdError):
            self._replaced(error)
        if not isinstance(error, errors.KafkaError):
            raise error
        self._client._coordinator.request_rejoin()  # its heartbeats may have died with it
        raise unavailable(self._options, error) from error

    def _check_not_replaced(self) -> None:
        coordinator = self._client._coordinator
        with coordinator._lock:
            # The library stops the heartbeats of a static member that was replaced and says nothing.
            silent = coordinator.stable() and not coordinator._heartbeat_enabled and not coordinator.rejoin_needed
        if silent and self._owned:
            self._replaced(None)

    def _replaced(self, error: Exception | None) -> None:
        lost, self._owned = self._owned, frozenset()
        self._ready.clear()
        self._token = None
        if lost:
            self._listener.lost(lost)
        instance = self._client.config["group_instance_id"]
        raise Fenced(
            f"another process is the member {instance} of group {self._client.config['group_id']} now: stop one of"
            " them, or give them different names"
        ) from error

    def _check_open(self) -> None:
        if self._closed:
            raise BusUnavailable("this member is closed")
