"""Ways to spoil a file: bytes and a seeded generator in, bytes out."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence

from streamer.bench.hostile.boxes import TAGS, grown, nested, with_reference

Mutation = Callable[[random.Random, bytes, Sequence[bytes]], bytes]
"""(generator, the file, other files to take parts of) -> the spoilt file."""

MAX_BYTES = 8 << 20
_HEADER = 4096
_INTERESTING = (
    0,
    1,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    1 << 62,
    (1 << 64) - 1,
)
_SIDES = (0, 1, 2, 3, 16383, 32767, 65535)


def _span(rng: random.Random, data: bytes, most: int = 1 << 16) -> tuple[int, int]:
    """A piece of `data`: usually small."""
    length = min(len(data), most, 1 << rng.randint(0, 16))
    start = rng.randrange(len(data) - length + 1)
    return start, start + length


def _set(data: bytes, at: int, value: bytes) -> bytes:
    return data[:at] + value + data[at + len(value) :]


def _flip(rng: random.Random, data: bytes, within: int) -> bytes:
    out = bytearray(data)
    for _ in range(1 << rng.randint(0, 7)):
        out[rng.randrange(min(within, len(out)))] ^= 1 << rng.randrange(8)
    return bytes(out)


def bits(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    """Bits turned over, anywhere."""
    return _flip(rng, data, len(data))


def header_bits(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    """Bits turned over near the beginning."""
    return _flip(rng, data, _HEADER)


def cut(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    """Ends, or begins, too early."""
    at = rng.randrange(len(data))
    return data[:at] if rng.random() < 0.7 else data[at:]


def swapped(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    """Two pieces in each other's place."""
    a, b = sorted((_span(rng, data), _span(rng, data)))
    if a[1] > b[0]:
        return data[b[1] :] + data[: b[1]]
    return data[: a[0]] + data[b[0] : b[1]] + data[a[1] : b[0]] + data[a[0] : a[1]] + data[b[1] :]


def repeated(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    """A piece again and again."""
    start, end = _span(rng, data)
    times = rng.choice((2, 10, 1000))
    return data[:end] + data[start:end] * min(times, MAX_BYTES // (end - start)) + data[end:]


def dropped(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    """A piece is missing."""
    start, end = _span(rng, data)
    return data[:start] + data[end:]


def blank(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    """A piece of nothing but one byte, or of noise."""
    start, end = _span(rng, data)
    fill = rng.choice((b"\x00", b"\xff", b"\x47", None))
    return _set(data, start, rng.randbytes(end - start) if fill is None else fill * (end - start))


def inserted(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Noise, or a piece of another file, in the middle."""
    at, other = rng.randrange(len(data)), rng.choice(others)
    start, end = _span(rng, other)
    return data[:at] + (other[start:end] if rng.random() < 0.5 else rng.randbytes(end - start)) + data[at:]


def spliced(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """The beginning of one file and the rest of another."""
    other = rng.choice(others)
    at = rng.randrange(min(len(data), _HEADER)) if rng.random() < 0.5 else rng.randrange(len(data))
    return data[:at] + other[rng.randrange(len(other)) if rng.random() < 0.5 else min(at, len(other)) :]


def numbers(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    """Numbers of one to eight bytes, mostly of the header, are the least or greatest of their kind."""
    for _n in range(rng.randint(1, 6)):
        width = rng.choice((1, 2, 4, 8))
        value = (rng.choice(_INTERESTING) & ((1 << 8 * width) - 1)).to_bytes(width, rng.choice(("big", "little")))
        data = _set(data, rng.randrange(min(len(data), _HEADER if rng.random() < 0.8 else len(data))), value)
    return data


def lengths(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    """Declared lengths of boxes, chunks and elements: far too long, far too short, nothing."""
    places = [match.span() for match in TAGS.finditer(data)]
    if not places:
        return numbers(rng, data, ())
    for _n in range(rng.randint(1, 3)):
        start, end = rng.choice(places)
        value = rng.choice((0, 1, 7, 9, 0x7FFFFFFF, 0xFFFFFFFF, 0xFFFFFFF0, len(data), 1 << 30))
        if data[start:end].isascii():  # four letters: ISO boxes have the length before, RIFF chunks after
            before = rng.random() < 0.5 and start >= 4
            data = _set(data, start - 4, value.to_bytes(4)) if before else _set(data, end, value.to_bytes(4, "little"))
        else:
            data = _set(data, end, rng.choice((b"\x01" + b"\xff" * 6 + b"\xfe", b"\x10\xff\xff\xff", b"\x80", b"\x00")))
    return data


def counts(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    """Tables of an ISO file say that they have billions of entries."""
    places = [match.end() for match in re.finditer(rb"st(?:ts|sc|sz|co|ss)|ctts|co64|trun|elst|dref|stsd", data)]
    if not places:
        return numbers(rng, data, ())
    for _n in range(rng.randint(1, 2)):
        at = rng.choice(places) + rng.choice((4, 4, 8))
        data = _set(data, at, rng.choice((0, 0x7FFFFFFF, 0xFFFFFFFF, 0x10000000, 100_000_000)).to_bytes(4))
    return data


def sizes(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    """Whatever may be the picture's width or height is absurd."""
    head = data[: 2 * _HEADER] + data[-_HEADER:] if len(data) > 3 * _HEADER else data
    sides = [side for side in (176, 144, 640, 360, 480, 320, 240, 768, 432) if side.to_bytes(2) in head]
    for side in sides:
        for order in ("big", "little"):
            if rng.random() < 0.7:
                new = rng.choice(_SIDES)
                data = data.replace(side.to_bytes(2, order), new.to_bytes(2, order), rng.randint(1, 3))
    return data if sides else numbers(rng, data, ())


def deep(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    """Boxes or elements inside of each other, many thousand deep."""
    return nested(data, rng.choice((10, 1000, 100_000)), rng)


def huge_atom(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    """A box grows by a lot of zeros, and all around it with it."""
    return grown(data, rng.choice((16, 4096, 1 << 20)), rng)


def reference(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    """The file says that its pictures lie in another file of this machine."""
    return with_reference(data, rng.choice(("file:///etc/passwd", "/etc/passwd", "http://127.0.0.1:9/x.mp4")))


MUTATIONS: Mapping[str, Mutation] = {
    one.__name__: one
    for one in (
        bits, header_bits, cut, swapped, repeated, dropped, blank, inserted, spliced, numbers, lengths, counts, sizes,
        deep, huge_atom, reference,
    )
}  # fmt: skip


def spoil(rng: random.Random, data: bytes, others: Sequence[bytes]) -> tuple[str, bytes]:
    """The spoilt file, and how: one way, now and then two."""
    names = [rng.choice(list(MUTATIONS))]
    if rng.random() < 0.25:
        names.append(rng.choice(list(MUTATIONS)))
    for name in names:
        if data:
            data = MUTATIONS[name](rng, data, others)[:MAX_BYTES]
    return "+".join(names), data
