"""The Kafka library's producers: how they are made, used and thrown away."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import kafka
from kafka import errors

from streamer.bus.kafka_options import OUTAGE_LIMIT_MS, TRANSACTION_TIMEOUT_S, KafkaOptions
from streamer.bus.protocol import Outgoing
from streamer.clock import Clock


class Cluster(Protocol):
    """What a producer needs of its bus."""

    options: KafkaOptions
    clock: Clock

    def partitions(self, name: str) -> int:
        """How many partitions a topic has."""

    def connect(self, make: Callable[[], Any]) -> Any:
        """What `make` returns, tried again for a while."""

    def forget(self, opened: Any) -> None:
        """Called by what was closed."""


def make_producer(options: KafkaOptions, transactional_id: str | None) -> Any:
    """An idempotent client, transactional when it is given an id."""
    return kafka.KafkaProducer(
        **options.client(),
        transactional_id=transactional_id,
        transaction_timeout_ms=int(TRANSACTION_TIMEOUT_S * 1000),
        acks="all",
        enable_idempotence=True,
        delivery_timeout_ms=OUTAGE_LIMIT_MS,
        linger_ms=options.linger_ms if transactional_id is None else 0,
        batch_size=256 * 1024,
        compression_type=None if options.compression == "none" else options.compression,
        max_request_size=max(1024 * 1024, options.max_record_bytes + 4096),
        max_block_ms=int(options.wait_s * 1000),
        allow_auto_create_topics=False,
        retry_backoff_ms=100 if transactional_id is None else 10,
        bootstrap_timeout_ms=2000,
        metrics_enabled=False,
    )


def learn_topics(client: Any, records: Sequence[Outgoing]) -> None:
    """Have the client know the topics before it takes the first record: afterwards sending never waits."""
    for name in {record.topic for record in records}:
        client.partitions_for(name)


def give(client: Any, record: Outgoing) -> Any:
    """The future of the record's acknowledgement."""
    return client.send(
        record.topic,
        value=record.value,
        key=record.key,
        headers=list(record.headers),
        partition=record.partition,
    )


def bounded(call: Callable[[], None], timeout_s: float) -> None:
    """Run `call`, which raises what it raises; one that the library lets wait for ever is left to itself after
    `timeout_s`, with a `KafkaTimeoutError`."""
    outcome: list[BaseException | None] = []

    def run() -> None:
        try:
            call()
            outcome.append(None)
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=run, name="kafka-transaction", daemon=True)
    thread.start()
    thread.join(timeout_s)
    failure = outcome[0] if outcome else errors.KafkaTimeoutError(f"no answer for {timeout_s:.0f} s")
    if failure is not None:
        raise failure


def discard(client: Any) -> None:
    """Close a client at once, whatever it still holds."""
    if client is None:
        return
    try:
        client.close(timeout=0.2)
    except errors.KafkaError:
        client._sender.force_close()  # `close` gives up before closing when it cannot flush
        client._closed = True
