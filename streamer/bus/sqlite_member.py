"""A member of a group in an SQLite bus: its turn in the group's table about once a second, and reading what it owns."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from streamer.bus import sqlite_group as group_table
from streamer.bus.group import Announcer
from streamer.bus.protocol import GroupToken, Incoming, Listener, Load
from streamer.bus.sqlite_file import reading, writing
from streamer.bus.sqlite_group import Lease, Team
from streamer.bus.sqlite_rows import COLUMNS, POLL_INTERVAL_S, incoming
from streamer.clock import Clock
from streamer.errors import BusUnavailable

TURN_S = 1.0


@dataclass(slots=True)
class _Place:
    """How far an owned partition is read: after the record `last_id`, from `next_offset` on; `end` at assignment."""

    last_id: int
    next_offset: int
    end: int


class SqliteMember:
    """Shares the partitions of one topic with the other members in the same file."""

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        clock: Clock,
        topic: str,
        team: Team,
        partitions: int,
        listener: Listener,
        load: Load,
        *,
        whole: bool,
        instance: str | None,
        session_timeout_s: float,
        forget: Callable[[SqliteMember], None],
    ) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = connection
        self._clock = clock
        self._topic = topic
        self._team = team
        self._partitions = partitions
        self._listener = listener
        self._load = load
        self._whole = whole
        self._instance = instance
        self._session_s = session_timeout_s
        self._forget = forget
        self._announcer = Announcer()
        self._places: dict[int, _Place] = {}
        self._name: str | None = None
        self._generation = -1
        self._turn_at_s = clock.monotonic_s()
        self._seen_version: int | None = None

    def poll(self, timeout_s: float, max_records: int = 500) -> list[Incoming]:
        connection = self._open()
        deadline_s = self._clock.monotonic_s() + timeout_s
        while True:
            changed = self._has_changed(connection)
            if self._clock.monotonic_s() >= self._turn_at_s or (changed and self._is_called(connection)):
                self._take_turn(connection)
                changed = True
            if changed:
                records = self._next(connection, max_records)
                if records:
                    self._seen_version = None  # there may be more
                    return records
            left_s = deadline_s - self._clock.monotonic_s()
            if left_s <= 0:
                return []
            self._clock.sleep(min(POLL_INTERVAL_S, left_s))

    def owned(self) -> frozenset[int]:
        return frozenset(self._places)

    def token(self) -> GroupToken | None:
        if self._name is None:
            return None
        return GroupToken(self._team.reader, self._name, self._generation, self._instance)

    def caught_up(self, partition: int) -> bool:
        place = self._places.get(partition)
        if place is None:
            return False
        query = (
            "SELECT 1 FROM record WHERE topic = ? AND id > ? AND partition = ? AND offset >= ? AND offset < ? LIMIT 1"
        )
        with reading(self._path):
            left = self._open().execute(
                query, (self._team.topic, place.last_id, partition, place.next_offset, place.end)
            )
            return left.fetchone() is None

    def announce(self, load: Load) -> None:
        self._load = load

    def commit(self, offsets: Mapping[int, int]) -> None:
        connection = self._open()
        token = self.token() or GroupToken(self._team.reader, "", -1, self._instance)
        with writing(connection, self._path):
            group_table.remember(connection, self._team, token, offsets)

    def close(self) -> None:
        if self._connection is None:
            return
        try:
            if self._name is not None and self._instance is None:
                with writing(self._connection, self._path):
                    group_table.leave(self._connection, self._team, self._name)
        except BusUnavailable:
            pass  # the others notice that it is silent
        finally:
            self._connection.close()
            self._connection = None
            self._forget(self)

    def _take_turn(self, connection: sqlite3.Connection) -> None:
        """Join or show that we are alive, see to what the group's table wants of us, and tell the listener."""
        leases = self._in_table(connection)
        if leases is None:
            lost = self.owned()
            self._places.clear()
            self._name, self._generation = None, -1
            if lost:
                self._listener.lost(lost)
            return  # the next turn joins again
        self._turn_at_s = self._clock.monotonic_s() + min(TURN_S, self._session_s / 4)
        new = {lease.partition: lease for lease in leases if lease.partition not in self._places}
        for partition, lease in new.items():
            self._places[partition] = self._begin(connection, lease)
        if new:
            self._listener.assigned(frozenset(new))
        leaving = frozenset(lease.partition for lease in leases if lease.target != self._name)
        if leaving:
            self._hand_over(connection, leaving)

    def _in_table(self, connection: sqlite3.Connection) -> list[Lease] | None:
        """Our turn in the group's table; None when we were dropped from it."""
        now_s = self._clock.monotonic_s()
        name = self._name or uuid.uuid4().hex
        team = self._team
        with writing(connection, self._path):
            if self._name is None:
                group_table.join(connection, team, name, self._instance, self._load, now_s, self._session_s)
                self._announcer.told(self._load, now_s)
            elif not group_table.is_member(connection, team, name):
                return None
            elif self._announcer.is_due(self._load, now_s):
                group_table.ask(connection, team)
                self._announcer.told(self._load, now_s)
            group_table.show(connection, team, name, self._load, now_s)
            group_table.drop_silent(connection, team, now_s)
            group_table.settle(connection, team, self._partitions)
            generation, leases = group_table.take(connection, team, name)
        self._name, self._generation = name, generation
        return leases

    def _hand_over(self, connection: sqlite3.Connection, leaving: frozenset[int]) -> None:
        try:
            self._listener.revoked(leaving, self.token())
        finally:
            for partition in leaving:
                self._places.pop(partition, None)
            with writing(connection, self._path):
                group_table.let_go(connection, self._team, self._name or "", leaving)

    def _begin(self, connection: sqlite3.Connection, lease: Lease) -> _Place:
        with reading(self._path):
            row = connection.execute(
                "SELECT next_offset FROM head WHERE topic = ? AND partition = ?", (self._team.topic, lease.partition)
            ).fetchone()
        return _Place(0, 0 if self._whole else lease.next_offset, row[0] if row else 0)

    def _has_changed(self, connection: sqlite3.Connection) -> bool:
        """Whether anybody wrote since we looked last: an idle poll costs one look at shared memory."""
        with reading(self._path):
            (version,) = connection.execute("PRAGMA data_version").fetchone()
        changed = bool(version != self._seen_version)
        self._seen_version = version
        return changed

    def _is_called(self, connection: sqlite3.Connection) -> bool:
        if self._name is None:
            return True
        with reading(self._path):
            return group_table.is_called(connection, self._team, self._name, self._generation)

    def _next(self, connection: sqlite3.Connection, max_records: int) -> list[Incoming]:
        query = (
            f"SELECT {COLUMNS} FROM record WHERE topic = ? AND id > ? AND partition = ? AND offset >= ?"  # noqa: S608
            " ORDER BY id LIMIT ?"
        )
        records: list[Incoming] = []
        for partition, place in self._places.items():
            at = (self._team.topic, place.last_id, partition, place.next_offset, max_records - len(records))
            with reading(self._path):
                rows = connection.execute(query, at).fetchall()
            for row in rows:
                place.last_id, place.next_offset = row[0], row[3] + 1
                records.append(incoming(row, self._topic))
            if len(records) >= max_records:
                break
        return records

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            raise BusUnavailable("this member is closed")
        return self._connection
