"""A bounded queue of records on the disk: where they wait while the broker is away.

One SQLite file, write-ahead log: it survives the death of its process at any moment; a power cut may take its last
moments. One process at a time uses it. When the file reaches its bound, or the disk is full, the oldest records are
discarded and counted. A file that is damaged or none of ours is moved aside and said, and an empty one takes its place.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from streamer import log
from streamer.bus.protocol import Headers, Outgoing
from streamer.bus.spool_space import Ground, Reserve
from streamer.bus.sqlite_file import committing
from streamer.errors import BusUnavailable

APPLICATION_ID = 0x61667370  # "afsp"
LAYOUT = 1
LOCK_WAIT_S = 5.0  # a process that was killed may take a moment to be gone
MIN_BYTES = 64 * 1024
_SHRINK_BYTES = 16 * 1024 * 1024  # an emptied file larger than this gives its space back
_LOG_PAGES = 128  # the log stays small, so that the reserve is enough for it
_LEAST_SHARE = 64  # at the bound, at least one in so many records makes room: not one transaction for each record
_RECORD = (
    "CREATE TABLE record (id INTEGER PRIMARY KEY, topic TEXT, partition INTEGER, key BLOB, headers BLOB, value BLOB)"
)
_NO_SPACE = ("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHMSIZE", "SQLITE_IOERR_SHMMAP")
_UNREADABLE = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
_headers = msgspec.msgpack.Decoder(tuple[tuple[str, bytes], ...])


class Spooled(NamedTuple):
    """A record that waits, and its number in the file: later records have higher ones."""

    number: int
    record: Outgoing


class _NotOurs(Exception):
    """The file cannot be used as a spool; says why."""


class Spool:
    """The queue in `path`, whose file is held to `max_bytes`. Owned by one thread at a time.

    `spooled` and `discarded` count since this object was made. Raises `BusUnavailable` when another process uses the
    file, or when the folder cannot be written.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path = path
        self.spooled = 0
        self.discarded = 0
        self._max_bytes = max(MIN_BYTES, max_bytes)
        self._first = self._next = 1  # numbers have no holes: what waits is first .. next - 1
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = _lock(path)
        except OSError as error:
            raise BusUnavailable(
                f"cannot write the spool {path} ({error.strerror or error}): name another spool.folder"
            ) from error
        try:
            self._connection = self._open()
        except BaseException:
            os.close(self._lock)
            raise
        self._reserve = Reserve(path.with_name(path.name + ".reserve"), max_bytes)
        self._reserve.take()

    @property
    def waiting(self) -> int:
        """How many records lie in the file."""
        return self._next - self._first

    def append(self, records: Sequence[Outgoing]) -> int:
        """Put `records` behind all others; returns the number of the last. Never fails for want of space."""
        for _ in range(2):
            try:
                self._append(records)
                return self._next - 1
            except sqlite3.DatabaseError as error:
                self._begin_anew(error)
        raise self._unusable("it was damaged twice in a row")

    def oldest(self, max_records: int, max_bytes: int) -> list[Spooled]:
        """The oldest records, at least one if any waits, and no more than the bounds allow."""
        try:
            return self._oldest(max_records, max_bytes)
        except (sqlite3.DatabaseError, msgspec.MsgspecError) as error:
            self._begin_anew(error)
            return []

    def remove(self, up_to: int, *, delivered: bool = True) -> int:
        """Forget the records up to that number; returns how many. Those not `delivered` count as discarded."""
        before = self.waiting
        try:
            self._forget(up_to + 1)
            if not self.waiting:
                self._tidy()
        except sqlite3.DatabaseError as error:
            self._begin_anew(error)
            return 0
        removed = before - self.waiting
        if not delivered:
            self.discarded += removed
        return removed

    def close(self) -> None:
        """Free the file; what waits in it stays."""
        self._disconnect()
        self._reserve.free()
        os.close(self._lock)

    def _append(self, records: Sequence[Outgoing]) -> None:
        if not records:
            return
        rows = [
            (self._next + at, one.topic, one.partition, one.key, msgspec.msgpack.encode(one.headers), one.value)
            for at, one in enumerate(records)
        ]
        log_emptied = False
        while True:
            try:
                with _transaction(self._connection):
                    self._connection.executemany("INSERT INTO record VALUES (?, ?, ?, ?, ?, ?)", rows)
                break
            except sqlite3.DatabaseError as error:
                if not _is(error, _NO_SPACE):
                    raise
            if self._grow():
                continue
            if not log_emptied:
                log_emptied = self._empty_log()
            elif not self._make_room(max(2 * len(records), self.waiting // _LEAST_SHARE)):
                self._append_less(records)
                return
        self._next += len(records)
        self.spooled += len(records)

    def _append_less(self, records: Sequence[Outgoing]) -> None:
        """There is no room for all of them: the newer are worth more."""
        if len(records) > 1:
            half = len(records) // 2
            self._append(records[:half])
            self._append(records[half:])
        else:
            self.spooled += 1
            self.discarded += 1

    def _grow(self) -> bool:
        """Let the file have another step of the disk; false at its bound, or when the disk is full."""
        if not self._ground.grow():
            return False
        _stay_within(self._connection, self._ground)
        return True

    def _empty_log(self) -> bool:
        """Bring the log into the file, so that it is written from its beginning again."""
        try:
            self._connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
        except sqlite3.DatabaseError as error:
            if not _is(error, _NO_SPACE):
                raise
        return True

    def _make_room(self, n_records: int) -> bool:
        """Discard that many of the oldest records; false when there is none, or not even that can be written."""
        before = self.waiting
        if not before:
            return False
        try:
            self._forget(self._first + n_records)
        except sqlite3.DatabaseError as error:
            if not _is(error, _NO_SPACE) or not self._reserve.free():
                if _is(error, _NO_SPACE):
                    return False
                raise
            return self._make_room(n_records)
        self.discarded += before - self.waiting
        return True

    def _forget(self, below: int) -> None:
        below = min(below, self._next)
        with _transaction(self._connection):
            self._connection.execute("DELETE FROM record WHERE id < ?", (below,))
        self._first = max(self._first, below)

    def _tidy(self) -> None:
        """Give the space of an emptied file back, and have something in reserve again."""
        if self._ground.n_bytes > _SHRINK_BYTES:
            try:
                self._connection.execute("VACUUM")
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            except sqlite3.DatabaseError as error:
                if not _is(error, _NO_SPACE):
                    raise
            _stay_within(self._connection, self._ground)
        self._reserve.take()

    def _oldest(self, max_records: int, max_bytes: int) -> list[Spooled]:
        found: list[Spooled] = []
        n_bytes = 0
        query = "SELECT id, topic, partition, key, value, headers FROM record ORDER BY id LIMIT ?"
        cursor = self._connection.execute(query, (max_records,))
        try:
            for number, topic, partition, key, value, packed in cursor:
                headers: Headers = _headers.decode(packed)
                n_bytes += len(key) + len(value or b"") + len(packed)
                if found and n_bytes > max_bytes:
                    break
                found.append(Spooled(number, Outgoing(topic, partition, key, value, headers)))
        finally:
            cursor.close()  # a reader that stays open would keep the log from being begun again
        return found

    def _open(self) -> sqlite3.Connection:
        try:
            return self._connect()
        except (_NotOurs, sqlite3.DatabaseError) as error:
            if isinstance(error, sqlite3.DatabaseError) and not _is(error, _UNREADABLE):
                raise self._unusable(str(error)) from error
            self._move_aside(str(error))
        try:
            return self._connect()
        except (_NotOurs, sqlite3.DatabaseError) as error:
            raise self._unusable(str(error)) from error

    def _connect(self) -> sqlite3.Connection:
        self._ground = Ground(self.path, self._max_bytes)
        try:
            connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        except BaseException:
            self._ground.close()
            raise
        try:
            _prepare(connection)
            _stay_within(connection, self._ground)
            first, last = connection.execute("SELECT min(id), max(id) FROM record").fetchone()
        except BaseException:
            connection.close()
            self._ground.close()
            raise
        # Numbers are never given twice by one object: a replay may be under way when all that waited is discarded.
        self._next = max(self._next, (last or 0) + 1)
        self._first = first if first is not None else self._next
        return connection

    def _begin_anew(self, error: Exception) -> None:
        """After damage: an empty file in place of this one; what waited is discarded, counted."""
        if isinstance(error, sqlite3.DatabaseError) and not _is(error, _UNREADABLE):
            raise self._unusable(str(error)) from error
        self._disconnect()
        self.discarded += self.waiting
        self._first = self._next
        self._move_aside(str(error))
        self._connection = self._open()

    def _disconnect(self) -> None:
        self._connection.close()
        self._ground.close()

    def _move_aside(self, reason: str) -> None:
        n = 1
        while (aside := self.path.with_name(f"{self.path.name}.damaged-{n}")).exists():
            n += 1
        log.warning("spool.moved_aside", spool=str(self.path), to=str(aside), reason=reason)
        try:
            self.path.rename(aside)
            for ending in ("-wal", "-shm"):
                self.path.with_name(self.path.name + ending).unlink(missing_ok=True)
        except OSError as error:
            raise self._unusable(str(error)) from error

    def _unusable(self, reason: str) -> BusUnavailable:
        return BusUnavailable(
            f"the spool {self.path} cannot be used ({reason}): check its folder, disk and permissions"
        )


def _prepare(connection: sqlite3.Connection) -> None:
    """Lay a new file out; raises `_NotOurs` for one that is somebody else's or of a newer layout."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (layout,) = connection.execute("PRAGMA user_version").fetchone()
    (n_tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if (application, layout, n_tables) == (0, 0, 0):
        connection.execute("PRAGMA journal_mode = WAL")
        with _transaction(connection):
            connection.execute(_RECORD)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {LAYOUT}")
    elif application != APPLICATION_ID:
        raise _NotOurs("it is another program's file")
    elif layout != LAYOUT:
        raise _NotOurs(f"it has layout {layout}, this program knows {LAYOUT}")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")


def _stay_within(connection: sqlite3.Connection, ground: Ground) -> None:
    (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
    connection.execute(f"PRAGMA max_page_count = {ground.n_bytes // page_bytes}")  # never less than there are


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    with committing(connection):
        yield


def _lock(path: Path) -> int:
    """An open file that no two processes hold locked; the lock goes with its process, however that ends."""
    descriptor = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    deadline_s = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except OSError as error:
            if not isinstance(error, BlockingIOError) or time.monotonic() > deadline_s:
                os.close(descriptor)
                if not isinstance(error, BlockingIOError):
                    raise
                raise BusUnavailable(
                    f"the spool {path} is in use by another process: give each worker a fleet.name of its own"
                ) from error
        time.sleep(0.05)


def _is(error: sqlite3.DatabaseError, names: tuple[str, ...]) -> bool:
    return str(getattr(error, "sqlite_errorname", "")).startswith(names)
