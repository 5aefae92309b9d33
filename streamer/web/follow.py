"""The thread that reads the bus for the model, and begins anew when the bus was away."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from streamer import log
from streamer.backoff import Backoff
from streamer.bus.open import open_bus
from streamer.bus.protocol import Bus, Consumer
from streamer.config import Config
from streamer.errors import StreamerError
from streamer.web.model import Model, Wanted

POLL_S = 0.1
MAX_RECORDS = 2000
ASK_S = 2.0
HEARD_S = 180.0
"""Statuses older than this are no news of a stream: every owner repeats them far more often."""


class Follower:
    """Reads from construction to `close`. What is lost while the bus is away was not seen: this is a live picture."""

    def __init__(self, config: Config, model: Model) -> None:
        self._config = config
        self._model = model
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dashboard-follow", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop reading."""
        self._stop.set()
        self._thread.join(15.0)

    def _run(self) -> None:
        backoff = Backoff(0.5, 10.0)
        while not self._stop.is_set():
            try:
                with self._opened() as bus:
                    self._follow(bus, backoff)
            except StreamerError as error:
                self._model.away(str(error))
                log.info("dashboard.bus_away", reason=str(error))
            except Exception:
                self._model.away("Reading the bus failed in a way nobody foresaw: see the log, and report it.")
                log.error("dashboard.broke", exc_info=True)
            self._stop.wait(backoff.next_s())

    @contextmanager
    def _opened(self) -> Iterator[Bus]:
        bus = open_bus(self._config.bus, create=False, settings=self._config.topics)
        try:
            yield bus
        finally:
            bus.close()

    def _follow(self, bus: Bus, backoff: Backoff) -> None:
        names = self._model.names
        live = bus.consumer(
            [each.name for each in (names.observations, names.windows, names.tracks, names.status, names.deadletter)],
            start="latest",
        )
        asked = bus.consumer([names.streams.name, names.jobs_status.name])
        self._model.connected(self._wanted(asked))
        self._hear(bus)
        backoff.reset()
        asking = _Asking(bus, self._model)
        try:
            while not self._stop.is_set():
                self._model.take(live.poll(POLL_S, MAX_RECORDS))
                self._model.take(asked.poll(0.0, MAX_RECORDS))
                asking.check()
        finally:
            asking.close()

    def _wanted(self, asked: Consumer) -> Wanted:
        """All that lies on the control topic and the jobs' board."""
        wanted = Wanted()
        while not self._stop.is_set():
            records = asked.poll(POLL_S, MAX_RECORDS)
            for record in records:
                wanted.take(record, self._model.names)
            if len(records) < MAX_RECORDS and asked.at_end():
                break
        return wanted

    def _hear(self, bus: Bus) -> None:
        """What was last heard of each stream: those that wait or are paused say nothing every second."""
        since_s = self._model.clock.wall_s() - HEARD_S
        for partition in range(self._model.names.status.partitions):
            if self._stop.is_set():
                return
            found = bus.latest(self._model.names.status.name, partition, since_s=since_s)
            self._model.take(sorted(found.values(), key=lambda record: record.offset))


class _Asking:
    """Asks every few seconds who is in the fleet, on a thread of its own: a broker that is away answers late."""

    def __init__(self, bus: Bus, model: Model) -> None:
        self._bus = bus
        self._model = model
        self._stop = threading.Event()
        self._error: StreamerError | None = None
        self._thread = threading.Thread(target=self._run, name="dashboard-ask", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise what the last question raised."""
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Ask no more. A question that is still waited for ends by itself."""
        self._stop.set()

    def _run(self) -> None:
        names = self._model.names
        while not self._stop.is_set():
            try:
                groups = {each.name: self._bus.group(each.name, each.name) for each in (names.streams, names.jobs)}
            except StreamerError as error:
                self._error = error
                return
            except Exception as error:
                log.error("dashboard.broke", exc_info=True)
                self._error = StreamerError(f"asking the bus for its groups failed: {error}")
                return
            if not self._stop.is_set():
                self._model.answered(groups)
                self._model.tidy()
            self._stop.wait(ASK_S)
