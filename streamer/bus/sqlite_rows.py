"""Records as rows of an SQLite bus: how they are written and read."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from streamer.bus.protocol import Headers, Incoming, Outgoing, Placed, Topic

POLL_INTERVAL_S = 0.01
COLUMNS = "id, topic, partition, offset, key, headers, value, time_s"
Row = tuple[int, int, int, int, bytes, bytes | None, bytes | None, float]


@dataclass(frozen=True, slots=True)
class KnownTopic:
    """A topic with its number in the file."""

    number: int
    topic: Topic


def append(
    connection: sqlite3.Connection, records: Sequence[tuple[KnownTopic, Outgoing]], now_s: float
) -> list[Placed]:
    """Append inside of the open transaction; offsets go on where each partition stands. Where each record lies."""
    heads: dict[tuple[int, int], int] = {}
    rows = []
    for known, record in records:
        place = (known.number, record.partition)
        if place not in heads:
            row = connection.execute("SELECT next_offset FROM head WHERE topic = ? AND partition = ?", place).fetchone()
            heads[place] = row[0] if row else 0
        headers = msgspec.msgpack.encode(record.headers) if record.headers else None
        compact = int("compact" in known.topic.cleanup)
        rows.append((*place, heads[place], compact, now_s, record.key, headers, record.value))
        heads[place] += 1
    connection.executemany(
        "INSERT INTO record (topic, partition, offset, compact, time_s, key, headers, value)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        rows,
    )
    connection.executemany(
        "INSERT INTO head VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET next_offset = excluded.next_offset",
        [(*place, next_offset) for place, next_offset in heads.items()],
    )
    return [Placed(row[2], now_s) for row in rows]


def incoming(row: Row, topic: str) -> Incoming:
    """The record in a row of `COLUMNS`."""
    _, _, partition, offset, key, headers, value, time_s = row
    pairs: Headers = msgspec.msgpack.decode(headers, type=tuple[tuple[str, bytes], ...]) if headers else ()
    return Incoming(topic, partition, offset, key, value, pairs, time_s)
