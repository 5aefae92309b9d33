"""The Kafka library's `poll` on a thread of its own; what happens in it is handed to the thread that owns a member."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Literal

from kafka import AsyncConsumerRebalanceListener
from kafka.future import Future
from kafka.structs import TopicPartition

from streamer.bus.kafka_answers import incoming
from streamer.bus.protocol import Incoming

_POLL_MS = 200
_JOIN_MS = 5000
# While a heartbeat is not answered the library turns in circles inside of its poll, which costs a core and, until the
# request times out, memory: so it is kept short, and we wait in its place.
_OVERDUE_MS = 1
_OVERDUE_PAUSE_S = 0.1
_IDLE_S = 5.0  # how long after the owner's last `wait` polling goes on

Kind = Literal["assigned", "revoked", "lost"]


@dataclass(frozen=True, slots=True)
class Change:
    """Something happened to our partitions; the rebalance waits until `done` is called."""

    kind: Kind
    partitions: frozenset[int]
    client: Any
    answer: Any

    def done(self) -> None:
        """Let the rebalance go on."""
        self.client._net.call_soon_threadsafe(lambda: self.answer.success(None))


class Polling:
    """Polls `client`, one poll at a time; `wait` is the owner's. `relay` is the listener for the library.

    With `whole` a new partition is read from its beginning.
    """

    def __init__(self, client: Any, whole: bool) -> None:
        self._client = client
        self._wanted: SimpleQueue[int | None] = SimpleQueue()
        self._happened: SimpleQueue[Change | list[Incoming] | Exception] = SimpleQueue()
        self._closed = False
        self._is_under_way = False
        self._until_s = 0.0
        self.turns = 0  # how many polls of the library are over and their records are to be had here
        self.relay = _Relay(self, whole)
        threading.Thread(target=self._run, name="kafka-member", daemon=True).start()

    def wait(self, timeout_s: float, max_records: int) -> Change | list[Incoming] | Exception:
        """Records, an error, or a change (after which the poll goes on); [] when nothing happens in time."""
        self._until_s = time.monotonic() + _IDLE_S
        if not self._is_under_way:
            self._is_under_way = True
            self._wanted.put(max_records)
        try:
            happened = self._happened.get(timeout=timeout_s)
        except Empty:
            return []  # the same poll is waited for next time
        if not isinstance(happened, Change):
            self._is_under_way = False
        return happened

    def has_news(self) -> bool:
        """Whether `wait` would return at once."""
        return not self._happened.empty()

    def close(self) -> None:
        """Want nothing more; whatever waits for an answer goes on."""
        self._closed = True
        self._wanted.put(None)
        while True:
            try:
                happened = self._happened.get_nowait()
            except Empty:
                return
            if isinstance(happened, Change):
                happened.done()

    async def tell(self, kind: Kind, places: Iterable[TopicPartition]) -> None:
        """On the library's thread: have the owner hear of it, and return when it is done."""
        if not self._closed:
            answer = Future()
            self._happened.put(Change(kind, frozenset(place.partition for place in places), self._client, answer))
            await answer

    def from_beginning(self, places: Iterable[TopicPartition]) -> None:
        """On the library's thread: read these from their beginning."""
        self._client.seek_to_beginning(*places)

    def _run(self) -> None:
        while (max_records := self._wanted.get()) is not None:
            try:
                self._happened.put(self._poll(max_records))
            except Exception as error:  # the owner decides what it means
                self._happened.put(error)
            self.turns += 1

    def _poll(self, max_records: int) -> list[Incoming]:
        coordinator = self._client._coordinator
        while True:
            # A join that is answered between two of its polls the library forgets and begins again, for ever where
            # polls are short: so a join is waited for.
            if coordinator.need_rejoin():
                coordinator.poll(timeout_ms=_JOIN_MS)
            overdue = coordinator.time_to_next_poll() == 0 and not coordinator.coordinator_unknown()
            timeout_ms = _OVERDUE_MS if overdue else _POLL_MS
            records = list(incoming(self._client.poll(timeout_ms=timeout_ms, max_records=max_records)))
            if records or self._closed or time.monotonic() > self._until_s:
                return records
            if overdue:
                time.sleep(_OVERDUE_PAUSE_S)
            self.turns += 1


class _Relay(AsyncConsumerRebalanceListener):  # type: ignore[misc]  # the library has no types
    """Hears of rebalances; being asynchronous it leaves the library free to send heartbeats meanwhile."""

    def __init__(self, polling: Polling, whole: bool) -> None:
        self._polling = polling
        self._whole = whole

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        if self._whole:
            self._polling.from_beginning(assigned)
        await self._polling.tell("assigned", assigned)

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        await self._polling.tell("revoked", revoked)

    async def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        await self._polling.tell("lost", lost)
