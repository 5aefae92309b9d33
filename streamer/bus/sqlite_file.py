"""One SQLite file as a bus: how it is opened, laid out, written in turns, and what its errors mean.

Write-ahead log, so that readers never wait for writers; writers take turns through BEGIN IMMEDIATE. A commit is
atomic whatever dies in the middle of it. With `durable` every commit is synced to the disk and survives a power cut;
without, the last moments before a power cut may be missing (never out of order, never damaged), while the death of
a process alone loses nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streamer.errors import BusError, BusFull, BusUnavailable

APPLICATION_ID = 0x61666274  # "afbt"
LAYOUT = 2
BUSY_TIMEOUT_S = 5.0
BUSY_ATTEMPTS = 6
WAL_LIMIT_BYTES = 64 * 1024 * 1024

# `id` counts all records of the file in commit order, so that one cursor follows any set of topics. Only compacted
# topics are looked up by key, so only they pay for that index.
_TABLES = (
    """CREATE TABLE topic (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, partitions INTEGER NOT NULL,
        cleanup TEXT NOT NULL, retention_s REAL)""",
    """CREATE TABLE record (
        id INTEGER PRIMARY KEY AUTOINCREMENT, topic INTEGER NOT NULL, partition INTEGER NOT NULL,
        offset INTEGER NOT NULL, compact INTEGER NOT NULL, time_s REAL NOT NULL,
        key BLOB NOT NULL, headers BLOB, value BLOB)""",
    "CREATE INDEX record_by_topic ON record (topic)",
    "CREATE INDEX record_by_key ON record (topic, partition, key) WHERE compact = 1",
    """CREATE TABLE head (
        topic INTEGER NOT NULL, partition INTEGER NOT NULL, next_offset INTEGER NOT NULL,
        PRIMARY KEY (topic, partition)) WITHOUT ROWID""",
    """CREATE TABLE position (
        reader TEXT NOT NULL, topic INTEGER NOT NULL, last_id INTEGER NOT NULL,
        PRIMARY KEY (reader, topic)) WITHOUT ROWID""",
    "CREATE TABLE writer (name TEXT PRIMARY KEY, generation INTEGER NOT NULL) WITHOUT ROWID",
)
# Since layout 2: groups whose members share partitions. A partition moves from `owner` to `target` when the owner has
# let go of it. `seen_s` is the machine's monotonic clock, which all its processes share.
_GROUP_TABLES = (
    """CREATE TABLE team (
        reader TEXT NOT NULL, topic INTEGER NOT NULL, generation INTEGER NOT NULL, stale INTEGER NOT NULL,
        PRIMARY KEY (reader, topic)) WITHOUT ROWID""",
    """CREATE TABLE member (
        reader TEXT NOT NULL, topic INTEGER NOT NULL, name TEXT NOT NULL, instance TEXT, generation INTEGER NOT NULL,
        seen_s REAL NOT NULL, session_s REAL NOT NULL, load BLOB NOT NULL,
        PRIMARY KEY (reader, topic, name)) WITHOUT ROWID""",
    """CREATE TABLE lease (
        reader TEXT NOT NULL, topic INTEGER NOT NULL, partition INTEGER NOT NULL, owner TEXT, target TEXT,
        units REAL, rate REAL, next_offset INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (reader, topic, partition)) WITHOUT ROWID""",
)
_NO_SPACE = ("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHMSIZE", "SQLITE_IOERR_SHMMAP")
_LOCKED = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL")


def connect(path: Path, *, create: bool, durable: bool = False) -> sqlite3.Connection:
    """A connection to the bus in `path`, which is laid out when it is new and `create` is true.

    Raises `BusUnavailable` when the file is missing, unwritable, damaged, not ours or of a newer layout.
    """
    if not create and not path.exists():
        raise BusUnavailable(
            f"there is no bus at {path}: start something that writes to it first, or correct the --bus address"
        )
    if create and not path.parent.is_dir():
        raise BusUnavailable(f"cannot create the bus {path}: the folder {path.parent} does not exist")
    mode = "rwc" if create else "rw"
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,  # a producer may be made by one thread and owned by another
        )
    except sqlite3.Error as error:
        raise translate(error, path) from error
    try:
        _prepare(connection, path, create, durable)
    except sqlite3.Error as error:
        connection.close()
        raise translate(error, path) from error
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def writing(connection: sqlite3.Connection, path: Path) -> Iterator[None]:
    """The body's changes as one transaction: all of them, or none and a `BusError`."""
    try:
        _begin(connection)
        with committing(connection):
            yield
    except sqlite3.Error as error:
        raise translate(error, path) from error


