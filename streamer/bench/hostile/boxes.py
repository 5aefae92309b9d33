"""ISO boxes (ISO 14496-12) and EBML elements (RFC 8794), as far as it takes to make wrong ones."""

from __future__ import annotations

import random
import re

TAGS = re.compile(
    rb"ftyp|moov|trak|mdia|minf|stbl|stsd|stts|stsc|stsz|stco|ctts|tkhd|mdhd|hdlr|avcC|hvcC|esds|mdat|moof|traf|trun"
    rb"|RIFF|LIST|hdrl|strl|strh|strf|movi|idx1|00dc|avih|JUNK"
    rb"|\x1a\x45\xdf\xa3|\x18\x53\x80\x67|\x15\x49\xa9\x66|\x16\x54\xae\x6b|\x1f\x43\xb6\x75|\x1c\x53\xbb\x6b|\x11\x4d\x9b\x74"
)
"""Where boxes, chunks and elements are named."""

_HOLDERS = frozenset(
    (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"stbl", b"edts", b"udta", b"moof", b"traf", b"mvex")
)
_DEPTH = 16
_EBML = b"\x1a\x45\xdf\xa3"


def boxes_in(data: bytes, start: int = 0, end: int | None = None, above: tuple[int, ...] = ()) -> list[tuple[int, ...]]:
    """Every box as the places of the boxes around it and its own, outermost first."""
    end = len(data) if end is None else end
    found = []
    at = start
    while at + 8 <= end:
        size = int.from_bytes(data[at : at + 4])
        if not 8 <= size <= end - at:
            break
        found.append((*above, at))
        if data[at + 4 : at + 8] in _HOLDERS and len(above) < _DEPTH:
            found += boxes_in(data, at + 8, at + size, (*above, at))
        at += size
    return found


def replaced(data: bytes, path: tuple[int, ...], box: bytes) -> bytes:
    """`data` with another box in the place of the one at `path`, and all lengths around it put right."""
    out = bytearray(data)
    size = int.from_bytes(data[path[-1] : path[-1] + 4])
    for around in path[:-1]:
        length = int.from_bytes(data[around : around + 4]) + len(box) - size
        out[around : around + 4] = (length & 0xFFFFFFFF).to_bytes(4)
    out[path[-1] : path[-1] + size] = box
    return bytes(out)


def grown(data: bytes, n_bytes: int, rng: random.Random) -> bytes:
    """One box, where there are any, with `n_bytes` zeros at its end."""
    paths = boxes_in(data)
    if not paths:
        at = rng.randrange(len(data))
        return data[:at] + bytes(n_bytes) + data[at:]
    path = rng.choice(paths)
    at = path[-1]
    size = int.from_bytes(data[at : at + 4])
    return replaced(data, path, (size + n_bytes).to_bytes(4) + data[at + 4 : at + size] + bytes(n_bytes))


def nested(data: bytes, depth: int, rng: random.Random) -> bytes:
    """`depth` boxes or elements inside of each other, before everything else but the file's first box."""
    if data[:4] == _EBML:
        # Every one of unknown length, so that the next is inside of it (RFC 8794, 6.2).
        element = rng.choice(
            (b"\x18\x53\x80\x67", b"\x16\x54\xae\x6b", b"\xae", b"\xe1", b"\x1f\x43\xb6\x75", b"\x6d\x80")
        )
        at = 5 + (data[4] & 0x7F)
        return data[:at] + (element + b"\x01" + b"\xff" * 7) * depth + data[at:]
    kind = rng.choice((b"moov", b"trak", b"udta", b"meta", b"mdia", b"stbl", b"dinf", b"moof"))
    inner = b"".join((8 * (depth - level) & 0xFFFFFFFF).to_bytes(4) + kind for level in range(depth))
    at = int.from_bytes(data[:4])
    at = at if data[4:8] == b"ftyp" and at < len(data) else 0
    return data[:at] + inner + data[at:]


def with_reference(data: bytes, location: str) -> bytes:
    """An ISO file whose samples are said to lie elsewhere; other files as they are."""
    for path in boxes_in(data):
        at = path[-1]
        if data[at + 4 : at + 8] == b"dref":
            entry = b"url " + bytes(4) + location.encode() + b"\x00"
            entry = (len(entry) + 4).to_bytes(4) + entry
            box = b"dref" + bytes(4) + (1).to_bytes(4) + entry
            return replaced(data, path, (len(box) + 4).to_bytes(4) + box)
    return data
