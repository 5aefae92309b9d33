"""Writing to Kafka so that an outage of any length loses nothing the caller does not know of.

The library's own batch expiry is switched off by a delivery timeout above any outage: once its idempotent producer
has expired a batch it neither acknowledges nor fails anything again. What is under way is kept here instead, bounded
in bytes. When the library fails a record it fails its neighbours too and may stay useless, so it is replaced and
what was not acknowledged is given to its successor: at least once, in order.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from kafka import errors

from streamer.bus.checks import check_records, record_bytes
from streamer.bus.kafka_answers import unavailable
from streamer.bus.kafka_clients import Cluster, discard, give, learn_topics, make_producer
from streamer.bus.kafka_transactions import KafkaTransactions
from streamer.bus.protocol import Outgoing, Placed, Position
from streamer.errors import BusUnavailable, DeliveryFailed, UsageError

_RECOVERY_PAUSE_S = 0.2
_REFUSALS = (
    errors.MessageSizeTooLargeError,
    errors.RecordListTooLargeError,
    errors.InvalidRecordError,
    errors.InvalidTopicError,
    errors.AuthorizationError,
)


class KafkaBusProducer:
    """An idempotent producer and, with a transactional id, a transactional one beside it; each made when needed."""

    def __init__(self, bus: Cluster, transactional_id: str | None) -> None:
        self._bus = bus
        self._options = bus.options
        self._clock = bus.clock
        self._plain: Any = None
        self._placing: _Placing | None = None
        self._acknowledged = threading.Condition()
        self._under_way: dict[int, _Sent] = {}  # by number, oldest first
        self._bytes = 0
        self._generation = 0
        self._failure: Exception | None = None
        self._last_failure = ""
        self._recovered_at_s = -math.inf
        self._sent = 0
        self._lost: list[str] = []
        self._closed = False
        self._transactions = None if transactional_id is None else KafkaTransactions(bus, transactional_id)

    def send(self, records: Sequence[Outgoing]) -> None:
        self._check_usable()
        check_records(records, self._bus.partitions, self._options.max_record_bytes)
        self._recover()
        size = sum(map(record_bytes, records))
        if self._bytes and self._bytes + size > self._options.max_unacknowledged_bytes:
            raise BusUnavailable(
                f"{self._bytes} bytes wait for the brokers {self._options.where}, the bound is"
                f" {self._options.max_unacknowledged_bytes}: nothing more is taken until they answer"
            )
        if self._plain is None:
            self._plain = self._bus.connect(lambda: make_producer(self._options, None))
        self._learn_topics(records)
        for record in records:
            self._send_one(record)

    def append(self, records: Sequence[Outgoing], timeout_s: float) -> list[Placed]:
        self._check_usable()
        places: list[Placed | None] = [None] * len(records)
        self._placing = _Placing(self._sent, places)
        try:
            self.send(records)
            self._wait_until(lambda: None not in places, timeout_s)
        finally:
            self._placing = None
        return [place for place in places if place is not None]

    def commit(self, records: Sequence[Outgoing], position: Position | None = None) -> None:
        """As the protocol says; `BusUnavailable` of a broker that went away in the moment of committing leaves it
        open whether the records are visible: give the same records again, they are written once."""
        self._check_usable()
        if self._transactions is None:
            raise UsageError("this producer was made without a transactional id and cannot commit")
        check_records(records, self._bus.partitions, self._options.max_record_bytes)
        self._transactions.write(records, position)

    def flush(self, timeout_s: float) -> None:
        self._wait_until(lambda: not self._under_way, timeout_s)

    def unacknowledged(self) -> int:
        return len(self._under_way)

    def unacknowledged_bytes(self) -> int:
        """The weight of what was sent and is not yet acknowledged."""
        return self._bytes

    def unacknowledged_age_s(self) -> float:
        """For how long the oldest unacknowledged record has been under way; 0 when there is none."""
        with self._acknowledged:
            oldest = next(iter(self._under_way.values()), None)
        return 0.0 if oldest is None else self._clock.monotonic_s() - oldest.at_s

    def unacknowledged_records(self) -> list[Outgoing]:
        """What was sent and is not yet acknowledged, oldest first."""
        with self._acknowledged:
            return [sent.record for sent in self._under_way.values()]

    def take_back(self) -> list[Outgoing]:
        """Give the client up and return what is not acknowledged, oldest first: the caller looks after it from here.

        Some of it may be on the bus all the same. The next `send` makes a new client.
        """
        with self._acknowledged:
            self._generation += 1  # what the old client still says of failures no longer counts
        discard(self._plain)
        self._plain = None
        with self._acknowledged:
            taken = [sent.record for sent in self._under_way.values()]
            self._under_way.clear()
            self._bytes = 0
            self._failure = None
            self._acknowledged.notify_all()
        return taken

    def close(self) -> None:
        if self._closed:
            return
        with self._acknowledged:
            self._acknowledged.wait_for(lambda: not self._under_way, 1.0)
        self._closed = True
        discard(self._plain)
        self._plain = None
        if self._transactions is not None:
            self._transactions.close()
        self._bus.forget(self)

    def _send_one(self, record: Outgoing) -> None:
        with self._acknowledged:
            number = self._sent
            self._sent += 1
            self._under_way[number] = _Sent(record, self._clock.monotonic_s())
            self._bytes += record_bytes(record)
        try:
            self._follow(give(self._plain, record), number)
        except errors.KafkaError as error:
            self._done(number)
            raise unavailable(self._options, error) from error

    def _follow(self, future: Any, number: int) -> None:
        future.add_callback(lambda metadata: self._done(number, metadata))
        future.add_errback(self._failed, self._generation)

    def _failed(self, generation: int, error: Exception) -> None:
        with self._acknowledged:
            if generation == self._generation and not isinstance(self._failure, _REFUSALS):
                self._failure = error
                self._last_failure = str(error)[:200]
                self._acknowledged.notify_all()

    def _done(self, number: int, metadata: Any = None) -> None:
        with self._acknowledged:
            sent = self._under_way.pop(number, None)
            if sent is not None:
                self._bytes -= record_bytes(sent.record)
            placing = self._placing
            if placing is not None and metadata is not None and number >= placing.first:
                placing.places[number - placing.first] = Placed(metadata.offset, metadata.timestamp / 1000)
            if not self._under_way:
                self._acknowledged.notify_all()

    def _recover(self) -> None:
        """After a failure: a new client, and everything that was not acknowledged once more, in order."""
        if self._failure is None:
            return
        if self._clock.monotonic_s() - self._recovered_at_s < _RECOVERY_PAUSE_S:
            self._clock.sleep(_RECOVERY_PAUSE_S)  # the new client failed at once too: brokers are not to be stormed
        self._recovered_at_s = self._clock.monotonic_s()
        with self._acknowledged:
            self._generation += 1  # what the old client still says of failures no longer counts
            failure, self._failure = self._failure, None  # what the new one says from the first record on does
        again, alone = dict(self._under_way), isinstance(failure, _REFUSALS)
        try:
            self._replace_plain()
            self._learn_topics([sent.record for sent in again.values()])
            for number, sent in again.items():
                if alone:
                    self._send_alone(number, sent)
                else:
                    self._follow(give(self._plain, sent.record), number)
        except BaseException:
            with self._acknowledged:
                self._failure = failure
            raise

    def _send_alone(self, number: int, sent: _Sent) -> None:
        """One record and its answer: which of the records that failed together is the one to refuse."""
        metadata = None
        try:
            metadata = give(self._plain, sent.record).get(timeout=self._options.wait_s)
        except _REFUSALS as error:
            self._lost.append(
                f"{sent.record.topic}: {type(error).__name__}: check its max.message.bytes and our rights"
            )
            self._replace_plain()
        except errors.KafkaError as error:
            raise unavailable(self._options, error) from error
        self._done(number, metadata)

    def _replace_plain(self) -> None:
        discard(self._plain)
        self._plain = None
        self._plain = self._bus.connect(lambda: make_producer(self._options, None))

    def _wait_until(self, is_done: Callable[[], bool], timeout_s: float) -> None:
        deadline_s = self._clock.monotonic_s() + timeout_s
        while True:
            self._check_usable()
            self._recover()
            with self._acknowledged:
                left_s = max(0.0, deadline_s - self._clock.monotonic_s())
                settled = self._acknowledged.wait_for(lambda: self._failure or is_done(), left_s)
                done, waiting = is_done(), len(self._under_way)
            if done:
                self._check_usable()
                return
            if not settled or left_s == 0:
                why = f" (the last failure: {self._last_failure})" if self._last_failure else ""
                raise BusUnavailable(
                    f"{waiting} records are not acknowledged by {self._options.where} after {timeout_s:g} s{why}: check"
                    " that the brokers run, can be reached and allow what is asked"
                )

    def _learn_topics(self, records: Sequence[Outgoing]) -> None:
        try:
            learn_topics(self._plain, records)
        except errors.KafkaError as error:
            raise unavailable(self._options, error) from error

    def _check_usable(self) -> None:
        if self._closed:
            raise BusUnavailable("this producer is closed")
        with self._acknowledged:
            lost, self._lost = self._lost, []
        if lost:
            raise DeliveryFailed(f"{len(lost)} records that were sent are lost ({lost[0]})")


class _Sent(NamedTuple):
    """A record under way, and when it was sent (monotonic clock)."""

    record: Outgoing
    at_s: float


class _Placing(NamedTuple):
    """Records whose places somebody waits for: the first one's number, and the answers so far."""

    first: int
    places: list[Placed | None]
