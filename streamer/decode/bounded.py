"""A file gives what lies in it: an index that names the same bytes for ever is no long video."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import av

from streamer.errors import SourceDamaged
from streamer.source import Source

MOST_TIMES = 16
SLACK_BYTES = 16 << 20
"""So often may a file's bytes be given, and so many more: edit lists may repeat a part, packers may leave some out."""

MOST_ENTRIES = 50_000_000
"""FFmpeg spells the index of an ISO file out as it opens it, some 40 bytes for each picture of each edit."""
_EDIT_BYTES = 12
_DATA = frozenset((b"mdat", b"free", b"skip", b"wide"))
_FIRST = _DATA | {b"ftyp", b"styp", b"moov", b"pnot"}

AnyPacket = TypeVar("AnyPacket", bound=av.Packet)  # type: ignore[type-arg]


def bounded(packets: Iterator[AnyPacket], source: Source, size_bytes: int) -> Iterator[AnyPacket]:
    """The packets of a file of `size_bytes`. Raises `SourceDamaged` once they hold far more than the file does."""
    left_bytes = MOST_TIMES * size_bytes + SLACK_BYTES
    for packet in packets:
        left_bytes -= packet.size
        if left_bytes < 0:
            raise SourceDamaged(
                f"{source.name} names the same pictures again and again, far beyond its {size_bytes} bytes: the frames "
                "before are kept, record or convert it again."
            )
        yield packet


def spells_out(path: Path) -> int:
    """How many entries the index of an ISO file (mp4, mov) claims, edit lists spelt out; 0 for other files.

    Reads what is no picture data. Raises `OSError` when the file cannot be read.
    """
    edits = pictures = 0
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at, end = 0, len(data)
        while at + 8 <= end:
            size, kind = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
            if size == 1:
                size = int.from_bytes(data[at + 8 : at + 16])
            if at == 0 and kind not in _FIRST:
                return 0
            until = end if size < 8 else min(end, at + size)
            if kind not in _DATA:
                edits = max(edits, *(length // _EDIT_BYTES for length, _ in _tables(data, b"elst", at, until)), 0)
                pictures = max(
                    pictures, *(_n_pictures(data, table) for _, table in _tables(data, b"stsz", at, until)), 0
                )
            at = until
    return max(1, edits) * pictures


def _tables(data: mmap.mmap, kind: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    """(length in bytes, place) of each box of a kind, wherever it is."""
    at = data.find(kind, start, end)
    while at >= 0:
        yield min(int.from_bytes(data[max(0, at - 4) : at]), end - at), at + 4
        at = data.find(kind, at + 4, end)


def _n_pictures(data: mmap.mmap, table: int) -> int:
    return int.from_bytes(data[table + 8 : table + 12])
