"""The embedded home of the bus: a durable log in one SQLite file that any number of processes read and write.

Every consumer reads all partitions of its topics, also within a group: a consumer's group is a remembered position
here. Members (`member`) share the partitions of a topic. `commit` is synced to the disk; `send` alone survives the
death of any process, and after a power cut may miss its last moments.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Sequence
from heapq import merge
from itertools import islice
from pathlib import Path
from typing import Literal, TypeVar

from streamer.bus import sqlite_erase
from streamer.bus import sqlite_group as group_table
from streamer.bus.checks import DEFAULT_MAX_RECORD_BYTES, check_records, check_topic, topic_missing
from streamer.bus.protocol import (
    Erased,
    Found,
    GroupSeen,
    Incoming,
    Isolation,
    Judge,
    Listener,
    Load,
    Outgoing,
    Placed,
    Position,
    Topic,
)
from streamer.bus.read import drain
from streamer.bus.sqlite_file import connect, reading, writing
from streamer.bus.sqlite_group import Team
from streamer.bus.sqlite_member import SqliteMember
from streamer.bus.sqlite_rows import COLUMNS, POLL_INTERVAL_S, KnownTopic, Row, append, incoming
from streamer.bus.sqlite_upkeep import maintain
from streamer.clock import Clock, SystemClock
from streamer.errors import BusUnavailable, DeliveryFailed, TopicMissing, UsageError

_Opened = TypeVar("_Opened", "SqliteProducer", "SqliteConsumer", SqliteMember)


class SqliteBus:
    """A bus in `path`. With `create` false the file must exist. Thread-safe; producers and consumers are not."""

    def __init__(
        self,
        path: Path,
        *,
        create: bool = True,
        clock: Clock | None = None,
        max_record_bytes: int = DEFAULT_MAX_RECORD_BYTES,
    ) -> None:
        self.path = path
        self.clock = clock or SystemClock()
        self.max_record_bytes = max_record_bytes
        self._create = create
        self._lock = threading.RLock()
        self._connection = connect(path, create=create)
        self._place = _place_of(path)
        self._known: dict[str, KnownTopic] = {}
        self._opened: set[SqliteProducer | SqliteConsumer | SqliteMember] = set()
        self._closed = False

    def ensure_topics(self, topics: Iterable[Topic], *, retain: bool = False) -> list[str]:
        del retain  # whoever writes last says it
        changed = []
        with self._lock, writing(self._connect(), self.path):
            for topic in topics:
                row = self._connection.execute(
                    "SELECT partitions, cleanup, retention_s FROM topic WHERE name = ?", (topic.name,)
                ).fetchone()
                if row is None:
                    self._connection.execute(
                        "INSERT INTO topic (name, partitions, cleanup, retention_s) VALUES (?, ?, ?, ?)",
                        (topic.name, topic.partitions, topic.cleanup, topic.retention_s),
                    )
                    continue
                check_topic(topic, *row[:2])
                if row[2] != topic.retention_s:
                    changed.append(topic.name)
                    self._connection.execute(
                        "UPDATE topic SET retention_s = ? WHERE name = ?", (topic.retention_s, topic.name)
                    )
        return changed

    def producer(self, transactional_id: str | None = None) -> SqliteProducer:
        producer = SqliteProducer(self, self._open(durable=transactional_id is not None), transactional_id)
        return self._remember(producer)

    def consumer(
        self,
        topics: Sequence[str],
        group: str | None = None,
        start: Literal["earliest", "latest"] = "earliest",
        isolation: Isolation = "read_committed",
    ) -> SqliteConsumer:
        del isolation  # nothing uncommitted can be seen here
        known = [self.known(name) for name in topics]
        return self._remember(SqliteConsumer(self, self._open(durable=False), known, group, start))

    def member(
        self,
        topic: str,
        group: str,
        listener: Listener,
        load: Load,
        *,
        whole: bool = False,
        instance: str | None = None,
        session_timeout_s: float = 10.0,
    ) -> SqliteMember:
        known = self.known(topic)
        member = SqliteMember(
            self.path,
            self._open(durable=False),
            self.clock,
            topic,
            Team(group, known.number),
            known.topic.partitions,
            listener,
            load,
            whole=whole,
            instance=instance,
            session_timeout_s=session_timeout_s,
            forget=self.forget,
        )
        return self._remember(member)

    def latest(
        self,
        topic: str,
        partition: int,
        keys: Sequence[bytes] | None = None,
        *,
        since_s: float | None = None,
        from_offset: int | None = None,
        settled: bool = False,
    ) -> dict[bytes, Incoming]:
        del settled  # no transaction is ever seen open here
        known = self.known(topic)
        where = "FROM record WHERE topic = ? AND partition = ? AND compact = ? AND time_s >= ? AND offset >= ?"
        place = (
            known.number,
            partition,
            int("compact" in known.topic.cleanup),
            since_s or 0.0,
            from_offset or 0,
        )
        with self._lock, reading(self.path):
            connection = self._connect()
            if keys is None:
                newest = f"SELECT max(id) {where} GROUP BY key"  # constant text
                rows = connection.execute(f"SELECT {COLUMNS} FROM record WHERE id IN ({newest})", place)  # noqa: S608
                found = rows.fetchall()
            else:
                query = f"SELECT {COLUMNS} {where} AND key = ? ORDER BY id DESC LIMIT 1"
                answers = (connection.execute(query, (*place, key)).fetchone() for key in dict.fromkeys(keys))
                found = [row for row in answers if row is not None]
        return {row[4]: incoming(row, topic) for row in found if row[6] is not None}

    def end_offset(self, topic: str, partition: int) -> int:
        query = "SELECT next_offset FROM head WHERE topic = ? AND partition = ?"
        with self._lock, reading(self.path):
            row = self._connect().execute(query, (self.known(topic).number, partition)).fetchone()
        return int(row[0]) if row else 0

    def find(self, topics: Sequence[str], judge: Judge) -> dict[str, Found]:
        there = [known.topic.name for known in self._there(topics)]
        found = {name: Found(name) for name in there}
        for record in drain(self, there) if there else ():
            if judge(record) != "keep":
                found[record.topic].count(record)
        return found

    def erase(self, topics: Sequence[str], judge: Judge) -> Erased:
        there = self._there(topics)
        with self._lock:
            erased = sqlite_erase.erase(self._connect(), self.path, there, judge)
            sqlite_erase.rewrite(self._connect(), self.path)
        return erased

    def group(self, topic: str, group: str) -> GroupSeen:
        known = self.known(topic)
        if _place_of(self.path) != self._place:
            raise BusUnavailable(f"the bus {self.path} was moved away or replaced: put it back, or start again")
        with self._lock, reading(self.path):
            return group_table.seen(self._connect(), Team(group, known.number), self.clock.monotonic_s())

    def maintain(self) -> None:
        with self._lock:
            maintain(self._connect(), self.path, self.clock)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            for opened in list(self._opened):
                opened.close()
            self._connection.close()

    def known(self, name: str) -> KnownTopic:
        """The topic of that name; raises `TopicMissing`."""
        with self._lock:
            if name not in self._known:
                with reading(self.path):
                    rows = self._connect().execute("SELECT id, name, partitions, cleanup, retention_s FROM topic")
                    self._known = {row[1]: KnownTopic(row[0], Topic(*row[1:])) for row in rows}
            if name not in self._known:
                raise topic_missing(name)
            return self._known[name]

    def _there(self, names: Sequence[str]) -> list[KnownTopic]:
        found = []
        for name in names:
            try:
                found.append(self.known(name))
            except TopicMissing:
                continue
        return found

    def _connect(self) -> sqlite3.Connection:
        if self._closed:
            raise BusUnavailable(f"the bus {self.path} was closed by this program")
        return self._connection

    def forget(self, opened: SqliteProducer | SqliteConsumer | SqliteMember) -> None:
        """Called by what was closed."""
        self._opened.discard(opened)

    def _remember(self, opened: _Opened) -> _Opened:
        self._opened.add(opened)
        return opened

    def _open(self, durable: bool) -> sqlite3.Connection:
        with self._lock:
            self._connect()
        return connect(self.path, create=self._create, durable=durable)


class SqliteProducer:
    """Writes to the file; every call is one transaction, so nothing is ever unacknowledged."""

    def __init__(self, bus: SqliteBus, connection: sqlite3.Connection, transactional_id: str | None) -> None:
        self._bus = bus
        self._connection: sqlite3.Connection | None = connection
        self._transactional_id = transactional_id
        self._generation = 0
        if transactional_id is not None:
            with writing(connection, bus.path):
                self._generation = connection.execute(
                    "INSERT INTO writer VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET generation = generation + 1"
                    " RETURNING generation",
                    (transactional_id,),
                ).fetchall()[0][0]

    def send(self, records: Sequence[Outgoing]) -> None:
        self._write(records)

    def append(self, records: Sequence[Outgoing], timeout_s: float) -> list[Placed]:
        del timeout_s
        return self._write(records)

    def commit(self, records: Sequence[Outgoing], position: Position | None = None) -> None:
        if self._transactional_id is None:
            raise UsageError("this producer was made without a transactional id and cannot commit")
        self._write(records, transaction=True, position=position)

    def flush(self, timeout_s: float) -> None:
        del timeout_s
        self._open()

    def unacknowledged(self) -> int:
        return 0

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
            self._bus.forget(self)

    def _write(
        self, records: Sequence[Outgoing], *, transaction: bool = False, position: Position | None = None
    ) -> list[Placed]:
        connection = self._open()
        check_records(records, lambda name: self._bus.known(name).topic.partitions, self._bus.max_record_bytes)
        if not records and position is None:
            return []
        # Topics are looked up before: that takes the bus's lock, which nobody may wait for who holds the file's.
        known = [(self._bus.known(record.topic), record) for record in records]
        teams = self._teams(position)
        with writing(connection, self._bus.path):
            if transaction:
                self._check_not_fenced(connection)
            placed = append(connection, known, self._bus.clock.wall_s())
            if position is not None:
                for team, offsets in teams.items():
                    group_table.remember(connection, team, position.token, offsets)
        return placed

    def _teams(self, position: Position | None) -> dict[Team, dict[int, int]]:
        teams: dict[Team, dict[int, int]] = {}
        if position is not None:
            for topic, partition, next_offset in position.offsets:
                team = Team(position.token.group, self._bus.known(topic).number)
                teams.setdefault(team, {})[partition] = next_offset
        return teams

    def _check_not_fenced(self, connection: sqlite3.Connection) -> None:
        name = self._transactional_id
        (generation,) = connection.execute("SELECT generation FROM writer WHERE name = ?", (name,)).fetchone()
        if generation != self._generation:
            raise DeliveryFailed(f"another producer has taken the transactional id {name} over; nothing was written")

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            raise BusUnavailable("this producer is closed")
        return self._connection


class SqliteConsumer:
    """Follows some topics in commit order, which is also partition order."""

    def __init__(
        self,
        bus: SqliteBus,
        connection: sqlite3.Connection,
        topics: Sequence[KnownTopic],
        group: str | None,
        start: Literal["earliest", "latest"],
    ) -> None:
        self._bus = bus
        self._path = bus.path
        self._connection: sqlite3.Connection | None = connection
        self._names = {known.number: known.topic.name for known in topics}
        self._group = group
        self._clock = bus.clock
        self._seen_version: int | None = None
        with reading(self._path):
            (last,) = connection.execute("SELECT coalesce(max(seq), 0) FROM sqlite_sequence").fetchone()
            self._last_id: dict[int, int] = dict.fromkeys(self._names, 0 if start == "earliest" else last)
            if group is not None:
                for number, last_id in connection.execute(
                    "SELECT topic, last_id FROM position WHERE reader = ?", (group,)
                ):
                    if number in self._last_id:
                        self._last_id[number] = last_id

    def poll(self, timeout_s: float, max_records: int = 500) -> list[Incoming]:
        connection = self._open()
        deadline_s = self._clock.monotonic_s() + timeout_s
        while True:
            with reading(self._path):
                # The version moves with every commit of anybody else: an idle poll costs one look at shared memory.
                (version,) = connection.execute("PRAGMA data_version").fetchone()
                if version != self._seen_version:
                    records = self._next(connection, max_records)
                    if records:
                        return records
                    self._seen_version = version
            left_s = deadline_s - self._clock.monotonic_s()
            if left_s <= 0:
                return []
            self._clock.sleep(min(POLL_INTERVAL_S, left_s))

    def at_end(self) -> bool:
        query = "SELECT 1 FROM record WHERE topic = ? AND id > ? LIMIT 1"
        with reading(self._path):
            return all(self._open().execute(query, place).fetchone() is None for place in self._last_id.items())

    def commit(self) -> None:
        if self._group is None:
            raise UsageError("a consumer without a group has no position to commit: give it a group")
        connection = self._open()
        with writing(connection, self._path):
            connection.executemany(
                "INSERT INTO position VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET last_id = excluded.last_id",
                [(self._group, number, last_id) for number, last_id in self._last_id.items()],
            )

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
            self._bus.forget(self)

    def _next(self, connection: sqlite3.Connection, max_records: int) -> list[Incoming]:
        query = f"SELECT {COLUMNS} FROM record WHERE topic = ? AND id > ? ORDER BY id LIMIT ?"  # noqa: S608
        per_topic: list[list[Row]] = [
            connection.execute(query, (*place, max_records)).fetchall() for place in self._last_id.items()
        ]
        records = []
        for row in islice(merge(*per_topic), max_records):
            self._last_id[row[1]] = row[0]
            records.append(incoming(row, self._names[row[1]]))
        return records

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            raise BusUnavailable("this consumer is closed")
        return self._connection


def _place_of(path: Path) -> tuple[int, int] | None:
    """Which file lies at `path`: one that was moved or deleted can be read on unnoticed."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
