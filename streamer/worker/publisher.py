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

from streamer.bus.protocol import Bus, Outgoing
from streamer.errors import BusError


@dataclass(frozen=True, slots=True)
class Batch:
    """Records to publish together. `done` runs on the publisher thread once they are safely on the bus."""

    records: Sequence[Outgoing]
    transactional: bool
    done: Callable[[], None] | None = None


class Publisher:
    """Publishes batches in order. `failed` is called once, from the publisher thread, when the bus refuses."""

    def __init__(self, bus: Bus, transactional_id: str, failed: Callable[[BusError], None], depth: int = 2) -> None:
        self._bus = bus
        self._transactional_id = transactional_id
        self._failed = failed
        self._queue: queue.Queue[Batch | None] = queue.Queue(depth)
        self._broken = threading.Event()
        self.cpu_s = 0.0
        self.published = 0
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        self._thread.start()

    def publish(self, batch: Batch) -> None:
        """Queue a batch; waits while the bus is behind. After a failure batches are discarded: the caller ends."""
        while not self._broken.is_set():
            try:
                self._queue.put(batch, timeout=0.5)
                return
            except queue.Full:
                continue

    def close(self, timeout_s: float) -> None:
        """Publish what is queued and stop."""
        try:
            self._queue.put(None, timeout=timeout_s)
        except queue.Full:
            return
        self._thread.join(timeout_s)

    def _run(self) -> None:
        live = archive = None
        try:
            while (batch := self._queue.get()) is not None:
                if batch.transactional:
                    archive = archive or self._bus.producer(self._transactional_id)
                    archive.commit(batch.records)
                else:
                    live = live or self._bus.producer()
                    live.send(batch.records)
                self.published += len(batch.records)
                self.cpu_s = time.thread_time()
                if batch.done is not None:
                    batch.done()
            if live is not None:
                live.flush(10.0)
        except BusError as error:
            self._broken.set()
            self._failed(error)
        finally:
            for producer in (live, archive):
                if producer is not None:
                    producer.close()
