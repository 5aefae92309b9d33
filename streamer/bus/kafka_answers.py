"""What the Kafka library answers, in our words: records, errors, and what it knows of topics."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from kafka import errors

from streamer.bus.kafka_options import KafkaOptions
from streamer.bus.kafka_refusal import refusal
from streamer.bus.protocol import Incoming
from streamer.errors import BusError, BusUnavailable


def incoming(polled: dict[Any, list[Any]]) -> Iterable[Incoming]:
    """The library's records as ours, partition by partition."""
    for records in polled.values():
        for record in records:
            yield Incoming(
                record.topic,
                record.partition,
                record.offset,
                record.key if record.key is not None else b"",
                record.value,
                tuple((name, value if value is not None else b"") for name, value in record.headers),
                record.timestamp / 1000,
            )


def unavailable(options: KafkaOptions, error: Exception) -> BusError:
    """What a failure of the library means to the operator."""
    if isinstance(error, errors.AuthorizationError):
        user = f" the user {options.username}" if options.username else ""
        return BusUnavailable(
            f"the brokers {options.where} do not allow{user or ' this program'} what it asks for"
            f" ({type(error).__name__.removesuffix('Error')}): grant it the rights listed in docs/messages.md"
        )
    if options.security != "plaintext" and isinstance(error, errors.KafkaTimeoutError | errors.KafkaConnectionError):
        reason = refusal(options)
        if reason is not None:
            return BusUnavailable(f"the brokers {options.where} cannot be used: {reason}")
    if hopeless(error):
        return BusUnavailable(
            f"the brokers {options.where} refuse this program: {error}: check its credentials and rights"
        )
    return BusUnavailable(
        f"the brokers {options.where} do not answer ({type(error).__name__}: {error}): check that they run and can be"
        " reached from here"
    )


def hopeless(error: Exception) -> bool:
    """Whether trying again cannot help."""
    return isinstance(
        error,
        (
            errors.AuthorizationError,
            errors.SaslAuthenticationFailedError,
            errors.UnsupportedSaslMechanismError,
            errors.InvalidReplicationFactorError,
            errors.PolicyViolationError,
            errors.InvalidTopicError,
            errors.KafkaConfigurationError,
        ),
    )


def learn(client: Any, topics: Iterable[str], timeout_s: float) -> None:
    """Have a consumer know its topics now.

    When its first question about the cluster is still under way as topics are named, the library forgets to ask about
    them for as long as `metadata_max_age_ms`, and a group leader then gives out nothing. Its public way to ask again
    waits for ever, so this is that way with a limit.
    """
    deadline_s = time.monotonic() + timeout_s
    while any(client._cluster.partitions_for_topic(topic) is None for topic in topics):
        left_s = deadline_s - time.monotonic()
        if left_s <= 0:
            raise errors.KafkaTimeoutError(f"the topics' partitions were not told within {timeout_s:g} s")
        client._net.run(client._manager.wait_for, client._cluster.request_update(), left_s * 1000)
