"""What a partition holds now, read by two clients that are kept: looking something up is frequent and must be cheap."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kafka import errors
from kafka.structs import TopicPartition

from streamer.bus.kafka_answers import incoming, learn, unavailable
from streamer.bus.kafka_options import TRANSACTION_TIMEOUT_S, KafkaOptions
from streamer.bus.protocol import Incoming, Isolation
from streamer.clock import Clock

_SETTLE_POLL_S = 0.05
_FETCH_BYTES = 16 * 1024 * 1024
_RECORDS = 5000


class KafkaScanner:
    """Reads partitions from somewhere to their present end. `make` makes a client. Owned by one thread at a time."""

    def __init__(self, options: KafkaOptions, clock: Clock, make: Callable[[Isolation, dict[str, Any]], Any]) -> None:
        self._options = options
        self._clock = clock
        self._make = make
        self._clients: dict[Isolation, Any] = {}

    def latest(
        self,
        place: TopicPartition,
        keys: Sequence[bytes] | None,
        since_s: float | None,
        from_offset: int | None,
        settled: bool,
    ) -> dict[bytes, Incoming]:
        """As `Bus.latest` says. Raises `BusUnavailable`."""
        try:
            if settled:
                self._wait_until_settled(place)
            return self._scan(place, None if keys is None else set(keys), since_s, from_offset)
        except errors.KafkaError as error:
            self.close()
            raise unavailable(self._options, error) from error

    def end_offset(self, place: TopicPartition) -> int:
        """The offset of the next record, behind open transactions too. Raises `BusUnavailable`."""
        try:
            return self._end(place, "read_uncommitted")
        except errors.KafkaError as error:
            self.close()
            raise unavailable(self._options, error) from error

    def close(self) -> None:
        """Free the connections; the next question makes new ones."""
        for client in self._clients.values():
            client.close(timeout_ms=0)
        self._clients.clear()

    def _scan(
        self, place: TopicPartition, wanted: set[bytes] | None, since_s: float | None, from_offset: int | None
    ) -> dict[bytes, Incoming]:
        client = self._client(place, "read_committed")
        start = from_offset or 0
        if since_s is not None:
            found = client.offsets_for_times({place: int(since_s * 1000)}, timeout_ms=self._wait_ms)[place]
            if found is None:
                return {}
            start = max(start, found.offset)
        end = self._end(place, "read_committed")
        if start:
            client.seek(place, start)
        else:
            client.seek_to_beginning(place)  # retention may have taken offset 0 away
        newest: dict[bytes, Incoming] = {}
        deadline_s = self._clock.monotonic_s() + self._options.wait_s
        while start < end and ((at := client.position(place, timeout_ms=1000)) is None or at < end):
            for record in incoming(client.poll(timeout_ms=200, max_records=_RECORDS)):
                deadline_s = self._clock.monotonic_s() + self._options.wait_s  # as long as something comes
                if wanted is None or record.key in wanted:
                    newest[record.key] = record
            self._check_in_time(deadline_s, self._options.wait_s)
        return {key: record for key, record in newest.items() if record.value is not None}

    def _wait_until_settled(self, place: TopicPartition) -> None:
        """Until committed readers see as far as uncommitted ones did at the beginning: what was open then is over."""
        limit_s = TRANSACTION_TIMEOUT_S + self._options.wait_s
        deadline_s = self._clock.monotonic_s() + limit_s
        end = self._end(place, "read_uncommitted")
        while self._end(place, "read_committed") < end:
            self._check_in_time(deadline_s, limit_s)
            self._clock.sleep(_SETTLE_POLL_S)

    def _end(self, place: TopicPartition, isolation: Isolation) -> int:
        client = self._client(place, isolation)
        return int(client.end_offsets([place], timeout_ms=self._wait_ms)[place])

    def _client(self, place: TopicPartition, isolation: Isolation) -> Any:
        client = self._clients.get(isolation)
        if client is None:
            client = self._make(
                isolation,
                {"max_partition_fetch_bytes": max(_FETCH_BYTES, 2 * self._options.max_record_bytes)},
            )
            self._clients[isolation] = client
        if client.assignment() != {place}:
            client.assign([place])
            learn(client, [place.topic], self._options.wait_s)
        return client

    def _check_in_time(self, deadline_s: float, limit_s: float) -> None:
        if self._clock.monotonic_s() > deadline_s:
            raise errors.KafkaTimeoutError(f"no answer for {limit_s:.0f} s")

    @property
    def _wait_ms(self) -> int:
        return int(self._options.wait_s * 1000)
