"""Transactions on Kafka: one transactional client, made anew when it is of no use any more.

A commit that was not answered is settled before anything else is written: the client's next life completes or aborts
it, and then it is looked whether its first record can be seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

import kafka
from kafka import errors
from kafka.structs import ConsumerGroupMetadata, OffsetAndMetadata, TopicPartition

from streamer.bus.kafka_answers import unavailable
from streamer.bus.kafka_clients import Cluster, bounded, discard, give, learn_topics, make_producer
from streamer.bus.kafka_options import TRANSACTION_TIMEOUT_S
from streamer.bus.protocol import Outgoing, Position
from streamer.bus.transaction import Acknowledged, InDoubt, write
from streamer.errors import BusUnavailable, DeliveryFailed, Fenced

_ABORT_TIMEOUT_S = 5.0
_TAKEN_OVER = (errors.ProducerFencedError, errors.InvalidProducerEpochError)
_STALE_TOKEN = (errors.CommitFailedError, errors.FencedInstanceIdError)


class _Open(NamedTuple):
    """A transaction whose commit was not answered, and where its first record would be."""

    records: tuple[Outgoing, ...]
    place: TopicPartition
    offset: int


class KafkaTransactions:
    """The transactions of one transactional id, which is taken over from whoever had it. Owned by one thread."""

    def __init__(self, bus: Cluster, transactional_id: str) -> None:
        self._bus = bus
        self._options = bus.options
        self._clock = bus.clock
        self._id = transactional_id
        self._in_doubt: _Open | None = None
        self._taken_over = False
        self._client: Any = bus.connect(self._make)

    def write(self, records: Sequence[Outgoing], position: Position | None) -> None:
        """As `Producer.commit` says."""
        if self._taken_over:
            self._raise_taken_over()
        if self._in_doubt is not None:
            earlier, took_place = self._in_doubt.records, self._settle(self._in_doubt)
            if took_place and earlier == tuple(records):
                return
        if records or position is not None:
            self._write(tuple(records), position)

    def close(self) -> None:
        """Free the connection."""
        self._drop()

    def _write(self, records: tuple[Outgoing, ...], position: Position | None) -> None:
        if self._client is None:
            self._client = self._bus.connect(self._make)
        started_s = self._clock.monotonic_s()
        try:
            learn_topics(self._client, records)
        except errors.KafkaError as error:
            raise unavailable(self._options, error) from error
        try:
            write(_KafkaSteps(self, self._client, started_s), records, position)
        except InDoubt as doubt:
            self._settle_now(records, doubt, started_s)
        except _STALE_TOKEN as error:
            raise Fenced(
                f"group {position.token.group if position else ''} moved on without this member ({error}): nothing of"
                " the transaction is visible; it may be given again with a newer token"
            ) from error
        except errors.KafkaError as error:
            self._raise_not_written(error, started_s)

    def _settle_now(self, records: tuple[Outgoing, ...], doubt: InDoubt, started_s: float) -> None:
        failure = doubt.__cause__
        assert isinstance(failure, Exception)
        self._drop()
        self._taken_over = self._is_taken_over(failure, started_s)
        if not records:  # a position alone leaves no trace to look for, and moving it twice does no harm
            self._raise_not_written(failure, started_s)
        place = TopicPartition(records[0].topic, records[0].partition)
        if not self._settle(_Open(records, place, doubt.proof.offsets[0])):
            self._raise_not_written(failure, started_s)

    def _settle(self, doubt: _Open) -> bool:
        """Whether a transaction took place whose commit was not answered."""
        self._in_doubt = doubt
        if not self._taken_over and self._client is None:
            # A new life of the same transactional id aborts what is open and completes what was being committed.
            self._client = self._bus.connect(self._make)
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
            raise unavailable(self._options, error) from error
        finally:
            reader.close(timeout_ms=0)
        self._in_doubt = None
        return bool(polled) and polled[0].offset == doubt.offset

    def abort(self, client: Any) -> None:
        """Abort what is open. When that fails too, the id's next life or the broker's timeout does it."""
        try:
            bounded(client.abort_transaction, _ABORT_TIMEOUT_S)
        except Exception:
            self._drop()

    def commit_timeout_left_s(self, started_s: float) -> float:
        """How much of a transaction's time is left."""
        return max(0.0, started_s + self._options.commit_timeout_s - self._clock.monotonic_s())

    def _drop(self) -> None:
        discard(self._client)
        self._client = None

    def _make(self) -> Any:
        client = make_producer(self._options, self._id)
        try:
            client.init_transactions()
        except BaseException:
            discard(client)
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

    def _is_taken_over(self, error: Exception, started_s: float) -> bool:
        """Fencing soon after the start is another producer's doing; later it is the broker's transaction timeout."""
        return isinstance(error, _TAKEN_OVER) and self._clock.monotonic_s() - started_s < TRANSACTION_TIMEOUT_S

    def _raise_taken_over(self) -> NoReturn:
        raise DeliveryFailed(f"another producer has taken the transactional id {self._id} over; nothing was written")

    def _raise_not_written(self, error: Exception, started_s: float) -> NoReturn:
        if self._is_taken_over(error, started_s):
            self._taken_over = True
            self._drop()
            self._raise_taken_over()
        if isinstance(error, errors.KafkaTimeoutError):
            self._drop()
            raise unavailable(self._options, error) from error
        raise DeliveryFailed(
            f"the transaction did not take place ({type(error).__name__}: {error}); nothing of it is visible"
        ) from error


class _KafkaSteps:
    """One transaction's steps on the library's client."""

    def __init__(self, transactions: KafkaTransactions, client: Any, started_s: float) -> None:
        self._transactions = transactions
        self._client = client
        self._started_s = started_s
        self._futures: list[Any] = []

    def begin(self) -> None:
        self._client.begin_transaction()

    def give(self, records: Sequence[Outgoing]) -> None:
        self._futures = [give(self._client, record) for record in records]

    def acknowledgements(self) -> Acknowledged:
        return Acknowledged(tuple(future.get(timeout=self._left_s()).offset for future in self._futures))

    def move(self, position: Position, proof: Acknowledged) -> None:
        if len(proof.offsets) != len(self._futures):
            raise BusUnavailable("a position cannot move before its records are acknowledged")
        token = position.token
        member = ConsumerGroupMetadata(token.group, token.generation, token.member, token.instance)
        offsets = {
            TopicPartition(topic, partition): OffsetAndMetadata(next_offset, "", -1)
            for topic, partition, next_offset in position.offsets
        }
        bounded(lambda: self._client.send_offsets_to_transaction(offsets, member), self._left_s())

    def commit(self) -> None:
        bounded(self._client.commit_transaction, self._transactions.commit_timeout_left_s(self._started_s) or 1.0)

    def abort(self) -> None:
        self._transactions.abort(self._client)

    def _left_s(self) -> float:
        return self._transactions.commit_timeout_left_s(self._started_s)