@contextmanager
def committing(connection: sqlite3.Connection) -> Iterator[None]:
    """The body's changes in the transaction that was begun: all of them, or none."""
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """The body's errors as `BusError`."""
    try:
        yield
    except sqlite3.Error as error:
        raise translate(error, path) from error


def translate(error: sqlite3.Error, path: Path) -> BusError:
    """What an SQLite error means to the operator."""
    name = str(getattr(error, "sqlite_errorname", ""))
    if name in _NO_SPACE:
        return BusFull(
            f"no space to write the bus {path} (disk, quota or size limit): free some; nothing half-written remains"
        )
    if name.startswith(_LOCKED):
        waited_s = BUSY_TIMEOUT_S * BUSY_ATTEMPTS
        return BusUnavailable(
            f"the bus {path} has been locked by another program for {waited_s:.0f} s: find and stop it"
        )
    if name == "SQLITE_NOTADB":
        return BusUnavailable(f"{path} is not an SQLite file: name another file")
    if name.startswith("SQLITE_CORRUPT"):
        return BusUnavailable(f"the bus {path} is damaged ({error}): move it away and start with a new one")
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH")):
        return BusUnavailable(f"cannot write the bus {path}: check the permissions of the file and of {path.parent}")
    return BusUnavailable(f"the bus {path} cannot be used: {error}")


def _begin(connection: sqlite3.Connection) -> None:
    for attempt in range(BUSY_ATTEMPTS):
        try:
            connection.execute("BEGIN IMMEDIATE")
            return
        except sqlite3.OperationalError as error:  # the point is to try again
            if not error.sqlite_errorname.startswith(_LOCKED) or attempt == BUSY_ATTEMPTS - 1:
                raise


def _prepare(connection: sqlite3.Connection, path: Path, create: bool, durable: bool) -> None:
    application, layout = _identity(connection)
    if layout == 0 and application == 0 and create:
        _lay_out(connection, path)
        application, layout = _identity(connection)
    if application != APPLICATION_ID:
        raise BusUnavailable(f"{path} is another program's SQLite file, not a bus: name another file")
    if layout > LAYOUT:
        raise BusUnavailable(
            f"the bus {path} has layout {layout}, this program knows {LAYOUT}: use the newer version that wrote it"
        )
    if layout < LAYOUT:
        _upgrade(connection, path)
    connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
    connection.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT_BYTES}")


def _identity(connection: sqlite3.Connection) -> tuple[int, int]:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    return int(application), int(connection.execute("PRAGMA user_version").fetchone()[0])


def _lay_out(connection: sqlite3.Connection, path: Path) -> None:
    """Make the tables, once, however many processes open the new file at the same moment."""
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # counts only before the first page is written
    for attempt in range(BUSY_ATTEMPTS):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError as error:
            if not error.sqlite_errorname.startswith(_LOCKED) or attempt == BUSY_ATTEMPTS - 1:
                raise
    with writing(connection, path):
        if _identity(connection) != (0, 0):
            return
        if connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
            return  # an SQLite file of somebody else who gave it no application id
        for statement in _TABLES + _GROUP_TABLES:
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {LAYOUT}")


def _upgrade(connection: sqlite3.Connection, path: Path) -> None:
    """Bring a file of layout 1 to layout 2, once, however many processes open it at the same moment."""
    with writing(connection, path):
        if _identity(connection)[1] >= LAYOUT:
            return
        for statement in _GROUP_TABLES:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {LAYOUT}")
