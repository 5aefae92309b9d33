"""Records in order, each once, in bounded memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import groupby, islice
from typing import Generic, TypeVar

import msgspec

from streamer.errors import StreamerError
from streamer.messages import Envelope, encode

AnyEnvelope = TypeVar("AnyEnvelope", bound=Envelope)
_CHUNK = 2000


def temporary_database() -> sqlite3.Connection:
    """A private database that stays in memory while small, spills to a temporary file beyond, and goes when closed."""
    # The empty name is SQLite's for such a database.
    database = sqlite3.connect("", isolation_level=None)
    database.execute("PRAGMA journal_mode=OFF")
    database.execute("PRAGMA cache_size=-16384")
    return database


@contextmanager
def room_to_sort() -> Iterator[None]:
    """Turns SQLite's word for a full disk into a `StreamerError` that says what to do."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise StreamerError(
            f"cannot sort the records: {error}; free some space in the folder for temporary files (TMPDIR)"
        ) from error


class Ordered(Generic[AnyEnvelope]):
    """Takes records in and gives them back in order, without those whose id came before."""

    def __init__(self, kind: type[AnyEnvelope]) -> None:
        self._kind = kind
        self._database = temporary_database()
        self._database.execute(
            "CREATE TABLE r (stream TEXT, id TEXT, run TEXT, time_s REAL, n INTEGER PRIMARY KEY, value BLOB,"
            " UNIQUE (stream, id))"
        )
        self.n_duplicates = 0
        self.n_records = 0

    def add(self, records: Iterable[Envelope]) -> None:
        """Take all records; raises `StreamerError` when there is no room for temporary files."""
        iterator = iter(records)
        with room_to_sort():
            self._database.execute("BEGIN")
            while chunk := list(islice(iterator, _CHUNK)):
                rows = [(one.stream, one.id, one.run, one.media_time_s, encode(one)) for one in chunk]
                before = self._database.total_changes
                self._database.executemany(
                    "INSERT OR IGNORE INTO r (stream, id, run, time_s, value) VALUES (?, ?, ?, ?, ?)", rows
                )
                taken = self._database.total_changes - before
                self.n_records += taken
                self.n_duplicates += len(rows) - taken
            self._database.execute("COMMIT")

    def __iter__(self) -> Iterator[AnyEnvelope]:
        """By stream, then as they came."""
        return (record for _, _, record in self._read("stream, n"))

    def by_video(self) -> Iterator[tuple[tuple[str, str], Iterator[AnyEnvelope]]]:
        """By stream and run, within them by media time: (stream, run), and its records, to be read before the next."""
        for key, rows in groupby(self._read("stream, run, time_s, n"), key=lambda row: row[:2]):
            yield key, (record for _, _, record in rows)

    def videos(self) -> list[tuple[str, str]]:
        """The (stream, run) of what there is, in order."""
        return self._database.execute("SELECT DISTINCT stream, run FROM r ORDER BY stream, run").fetchall()

    def close(self) -> None:
        """Remove the temporary database."""
        self._database.close()

    def _read(self, order: str) -> Iterator[tuple[str, str, AnyEnvelope]]:
        decoder = msgspec.msgpack.Decoder(self._kind)
        query = f"SELECT stream, run, value FROM r ORDER BY {order}"  # noqa: S608 (constant text)
        with room_to_sort():
            for stream, run, value in self._database.execute(query):
                yield stream, run, decoder.decode(value)
