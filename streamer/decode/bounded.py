"""A file gives what lies in it: an index that names the same bytes for ever is no long video."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import av
import numpy as np

from streamer.errors import SourceDamaged
from streamer.source import Source

MOST_TIMES = 16
SLACK_BYTES = 16 << 20
"""So often may a file's bytes be given, and so many more: edit lists may repeat a part, packers may leave some out."""

MOST_ENTRIES = 10_000_000
"""FFmpeg spells the index of an ISO file out as it opens it: some 70 bytes for each picture and each piece of sound.

A day at 60 pictures a second, with sound of 48,000 samples a second and 1,024 to a piece, has 9.2 million (670 MB).
"""
_PCM_PIECE_SAMPLES = 1024
"""Sound without compression has an entry for each sample in the file, in FFmpeg's index one for so many of a chunk."""
_MOST_TABLE_BYTES = 16 << 20
_DATA = frozenset((b"mdat", b"free", b"skip", b"wide"))
_FIRST = _DATA.union(b"ftyp styp moov moof sidx emsg prft pnot".split())
_HOLDERS = frozenset(b"moov trak mdia minf stbl edts dinf udta gmhd mvex moof traf wave".split())
_TABLES = frozenset(b"hdlr stts stsz stz2 stco co64 stsc elst".split())
_STSC = np.dtype([("first", ">u4"), ("samples", ">u4"), ("described", ">u4")])
_ELST = np.dtype([("length", ">u4"), ("time", ">i4"), ("rate", ">u4")])
_ELST_64 = np.dtype([("length", ">u8"), ("time", ">i8"), ("rate", ">u4")])

AnyPacket = TypeVar("AnyPacket", bound=av.Packet)  # type: ignore[type-arg]


class Readable(Protocol):
    """A file that can be sought."""

    def read(self, n: int, /) -> bytes:
        """At most `n` bytes from here on; none at the end."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go there, from the beginning or (2) from the end; where that is."""


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


def check_index(name: str, file: Readable, *, whole: bool = True) -> None:
    """Raise `SourceDamaged` for an ISO file (mp4, mov) whose index would fill the memory; `whole`: see `spells_out`.

    Of others `file` is at its beginning afterwards. Raises what reading it raises.
    """
    if spells_out(file, whole=whole) > MOST_ENTRIES:
        raise SourceDamaged(
            f"{name} claims more than {MOST_ENTRIES} pictures and pieces of sound, more than a day of recording "
            "has: split it if it is that long, otherwise it is damaged, record or convert it again."
        )
    file.seek(0)


def spells_out(file: Readable, *, whole: bool = True) -> int:
    """How many entries the index of an ISO file claims, edit lists spelt out, and a box that claims none as one; 0 for
    other files.

    Reads the heads of boxes and the few tables that count, no picture data. Not `whole`: as far as the end of the
    index (moov), so that fragments (moof) after it are not counted.
    """
    total, track, at = 0, _Track(), 0
    end = index_end = file.seek(0, 2)
    ends = [end]
    while total <= MOST_ENTRIES and at < (end if whole else index_end):
        file.seek(at)
        head = _full(file, 24)
        if len(head) < 8 or (at == 0 and head[4:8] not in _FIRST) or (not whole and head[4:8] == b"moof"):
            break
        size, kind, begin = int.from_bytes(head[:4]), head[4:8], 8
        if size == 1:
            size, begin = int.from_bytes(head[8:16]), 16
        while at >= ends[-1]:
            ends.pop()
        until = ends[-1] if size < begin else min(ends[-1], at + size)
        total += 1
        if kind == b"trak":
            total, track = total + track.entries, _Track()
        elif kind == b"trun":
            total += int.from_bytes(head[begin + 4 : begin + 8])
        elif kind in _TABLES:
            file.seek(at + begin)
            n_bytes = max(0, until - at - begin)
            n_read = _MOST_TABLE_BYTES if kind in (b"stsc", b"elst") else 16
            track.add(kind, _full(file, min(n_bytes, n_read)), n_bytes)
        if kind in _HOLDERS or head[begin + 4 : begin + 8] == b"mvhd":  # FFmpeg takes an index from other boxes too
            index_end = until if kind == b"moov" and len(ends) == 1 else index_end
            ends.append(until)
            at += begin
        else:
            at = until
    return total + track.entries


@dataclass(slots=True)
class _Track:
    """What one track's tables say. Of a table that is there twice the worse counts."""

    edits: int = 0
    samples: int = 0
    chunks: int = 0
    chunk_samples: int = 0
    one_by_one: set[bool] = field(default_factory=set)
    handlers: set[bytes] = field(default_factory=set)

    def add(self, kind: bytes, table: bytes, n_bytes: int) -> None:
        """The box `kind` of `n_bytes`, of which `table` is the beginning."""
        count = int.from_bytes(table[4:8])
        if kind == b"hdlr":
            self.handlers.add(table[8:12])
        elif kind == b"stts":
            self.one_by_one.add(count == 1 and int.from_bytes(table[12:16]) == 1)
        elif kind in (b"stsz", b"stz2"):
            self.samples = max(self.samples, int.from_bytes(table[8:12]))
        elif kind in (b"stco", b"co64"):
            self.chunks = max(self.chunks, count)
        elif kind == b"stsc":
            rows = np.frombuffer(table[8 : len(table) - (len(table) - 8) % 12], _STSC)
            self.chunk_samples = max(self.chunk_samples, int(rows["samples"].max(initial=0)))
        elif kind == b"elst":
            row = _ELST_64 if table[:1] == b"\1" else _ELST
            rows = np.frombuffer(table[8 : len(table) - (len(table) - 8) % row.itemsize], row)[:count]
            unseen = min(count, n_bytes // row.itemsize) - len(rows)
            self.edits = max(self.edits, int((rows["time"] != -1).sum()) + max(0, unseen))  # -1: nothing is shown

    @property
    def entries(self) -> int:
        """Of FFmpeg's index: for sound whose samples stand one by one, as without compression, by its chunks."""
        n = self.samples
        if b"soun" in self.handlers and b"vide" not in self.handlers and self.one_by_one == {True}:
            n = self.chunks * -(-self.chunk_samples // _PCM_PIECE_SAMPLES)
        return max(1, self.edits) * n


def _full(file: Readable, n: int) -> bytes:
    """The next `n` bytes, fewer at the end."""
    data = bytearray()
    while len(data) < n and (some := file.read(n - len(data))):
        data += some
    return bytes(data)
