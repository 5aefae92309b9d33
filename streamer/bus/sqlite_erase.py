"""Forgetting records of an SQLite bus for good: rows are deleted, and the file is written anew without their bytes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from streamer.bus.protocol import Erased, Found, Incoming, Judge
from streamer.bus.sqlite_file import BUSY_ATTEMPTS, reading, translate, writing
from streamer.bus.sqlite_rows import COLUMNS, KnownTopic, incoming
from streamer.bus.sqlite_upkeep import ROWS_PER_STEP
from streamer.errors import BusUnavailable

_NEXT = f"SELECT {COLUMNS} FROM record WHERE topic = ? AND id > ? ORDER BY id LIMIT ?"  # noqa: S608


def erase(connection: sqlite3.Connection, path: Path, topics: Sequence[KnownTopic], judge: Judge) -> Erased:
    """Delete or replace what `judge` says, in short transactions; `rewrite` takes the bytes out of the file."""
    with reading(path):
        connection.execute("PRAGMA secure_delete = ON")  # should the file not be written anew in the end
    erased = Erased({known.topic.name: Found(known.topic.name) for known in topics})
    for known in topics:
        name = known.topic.name
        for rows in _batches(connection, path, known):
            judged = [(number, record, judge(record)) for number, record in rows]
            deletions = [(number,) for number, _, verdict in judged if verdict == "forget"]
            changes = [(verdict, number) for number, _, verdict in judged if isinstance(verdict, bytes)]
            if not deletions and not changes:
                continue
            with writing(connection, path):
                connection.executemany("DELETE FROM record WHERE id = ?", deletions)
                connection.executemany("UPDATE record SET value = ? WHERE id = ?", changes)
            for _, record, verdict in judged:
                if verdict != "keep":
                    erased.found[name].count(record)
            erased.removed[name] = erased.removed.get(name, 0) + len(deletions) + len(changes)
    return erased


def rewrite(connection: sqlite3.Connection, path: Path) -> None:
    """Write the file anew and empty its log: nothing that was deleted, by whom and when ever, is in either any more.

    Writers wait meanwhile; it takes as much free space as the file is large. Raises `BusFull`, and `BusUnavailable`
    where another program does not let go of the file: the rows are deleted then, their bytes may still be there.
    """
    _vacuum(connection, path)
    for _ in range(BUSY_ATTEMPTS):
        with reading(path):
            (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if not busy:
            return
    raise BusUnavailable(
        f"the records are deleted, but another program keeps reading {path}, so that their bytes are still in its log:"
        " stop that program and purge again"
    )


def _vacuum(connection: sqlite3.Connection, path: Path) -> None:
    for attempt in range(BUSY_ATTEMPTS):
        try:
            connection.execute("VACUUM")
            return
        except sqlite3.Error as error:  # the point is to try again
            if not error.sqlite_errorname.startswith("SQLITE_BUSY") or attempt == BUSY_ATTEMPTS - 1:
                raise translate(error, path) from error


def _batches(connection: sqlite3.Connection, path: Path, known: KnownTopic) -> Iterator[list[tuple[int, Incoming]]]:
    last = 0
    while True:
        with reading(path):
            rows = connection.execute(_NEXT, (known.number, last, ROWS_PER_STEP)).fetchall()
        if not rows:
            return
        last = rows[-1][0]
        yield [(row[0], incoming(row, known.topic.name)) for row in rows]
