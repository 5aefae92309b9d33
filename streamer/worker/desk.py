"""The supervisor's own business with the bus, on a thread of its own: its loop never waits for a broker.

One thing after the other, in the order asked for. While the bus is away the first one is tried again and again. A run,
whose loop claims and writes by itself, has no such thread: see `AtOnce`.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from streamer import log
from streamer.backoff import Backoff
from streamer.bus.protocol import Bus, Outgoing, Placed, Position, Producer
from streamer.errors import BusUnavailable, StreamerError
from streamer.worker.children import Posted

APPEND_TIMEOUT_S = 10.0
AT_ONCE_S = 2.0
"""So long a loop waits that has others to look after."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Done(Posted):
    """Something asked of the desk is done: `then` is for the supervisor's loop to call."""

    then: Callable[[], None]


@dataclass(frozen=True, slots=True)
class _Task:
    what: Callable[[], Any]
    then: Callable[[Any], None] | None
    failed: Callable[[StreamerError], None]


class Appends(Protocol):
    """Writes records, acknowledged; the loop hears where they are, or why they are not there."""

    def append(
        self,
        records: Sequence[Outgoing],
        then: Callable[[list[Placed]], None] | None = None,
        failed: Callable[[StreamerError], None] | None = None,
    ) -> None:
        """Have records written: `then` or `failed` is called in the loop, now or later."""


@dataclass(frozen=True, slots=True)
class AtOnce:
    """Writes while the loop waits, and tries nothing again."""

    bus: Bus

    def append(
        self,
        records: Sequence[Outgoing],
        then: Callable[[list[Placed]], None] | None = None,
        failed: Callable[[StreamerError], None] | None = None,
    ) -> None:
        """Write them; one of the two is called before this returns."""
        try:
            producer = self.bus.producer()
            try:
                places = producer.append(records, AT_ONCE_S)
            finally:
                producer.close()
        except StreamerError as error:
            (failed or _complain)(error)
            return
        if then is not None:
            then(places)


class Desk:
    """`post` brings answers to the supervisor's loop. Everything but `away_s` is for that loop to call."""

    def __init__(self, bus: Bus, transactional_id: str, post: Callable[[Posted], None]) -> None:
        self.bus = bus
        self._transactional_id = transactional_id
        self._post = post
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._plain: Producer | None = None
        self._transactional: Producer | None = None
        self._closing = threading.Event()
        self._away_since_s: float | None = None
        self._thread = threading.Thread(target=self._run, name="desk", daemon=True)
        self._thread.start()

    @property
    def away_s(self) -> float:
        """For how long the bus has not answered; 0 while it does."""
        since_s = self._away_since_s
        return 0.0 if since_s is None else time.monotonic() - since_s

    def do(
        self,
        what: Callable[[], _T],
        then: Callable[[_T], None] | None = None,
        failed: Callable[[StreamerError], None] | None = None,
    ) -> None:
        """Have `what` done on the desk's thread, and its answer given to `then` in the loop.

        `what` is called again after `BusUnavailable`; any other failure goes to `failed`, else into the log.
        """
        self._tasks.put(_Task(what, then, failed or _complain))

    def append(
        self,
        records: Sequence[Outgoing],
        then: Callable[[list[Placed]], None] | None = None,
        failed: Callable[[StreamerError], None] | None = None,
    ) -> None:
        """Have records written, acknowledged."""
        self.do(lambda: self.append_now(records), then, failed)

    def append_now(self, records: Sequence[Outgoing]) -> list[Placed]:
        """The same, inside of something that the desk does."""
        try:
            return self._producer().append(records, APPEND_TIMEOUT_S)
        except BusUnavailable:  # they are given again: what this producer still holds would come twice
            plain, self._plain = self._plain, None
            if plain is not None:
                plain.close()
            raise

    def commit(
        self,
        records: Sequence[Outgoing],
        position: Position,
        then: Callable[[None], None],
        failed: Callable[[StreamerError], None],
    ) -> None:
        """Have records written in one transaction with a group's position."""
        self.do(lambda: self.commit_now(records, position), then, failed)

    def commit_now(self, records: Sequence[Outgoing], position: Position) -> None:
        """The same, inside of something that the desk does: the very same records when it is tried again."""
        self._committer().commit(records, position)

    def close(self, timeout_s: float) -> None:
        """Do what was asked for, as far as the time allows, and stop."""
        self._tasks.put(None)
        self._thread.join(timeout_s)
        self._closing.set()
        self._thread.join(1.0)

    def _producer(self) -> Producer:
        self._plain = self._plain or self.bus.producer()
        return self._plain

    def _committer(self) -> Producer:
        self._transactional = self._transactional or self.bus.producer(self._transactional_id)
        return self._transactional

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None and not self._closing.is_set():
            self._attempt(task)
        for producer in (self._plain, self._transactional):
            if producer is not None:
                producer.close()

    def _attempt(self, task: _Task) -> None:
        backoff = Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S)
        while not self._closing.is_set():
            try:
                answer = task.what()
            except BusUnavailable as error:
                if self._away_since_s is None:
                    self._away_since_s = time.monotonic()
                    log.warning("bus.away", reason=str(error))
                self._closing.wait(backoff.next_s())
            except StreamerError as error:
                self._post(Done(_bound(task.failed, error)))
                return
            except Exception as error:  # a thread that died silently would leave the loop waiting for ever
                log.error("desk.broke", exc_info=True)
                broke = StreamerError(f"{type(error).__name__}: {error}")
                self._post(Done(_bound(task.failed, broke)))
                return
            else:
                if self._away_since_s is not None:
                    log.warning("bus.back", away_s=round(self.away_s, 1))
                    self._away_since_s = None
                if task.then is not None:
                    self._post(Done(_bound(task.then, answer)))
                return


def _bound(call: Callable[[_T], None], answer: _T) -> Callable[[], None]:
    return lambda: call(answer)


def _complain(error: StreamerError) -> None:
    log.error("bus.refused", cause=error.cause, reason=str(error))
