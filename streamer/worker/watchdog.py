"""Looks at every connection of a child from outside of its thread, and counts the threads that do not come back."""

from __future__ import annotations

from collections.abc import Iterable

from streamer import log
from streamer.clock import Clock
from streamer.config import ConnectSettings
from streamer.errors import SourceError
from streamer.worker.connection import Connection
from streamer.worker.lane import Lane
from streamer.worker.watch import LOOK_S

HUNG_AFTER_S = 30.0
"""A thread that was left and goes on for longer is stuck: most end within one read's time limit."""


class Watchdog:
    """Owned by the child's loop. `due_s` is the time of the next look, on the monotonic clock.

    What is stuck costs a thread, a decoder and its pictures each, and cannot be freed while the process lives: so
    `spent` says when there are more than `max_hung` of them, and the process should make way for another.
    """

    def __init__(self, settings: ConnectSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._connections: set[Connection] = set()
        self.n_hung = 0
        self.due_s = 0.0

    def add(self, connection: Connection | None) -> None:
        """A connection begins."""
        if connection is not None:
            self._connections.add(connection)

    @property
    def spent(self) -> bool:
        """Whether more threads are stuck than one process may carry."""
        return self.n_hung > self._settings.max_hung

    def look(self, lanes: Iterable[Lane]) -> list[tuple[Lane, SourceError]]:
        """The lanes whose connections must be given up now, and why; nothing before the next look is due."""
        now_s = self._clock.monotonic_s()
        if now_s < self.due_s:
            return []
        self.due_s = now_s + LOOK_S
        self._count()
        return [(lane, error) for lane in lanes if (error := self._overdue(lane, now_s)) is not None]

    def _overdue(self, lane: Lane, now_s: float) -> SourceError | None:
        connection = lane.connection
        if connection is None or connection.was_left or lane.phase not in ("opening", "running"):
            return None
        return lane.watch.overdue(connection.signs, now_s, self._clock.wall_s())

    def _count(self) -> None:
        self._connections = {one for one in self._connections if one.is_alive}
        hung = [one for one in self._connections if one.hung_s() > HUNG_AFTER_S]
        if len(hung) > self.n_hung:
            log.warning("source.hung", streams=sorted({one.source.stream for one in hung}), n=len(hung))
        self.n_hung = len(hung)
