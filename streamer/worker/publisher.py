"""The publisher thread of a child: the only place where records meet the bus.

Archive batches are committed in one transaction with the state and the position they lead to; live batches are
sent as they come. The queue is short, so that a slow bus holds the inference loop back: an archive then decodes
no further and a live stream drops its oldest frames, counted, instead of memory growing.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from streamer import log
from streamer.bus.protocol import Bus, Outgoing, Producer
from streamer.errors import BusError, BusUnavailable

FLUSH_S = 10.0
_WAIT_S = 0.5


@dataclass(frozen=True, slots=True)
class Batch:
    """Records to publish together. `done` runs on the publisher thread once they are safely on the bus."""

    records: Sequence[Outgoing]
    transactional: bool
    done: Callable[[], None] | None = None


class Publisher:
    """Publishes batches in order. `failed` is called once, from the publisher thread, when the bus refuses.

    `waiting` is called, twice a second, on the thread that waits in `publish` for a bus that is behind. `published`
    and `cpu_s` are the records on the bus and the CPU seconds they took.
    """

    def __init__(
        self,
        bus: Bus,
        transactional_id: str,
        failed: Callable[[BusError], None],
        waiting: Callable[[], None] = lambda: None,
        depth: int = 2,
    ) -> None:
        self._bus = bus
        self._transactional_id = transactional_id
        self._failed = failed
        self._waiting = waiting
        self._queue: queue.Queue[Batch | None] = queue.Queue(depth)
        self._error: BusError | None = None
        self._archive: Producer | None = None
        self._live: Producer | None = None
        self.cpu_s = 0.0
        self.published = 0
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        self._thread.start()

    def publish(self, batch: Batch) -> None:
        """Queue a batch; waits while the bus is behind. After a failure batches are discarded: the caller ends."""
        self._put(batch, None)

    def close(self, timeout_s: float) -> None:
        """Publish what is queued and stop. Raises the `BusError` that kept anything from the bus."""
        deadline_s = time.monotonic() + timeout_s
        if self._put(None, deadline_s):
            self._thread.join(max(0.0, deadline_s - time.monotonic()))
        if self._error is not None:
            raise self._error
        if self._thread.is_alive():
            raise BusUnavailable(f"the bus did not take the last records within {timeout_s:g} s: look at its state")

    def _put(self, batch: Batch | None, deadline_s: float | None) -> bool:
        while self._error is None:
            left_s = _WAIT_S if deadline_s is None else min(_WAIT_S, deadline_s - time.monotonic())
            try:
                self._queue.put(batch, timeout=max(0.0, left_s))
                return True
            except queue.Full:
                if left_s <= 0:
                    return False
                self._waiting()
        return False

    def _run(self) -> None:
        try:
            while (batch := self._queue.get()) is not None:
                self._publish(batch)
                self.published += len(batch.records)
                self.cpu_s = time.thread_time()
                if batch.done is not None:
                    batch.done()
            if self._live is not None:
                self._live.flush(FLUSH_S)
        except BusError as error:
            self._fail(error)
        except Exception as error:  # a thread that dies silently would leave the loop waiting for ever
            self._fail(BusError(f"publishing failed ({type(error).__name__}: {error}): please report it"))
            log.error("publisher.broke", exc_info=True)
        finally:
            for producer in (self._live, self._archive):
                if producer is not None:
                    producer.close()

    def _publish(self, batch: Batch) -> None:
        if batch.transactional:
            self._archive = self._archive or self._bus.producer(self._transactional_id)
            self._archive.commit(batch.records)
            return
        self._live = self._live or self._bus.producer()
        self._live.send(batch.records)
        if batch.done is not None:  # somebody waits to hear that they are delivered, not only accepted
            self._live.flush(FLUSH_S)

    def _fail(self, error: BusError) -> None:
        self._error = error
        self._failed(error)
