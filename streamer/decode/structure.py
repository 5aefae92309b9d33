"""Whether a file is all there, by what its own outer structure declares: reads headers only, decodes nothing.

FFmpeg reads a cut file to its end and calls that the end. These containers say how long they are meant to be:
ISO media (mp4, mov: box sizes, and the index they cannot be read without), Matroska and WebM (segment size), AVI (RIFF
size), GIF (trailer). MPEG transport streams, elementary streams and live recordings of unknown size do not.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, overload

_BOXES = frozenset(b"ftyp moov mdat moof mfra free skip wide styp sidx ssix prft uuid meta udta pnot emsg".split())
_WINDOW_BYTES = 1 << 16
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


def missing_end(path: Path) -> str | None:
    """What is missing, as words for a sentence, or None where nothing is or the format does not tell.

    Raises `OSError` when the file cannot be read.
    """
    with path.open("rb") as file:
        if path.stat().st_size < 16:
            return None
        data = _Bytes(file, path.stat().st_size)
        if data[4:8] in _BOXES:
            return _iso(data)
        if data[:4] == _EBML:
            return _matroska(data)
        if data[:4] == b"RIFF" and data[8:12] == b"AVI ":
            return _avi(data)
        if data[:6] in (b"GIF87a", b"GIF89a"):
            return _gif(data)
    return None


class _Bytes:
    """A file as bytes, read as they are asked for: of a mapped one that the disk does not give the process dies.

    What the file has lost since it had `size` bytes is zeros.
    """

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size = file, size
        self._at, self._window = 0, b""

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, key: int) -> int: ...

    @overload
    def __getitem__(self, key: slice) -> bytes: ...

    def __getitem__(self, key: int | slice) -> int | bytes:
        if isinstance(key, int):
            return self[key : key + 1][0]
        start, end, _ = key.indices(self._size)
        if not self._at <= start <= end <= self._at + len(self._window):
            self._file.seek(start)
            self._at, self._window = start, self._file.read(max(end - start, _WINDOW_BYTES))
        return self._window[start - self._at : end - self._at].ljust(max(0, end - start), b"\0")


def _short(declared: int, size: int) -> str | None:
    return f"{declared - size} of {declared} bytes are missing" if declared > size else None


def _iso(data: _Bytes) -> str | None:
    at, size, seen = 0, len(data), set()
    while at + 8 <= size:
        length, kind = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        if kind not in _BOXES:
            break
        seen.add(kind)
        if length == 1:
            length = int.from_bytes(data[at + 8 : at + 16])
        if length == 0:
            at = size
        elif length < 8:
            break
        at += length
    if at > size and seen:
        return _short(at, size)
    return None if b"moov" in seen else "its index (moov) is missing"


def _matroska(data: _Bytes) -> str | None:
    at = 4
    length, at = _vint(data, at)
    if length is None:
        return None
    at += length
    if data[at : at + 4] != _SEGMENT:
        return None
    length, at = _vint(data, at + 4)
    return None if length is None else _short(at + length, len(data))


def _vint(data: _Bytes, at: int) -> tuple[int | None, int]:
    """An EBML length and where it ends; None where it is unknown (all ones, RFC 8794 section 6.2)."""
    first = data[at] if at < len(data) else 0
    if first == 0:
        return None, at + 1
    width = 9 - first.bit_length()
    value = int.from_bytes(data[at : at + width]) & ((1 << 7 * width) - 1)
    return (None if value == (1 << 7 * width) - 1 else value), at + width


def _avi(data: _Bytes) -> str | None:
    at, size = 0, len(data)
    while at + 8 <= size and data[at : at + 4] == b"RIFF":
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        if length in (0, 0xFFFFFFFF):  # a recorder that never came back to fill it in
            return None
        at += 8 + length + length % 2
    return _short(at - 1, size)  # the padding byte at the very end is often left out


def _gif(data: _Bytes) -> str | None:
    size, at = len(data), 13
    if data[10] & 0x80:
        at += 3 << (data[10] & 7) + 1
    while at < size:
        kind = data[at]
        if kind == 0x3B:
            return None
        if kind == 0x21:
            at += 2
        elif kind == 0x2C and at + 9 < size:
            flags = data[at + 9]
            at += 11 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
        elif kind == 0x2C:
            break
        else:
            return None  # not what the standard says: leave the judgement to the decoder
        while at < size and data[at]:
            at += 1 + data[at]
        at += 1
    return "its trailer is missing"
