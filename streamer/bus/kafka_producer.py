"""Writing to Kafka so that an outage of any length loses nothing the caller does not know of.

The library's own batch expiry is switched off by a delivery timeout above any outage: once its idempotent producer
has expired a batch it neither acknowledges nor fails anything again. What is under way is kept here instead, bounded
in bytes. When the library fails a record it fails its neighbours too and may stay useless, so it is replaced and
what was not acknowledged is given to its successor: at least once, in order.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn, Protocol

import kafka
from kafka import errors
from kafka.structs import TopicPartition

from streamer.bus.checks import check_records, record_bytes
from streamer.bus.kafka_options import OUTAGE_LIMIT_MS, TRANSACTION_TIMEOUT_S, KafkaOptions
from streamer.bus.protocol import Outgoing
from streamer.clock import Clock
from streamer.errors import BusUnavailable, DeliveryFailed, UsageError

_ABORT_TIMEOUT_S = 5.0
_REFUSALS = (
    errors.MessageSizeTooLargeError,
    errors.RecordListTooLargeError,
    errors.InvalidRecordError,
    errors.InvalidTopicError,
    errors.AuthorizationError,
)
_FENCED = (errors.ProducerFencedError, errors.InvalidProducerEpochError)


class Cluster(Protocol):
    """What a producer needs of its bus."""

    options: KafkaOptions
    clock: Clock

    def partitions(self, name: str) -> int:
        """How many partitions a topic has."""

    def connect(self, make: Callable[[], Any]) -> Any:
        """What `make` returns, tried again for a while."""

    def forget(self, opened: KafkaBusProducer) -> None:
        """Called by what was closed."""


class KafkaBusProducer:
    """An idempotent producer and, with a transactional id, a transactional one beside it; each made when needed."""

    def __init__(self, bus: Cluster, transactional_id: str | None) -> None:
        self._bus = bus
        self._options = bus.options
        self._clock = bus.clock
        self._transactional_id = transactional_id
        self._plain: Any = None
        self._transactional: Any = None
        self._in_doubt: _InDoubt | None = None
        self._fenced = False
        self._acknowledged = threading.Condition()
        self._under_way: dict[int, _Sent] = {}  # by number, oldest first
        self._bytes = 0
        self._generation = 0
        self._failure: Exception | None = None
        self._sent = 0
        self._lost: list[str] = []
        self._closed = False
        if transactional_id is not None:
            self._transactional = self._bus.connect(self._make_transactional)

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
            self._plain = self._bus.connect(lambda: self._make(None))
        self._learn_topics(self._plain, records)
        for record in records:
            self._send_one(record)

    def commit(self, records: Sequence[Outgoing]) -> None:
        """As the protocol says; `BusUnavailable` of a broker that went away in the moment of committing leaves it
        open whether the records are visible: give the same records again, they are written once."""
        self._check_usable()
        if self._transactional_id is None:
            raise UsageError("this producer was made without a transactional id and cannot commit")
        if self._fenced:
            self._raise_fenced()
        check_records(records, self._bus.partitions, self._options.max_record_bytes)
        if self._in_doubt is not None:
            earlier, took_place = self._in_doubt.records, self._settle(self._in_doubt)
            if took_place and earlier == tuple(records):
                return
        if records:
            self._commit(tuple(records))

    def flush(self, timeout_s: float) -> None:
        deadline_s = self._clock.monotonic_s() + timeout_s
        while True:
            self._check_usable()
            self._recover()
            with self._acknowledged:
                left_s = max(0.0, deadline_s - self._clock.monotonic_s())
                settled = self._acknowledged.wait_for(lambda: self._failure or not self._under_way, left_s)
                waiting = len(self._under_way)
            if not waiting:
                self._check_usable()
                return
            if not settled or left_s == 0:
                raise BusUnavailable(
                    f"{waiting} records are not acknowledged by {self._options.where} after {timeout_s:g} s: check that"
                    " the brokers run and can be reached"
                )

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
        _discard(self._plain)
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
        for client in (self._plain, self._transactional):
            _discard(client)
        self._plain = self._transactional = None
        self._bus.forget(self)

    def _send_one(self, record: Outgoing) -> None:
        with self._acknowledged:
            number = self._sent
            self._sent += 1
            self._under_way[number] = _Sent(record, self._clock.monotonic_s())
            self._bytes += record_bytes(record)
        try:
            self._follow(_give(self._plain, record), number)
        except errors.KafkaError as error:
            self._done(number)
            self._raise_unavailable(error)

    def _follow(self, future: Any, number: int) -> None:
        future.add_callback(lambda _metadata: self._done(number))
        future.add_errback(self._failed, self._generation)

    def _failed(self, generation: int, error: Exception) -> None:
        with self._acknowledged:
            if generation == self._generation and not isinstance(self._failure, _REFUSALS):
                self._failure = error
                self._acknowledged.notify_all()

    def _done(self, number: int) -> None:
        with self._acknowledged:
            sent = self._under_way.pop(number, None)
            if sent is not None:
                self._bytes -= record_bytes(sent.record)
            if not self._under_way:
                self._acknowledged.notify_all()

    def _recover(self) -> None:
        """After a failure: a new client, and everything that was not acknowledged once more, in order."""
        if self._failure is None:
            return
        with self._acknowledged:
            self._generation += 1  # what the old client still says of failures no longer counts
        again, alone = dict(self._under_way), isinstance(self._failure, _REFUSALS)
        self._replace_plain()
        self._learn_topics(self._plain, [sent.record for sent in again.values()])
        for number, sent in again.items():
            if alone:
                self._send_alone(number, sent)
            else:
                self._follow(_give(self._plain, sent.record), number)
        with self._acknowledged:
            self._failure = None

    def _send_alone(self, number: int, sent: _Sent) -> None:
        """One record and its answer: which of the records that failed together is the one to refuse."""
        try:
            _give(self._plain, sent.record).get(timeout=self._options.wait_s)
        except _REFUSALS as error:
            self._lost.append(
                f"{sent.record.topic}: {type(error).__name__}: check its max.message.bytes and our rights"
            )
            self._replace_plain()
        except errors.KafkaError as error:
            self._raise_unavailable(error)
        self._done(number)

    def _replace_plain(self) -> None:
        _discard(self._plain)
        self._plain = None
        self._plain = self._bus.connect(lambda: self._make(None))

    def _commit(self, records: tuple[Outgoing, ...]) -> None:
        if self._transactional is None:
            self._transactional = self._bus.connect(self._make_transactional)
        client = self._transactional
        started_s = self._clock.monotonic_s()
        self._learn_topics(client, records)
        try:
            client.begin_transaction()
            futures = [_give(client, record) for record in records]
            deadline_s = started_s + self._options.commit_timeout_s
            offsets = [
                future.get(timeout=max(0.0, deadline_s - self._clock.monotonic_s())).offset for future in futures
            ]
        except errors.KafkaError as error:
            self._abort(client)
            self._raise_not_committed(error, started_s)
        place = TopicPartition(records[0].topic, records[0].partition)
        failure = _bounded(client.commit_transaction, self._options.commit_timeout_s)
        if failure is not None:
            self._drop_transactional()
            self._fenced = self._fenced_by_another(failure, started_s)
            if not self._settle(_InDoubt(records, place, offsets[0])):
                self._raise_not_committed(failure, started_s)

    def _settle(self, doubt: _InDoubt) -> bool:
        """Whether a transaction took place whose commit was not answered."""
        self._in_doubt = doubt
        if not self._fenced and self._transactional is None:
            # A new life of the same transactional id aborts what is open and completes what was being committed.
            self._transactional = self._bus.connect(self._make_transactional)
        reader = self._bus.connect(lambda: self._make_reader(doubt.place))
        deadline_s = self._clock.monotonic_s() + self._options.wait_s
        try:
            reader.seek(doubt.place, doubt.offset)
            while True:
                polled = [record for records in reader.poll(timeout_ms=200).values() for record in records]
                position = reader.position(doubt.place, timeout_ms=1000)
                if polled or (position is not None and position > doubt.offset):
                    break
                if self._clock.monotonic_s() > deadline_s:
                    raise errors.KafkaTimeoutError("it is not known yet whether the last transaction took place")
        except errors.KafkaError as error:
            self._raise_unavailable(error)
        finally:
            reader.close(timeout_ms=0)
        self._in_doubt = None
        return bool(polled) and polled[0].offset == doubt.offset

    def _abort(self, client: Any) -> None:
        # When aborting fails too, the next life of the transactional id or the broker's timeout does it.
        if _bounded(client.abort_transaction, _ABORT_TIMEOUT_S) is not None:
            self._drop_transactional()

    def _drop_transactional(self) -> None:
        _discard(self._transactional)
        self._transactional = None

    def _fenced_by_another(self, error: Exception, started_s: float) -> bool:
        """Fencing soon after the start is another producer's doing; later it is the broker's transaction timeout."""
        return isinstance(error, _FENCED) and self._clock.monotonic_s() - started_s < TRANSACTION_TIMEOUT_S

    def _learn_topics(self, client: Any, records: Sequence[Outgoing]) -> None:
        """Have the client know the topics before it takes the first record: afterwards `send` never waits."""
        try:
            for name in {record.topic for record in records}:
                client.partitions_for(name)
        except errors.KafkaError as error:
            self._raise_unavailable(error)

    def _make(self, transactional_id: str | None) -> Any:
        return kafka.KafkaProducer(
            **self._options.client(),
            transactional_id=transactional_id,
            transaction_timeout_ms=int(TRANSACTION_TIMEOUT_S * 1000),
            acks="all",
            enable_idempotence=True,
            delivery_timeout_ms=OUTAGE_LIMIT_MS,
            linger_ms=self._options.linger_ms if transactional_id is None else 0,
            batch_size=256 * 1024,
            compression_type=None if self._options.compression == "none" else self._options.compression,
            max_request_size=max(1024 * 1024, self._options.max_record_bytes + 4096),
            max_block_ms=int(self._options.wait_s * 1000),
            allow_auto_create_topics=False,
            retry_backoff_ms=100 if transactional_id is None else 10,
            bootstrap_timeout_ms=2000,
            metrics_enabled=False,
        )

    def _make_transactional(self) -> Any:
        client = self._make(self._transactional_id)
        try:
            client.init_transactions()
        except BaseException:
            _discard(client)
            raise
        return client

    def _make_reader(self, place: TopicPartition) -> Any:
        reader = kafka.KafkaConsumer(
            **self._options.client(),
            group_id=None,
            isolation_level="read_committed",
            enable_auto_commit=False,
            allow_auto_create_topics=False,
            auto_offset_reset="earliest",
            bootstrap_timeout_ms=2000,
            metrics_enabled=False,
        )
        reader.assign([place])
        return reader

    def _check_usable(self) -> None:
        if self._closed:
            raise BusUnavailable("this producer is closed")
        with self._acknowledged:
            lost, self._lost = self._lost, []
        if lost:
            raise DeliveryFailed(f"{len(lost)} records that were sent are lost ({lost[0]})")

    def _raise_unavailable(self, error: Exception) -> NoReturn:
        raise BusUnavailable(
            f"the brokers {self._options.where} do not answer ({type(error).__name__}: {error}): check that they run"
            " and can be reached"
        ) from error

    def _raise_fenced(self) -> NoReturn:
        raise DeliveryFailed(
            f"another producer has taken the transactional id {self._transactional_id} over; nothing was written"
        )

    def _raise_not_committed(self, error: Exception, started_s: float) -> NoReturn:
        if self._fenced_by_another(error, started_s):
            self._fenced = True
            self._drop_transactional()
            self._raise_fenced()
        if isinstance(error, errors.KafkaTimeoutError):
            self._drop_transactional()
            self._raise_unavailable(error)
        raise DeliveryFailed(
            f"the transaction did not take place ({type(error).__name__}: {error}); nothing of it is visible"
        ) from error


class _Sent(NamedTuple):
    """A record under way, and when it was sent (monotonic clock)."""

    record: Outgoing
    at_s: float


class _InDoubt:
    """A transaction whose commit was not answered, and where its first record would be."""

    def __init__(self, records: tuple[Outgoing, ...], place: TopicPartition, offset: int) -> None:
        self.records = records
        self.place = place
        self.offset = offset


def _give(client: Any, record: Outgoing) -> Any:
    return client.send(
        record.topic,
        value=record.value,
        key=record.key,
        headers=list(record.headers),
        partition=record.partition,
    )


def _bounded(call: Callable[[], None], timeout_s: float) -> Exception | None:
    """How `call` failed, or None; a call that the library lets wait for ever is left to itself after `timeout_s`."""
    outcome: list[Exception | None] = []

    def run() -> None:
        try:
            call()
            outcome.append(None)
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=run, name="kafka-transaction", daemon=True)
    thread.start()
    thread.join(timeout_s)
    return outcome[0] if outcome else errors.KafkaTimeoutError(f"no answer for {timeout_s:.0f} s")


def _discard(client: Any) -> None:
    """Close a client at once, whatever it still holds."""
    if client is None:
        return
    try:
        client.close(timeout=0.2)
    except errors.KafkaError:
        client._sender.force_close()  # `close` gives up before closing when it cannot flush
        client._closed = True
