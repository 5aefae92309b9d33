"""Retention and compaction of an SQLite bus, in transactions so small that no writer waits long for its turn."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from streamer.bus.sqlite_file import WAL_LIMIT_BYTES, reading, writing
from streamer.clock import Clock

ROWS_PER_STEP = 500
ROWS_PER_CALL = 20_000
PAGES_PER_STEP = 256
PAGES_PER_CALL = 8192
COMPACT_AFTER_S = 60.0
TOMBSTONE_GRACE_S = 3600.0
"""How long a tombstone stays, so that whoever follows the topic sees that the key is gone."""

_SUPERSEDED = """
SELECT id FROM (
    SELECT id, time_s, value IS NULL AS gone, row_number() OVER (PARTITION BY partition, key ORDER BY id DESC) AS age
    FROM record WHERE topic = ? AND compact = 1)
WHERE (age > 1 AND time_s < ?) OR (age = 1 AND gone AND time_s < ?) ORDER BY id LIMIT ?"""
_OLDEST = "SELECT id, time_s FROM record WHERE topic = ? ORDER BY id LIMIT ?"


def maintain(connection: sqlite3.Connection, path: Path, clock: Clock) -> None:
    """Drop what is older than its topic keeps, and what a newer record of the same key replaced; give space back.

    One call does a bounded amount of work; call it every few seconds.
    """
    now_s = clock.wall_s()
    with reading(path):
        topics = connection.execute("SELECT id, cleanup, retention_s FROM topic").fetchall()
    for number, cleanup, retention_s in topics:
        if "delete" in cleanup and retention_s is not None:
            _expire(connection, path, number, now_s - retention_s)
        if "compact" in cleanup:
            limits = (now_s - COMPACT_AFTER_S, now_s - TOMBSTONE_GRACE_S)
            with reading(path):
                rows = connection.execute(_SUPERSEDED, (number, *limits, ROWS_PER_CALL)).fetchall()
            _delete(connection, path, [row[0] for row in rows])
    _give_back(connection, path)


def _expire(connection: sqlite3.Connection, path: Path, topic: int, before_s: float) -> None:
    for _ in range(ROWS_PER_CALL // ROWS_PER_STEP):
        with reading(path):
            rows = connection.execute(_OLDEST, (topic, ROWS_PER_STEP)).fetchall()
        expired = [number for number, time_s in rows if time_s < before_s]
        _delete(connection, path, expired)
        if len(expired) < ROWS_PER_STEP:
            break


def _delete(connection: sqlite3.Connection, path: Path, ids: Sequence[int]) -> None:
    for at in range(0, len(ids), ROWS_PER_STEP):
        with writing(connection, path):
            connection.executemany(
                "DELETE FROM record WHERE id = ?", [(each,) for each in ids[at : at + ROWS_PER_STEP]]
            )


def _give_back(connection: sqlite3.Connection, path: Path) -> None:
    for _ in range(PAGES_PER_CALL // PAGES_PER_STEP):
        with reading(path):
            (free,) = connection.execute("PRAGMA freelist_count").fetchone()
            if free <= PAGES_PER_STEP:  # a few free pages are the next records' room
                break
            # A transaction of its own; `execute` would take only the first of its steps, one page.
            connection.executescript(f"PRAGMA incremental_vacuum({PAGES_PER_STEP})")
    with reading(path):
        log = path.with_name(path.name + "-wal")
        size_bytes = log.stat().st_size if log.exists() else 0
        connection.execute(f"PRAGMA wal_checkpoint({'TRUNCATE' if size_bytes > WAL_LIMIT_BYTES else 'PASSIVE'})")
