"""Records sorted by stream, each once, in bounded memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import islice
from typing import TypeVar

import msgspec

from streamer.errors import StreamerError
from streamer.messages import Envelope, encode

AnyEnvelope = TypeVar("AnyEnvelope", bound=Envelope)
_CHUNK = 2000


class Ordered:
    """Takes records in and gives them back by stream, then as they came, without those whose id came before.

    They rest in a private SQLite database that stays in memory while small and spills to a temporary file beyond.
    """

    def __init__(self, kind: type[AnyEnvelope]) -> None:
        self._kind = kind
        # The empty name is SQLite's for a temporary database on disk that is removed when closed.
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.execute("PRAGMA journal_mode=OFF")
        self._database.execute("PRAGMA cache_size=-16384")
        self._database.execute(
            "CREATE TABLE r (stream TEXT, id TEXT, n INTEGER PRIMARY KEY, value BLOB, UNIQUE (stream, id))"
        )
        self.n_duplicates = 0
        self.n_records = 0

    def add(self, records: Iterable[Envelope]) -> None:
        """Take all records; raises `StreamerError` when there is no room for temporary files."""
        iterator = iter(records)
        try:
            self._database.execute("BEGIN")
            while chunk := list(islice(iterator, _CHUNK)):
                rows = [(record.stream, record.id, encode(record)) for record in chunk]
                before = self._database.total_changes
                self._database.executemany("INSERT OR IGNORE INTO r (stream, id, value) VALUES (?, ?, ?)", rows)
                taken = self._database.total_changes - before
                self.n_records += taken
                self.n_duplicates += len(rows) - taken
            self._database.execute("COMMIT")
        except sqlite3.OperationalError as error:
            raise StreamerError(
                f"cannot sort the records: {error}; free some space in the folder for temporary files (TMPDIR)"
            ) from error

    def __iter__(self) -> Iterator[Envelope]:
        decoder = msgspec.msgpack.Decoder(self._kind)
        with closing(self._database.execute("SELECT value FROM r ORDER BY stream, n")) as rows:
            for (value,) in rows:
                yield decoder.decode(value)

    def close(self) -> None:
        """Remove the temporary database."""
        self._database.close()
