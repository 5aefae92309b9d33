"""Follows a topic that is nobody's in particular: every worker hears all that is written there from now on."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

from streamer import log
from streamer.bus.protocol import Bus, Consumer
from streamer.errors import BusError
from streamer.worker.children import Posted
from streamer.worker.membership import Records

POLL_S = 0.5
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0


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
        pause_s = FIRST_PAUSE_S
        while not self._closing.is_set():
            try:
                consumer = self._bus.consumer([self._topic], group=None, start="latest")
                pause_s = FIRST_PAUSE_S
                try:
                    self._follow(consumer)
                finally:
                    consumer.close()
            except BusError as error:
                self._pause(error, pause_s)
            except Exception as error:  # a thread that died silently would leave wishes unheard for ever
                log.error("follower.broke", topic=self._topic, exc_info=True)
                self._pause(error, pause_s)
            pause_s = min(LONGEST_PAUSE_S, 2 * pause_s)

    def _follow(self, consumer: Consumer) -> None:
        self.ready.set()
        while not self._closing.is_set():
            try:
                records = consumer.poll(POLL_S)
            except BusError as error:
                self._pause(error, FIRST_PAUSE_S)
                continue
            if records:
                self._post(Records(self._topic, records, frozenset()))

    def _pause(self, error: Exception, pause_s: float) -> None:
        log.info("follower.away", topic=self._topic, reason=str(error))
        self._closing.wait(pause_s * random.uniform(0.5, 1.0))  # noqa: S311  # jitter
