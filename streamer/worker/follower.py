"""Follows a topic that is nobody's in particular: every worker hears all that is written there from now on."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

from streamer import log
from streamer.bus.protocol import Bus
from streamer.errors import BusError
from streamer.worker.children import Posted
from streamer.worker.membership import Records

POLL_S = 0.5
LONGEST_PAUSE_S = 5.0


class Follower:
    """Posts the records of `topic` that are written after `ready` is set; after an outage it goes on where it was."""

    def __init__(self, bus: Bus, topic: str, post: Callable[[Posted], None]) -> None:
        self._bus = bus
        self._topic = topic
        self._post = post
        self._closing = threading.Event()
        self.ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"follower of {topic}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop following."""
        self._closing.set()
        self._thread.join(2.0)

    def _run(self) -> None:
        pause_s = 0.2
        while not self._closing.is_set():
            try:
                consumer = self._bus.consumer([self._topic], group=None, start="latest")
            except BusError as error:
                self._pause(error, pause_s)
                pause_s = min(LONGEST_PAUSE_S, 2 * pause_s)
                continue
            self.ready.set()
            while not self._closing.is_set():
                try:
                    records = consumer.poll(POLL_S)
                except BusError as error:
                    self._pause(error, pause_s)
                    continue
                if records:
                    self._post(Records(self._topic, records, frozenset()))
            consumer.close()

    def _pause(self, error: BusError, pause_s: float) -> None:
        log.info("follower.away", topic=self._topic, reason=str(error))
        self._closing.wait(pause_s * random.uniform(0.5, 1.0))  # noqa: S311  # jitter
