"""The bytes of a snapshot: MessagePack all through, arrays as an extension type, nothing that can run code.

A value is a small map that says what it is (`SnapshotHeader`) around a body of bytes, compressed where that makes it
smaller. A body too large for one message is cut, and every part carries the checksum of the whole: parts of different
snapshots do not join.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

import msgpack
import msgspec
import numpy as np
from numpy.typing import NDArray

from streamer.errors import SnapshotRefused
from streamer.messages import Track

VERSION = 2
PART_BYTES = 900_000
"""Where a body is cut: below a broker's default limit of 1 MiB, with room for the header."""
LARGEST_BODY_BYTES = 64 * 1024 * 1024
"""No body is larger, compressed or not: what claims to be is refused before it takes memory."""

SnapshotKind = Literal["stream", "track"]
Body = dict[str, Any]
_Struct = TypeVar("_Struct", bound=msgspec.Struct)
Upgrade = Callable[[SnapshotKind, Body], Body]
UPGRADES: dict[int, Upgrade] = {1: lambda kind, body: body}
"""What turns a body of version n into one of n + 1. Version 2 changed how bodies are written, not what is in them."""

_MOST_PARTS = -(-LARGEST_BODY_BYTES // PART_BYTES)
_LEVEL = 1
"""zlib's fastest: level 6 takes five times as long for a few per cent."""
_ARRAY = 1
"""An array as version 1 wrote it: its bytes in C order."""
_PLANES = 2
"""An array as it is written now: transposed, the first byte of each number, then the second of each, and so on.

A column of features over time is alike, and so are the exponents of numbers that are: zlib finds that only when they
lie side by side (a tenth to a quarter smaller, and up to twice as fast)."""
_DTYPES = (b"f2", b"f4", b"f8", b"i4", b"i8", b"u1", b"b1")
_MAX_DIMENSIONS = 4


class SnapshotHeader(msgspec.Struct, frozen=True, kw_only=True):
    """What a value is, readable without its body. The newest of a key has the highest (`epoch`, `seq`).

    `inflated` is the size of the whole body once decompressed; 0 where it is not compressed.
    """

    v: int
    kind: SnapshotKind
    stream: str
    epoch: int
    seq: int
    parts: int
    part: int
    crc: int
    body: bytes
    inflated: int = 0


def stream_key(stream: str) -> bytes:
    """The key of a stream's checkpoint: its id, with `/` and `%` escaped so that no stream is another's track."""
    return stream.replace("%", "%25").replace("/", "%2F").encode("utf-8", "surrogateescape")


def track_key(stream: str, track: Track) -> bytes:
    """The key of a track's checkpoint."""
    return stream_key(stream) + f"/{track.epoch}.{track.number}".encode()


def part_key(key: bytes, part: int) -> bytes:
    """The key of part `part` of a value; the first has the key itself."""
    return key if part == 0 else key + f"/part/{part}".encode()


def seal(key: bytes, kind: SnapshotKind, stream: str, epoch: int, seq: int, body: Body) -> dict[bytes, bytes]:
    """The key and value of each part. `body` holds None, bool, numbers, str, bytes, arrays, lists and maps of them."""
    packed: bytes = msgpack.packb(body, default=_pack_array)
    assert len(packed) <= LARGEST_BODY_BYTES, "a body that no reader would take"
    squeezed = zlib.compress(packed, _LEVEL)
    inflated = len(packed) if len(squeezed) < len(packed) else 0
    data = squeezed if inflated else packed
    pieces = [data[i : i + PART_BYTES] for i in range(0, len(data), PART_BYTES)]
    shared = {
        "v": VERSION,
        "kind": kind,
        "stream": stream,
        "epoch": epoch,
        "seq": seq,
        "parts": len(pieces),
        "inflated": inflated,
    }
    crc = _crc([*shared.values()], data)
    return {
        part_key(key, part): msgpack.packb(shared | {"part": part, "crc": crc, "body": piece})
        for part, piece in enumerate(pieces)
    }


def peek(value: bytes) -> SnapshotHeader:
    """What a value is; raises `SnapshotRefused` for what is no snapshot or of a newer version."""
    return _as_struct(_unpack(value), SnapshotHeader)


def unseal(
    values: Mapping[bytes, bytes], key: bytes, version: int = VERSION, upgrades: Mapping[int, Upgrade] | None = None
) -> tuple[SnapshotHeader, Body, tuple[bytes, ...]]:
    """The header and the body (of `version`) under `key`, and the keys of its parts.

    Raises `SnapshotRefused` when it is missing, damaged, mixed, or newer than `version`.
    """
    first = _part(values, key, version)
    if not 1 <= first.parts <= _MOST_PARTS or first.part != 0:
        raise SnapshotRefused(f"the snapshot {key!r} says it has {first.parts} parts: it is damaged")
    keys = tuple(part_key(key, part) for part in range(first.parts))
    data = b"".join([first.body, *(_part(values, other, version).body for other in keys[1:])])
    covered = [first.kind, first.stream, first.epoch, first.seq, first.parts]
    if first.v > 1:
        covered = [first.v, *covered, first.inflated]
    if first.crc != _crc(covered, data):
        raise SnapshotRefused(f"the snapshot {key!r} is damaged, or its parts are of different moments")
    body = _unpack(_inflate(data, first.inflated) if first.inflated else data)
    for old in range(first.v, version):
        upgrade = (UPGRADES if upgrades is None else upgrades).get(old)
        if upgrade is None:
            raise SnapshotRefused(f"the snapshot {key!r} is of version {first.v}, which this program no longer reads")
        body = upgrade(first.kind, body)
    return first, body, keys


def as_body(body: Body, kind: type[_Struct]) -> _Struct:
    """`body` as a typed struct; raises `SnapshotRefused` naming the field that is wrong."""
    return _as_struct(body, kind)


def _part(values: Mapping[bytes, bytes], key: bytes, version: int) -> SnapshotHeader:
    value = values.get(key)
    if value is None:
        raise SnapshotRefused(f"there is no snapshot {key!r}")
    header = peek(value)
    if header.v > version:
        raise SnapshotRefused(
            f"the snapshot {key!r} is of version {header.v} and this program reads up to {version}: update it"
        )
    return header


def _crc(covered: list[Any], data: bytes) -> int:
    return zlib.crc32(data, zlib.crc32(msgpack.packb(covered)))


def _inflate(data: bytes, size: int) -> bytes:
    """The `size` bytes that `data` was made of; never more than that is unpacked, whatever `data` would grow to."""
    if not 0 < size <= LARGEST_BODY_BYTES:
        raise SnapshotRefused(f"a snapshot of {size} bytes is larger than any this program writes")
    stream = zlib.decompressobj()
    try:
        inflated = stream.decompress(data, size)
    except zlib.error as error:
        raise SnapshotRefused(f"a snapshot cannot be decompressed: {error}") from error
    if len(inflated) != size or not stream.eof or stream.unused_data:
        raise SnapshotRefused("a snapshot decompresses to another size than it says")
    return inflated


def _as_struct(body: Body, kind: type[_Struct]) -> _Struct:
    try:
        return msgspec.convert(body, kind)
    except (msgspec.ValidationError, RecursionError, AttributeError) as error:  # the last: an array for a map
        raise SnapshotRefused(f"not a snapshot: {error}") from error


def _unpack(value: bytes) -> Body:
    if len(value) > LARGEST_BODY_BYTES:
        raise SnapshotRefused(f"a snapshot of {len(value)} bytes is larger than any this program writes")
    try:
        # Lengths inside are bounded by the length of the whole, so a forged one cannot claim memory.
        body = msgpack.unpackb(value, ext_hook=_unpack_array, strict_map_key=True)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise SnapshotRefused(f"a snapshot is not MessagePack, or is cut short: {error}") from error
    if not isinstance(body, dict) or not all(isinstance(name, str) for name in body):
        raise SnapshotRefused("a snapshot is not a map of names")
    return body


def _pack_array(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    if not isinstance(value, np.ndarray):
        raise TypeError(f"a snapshot cannot hold a {type(value).__name__}")
    dtype = f"{value.dtype.kind}{value.dtype.itemsize}".encode()
    if dtype not in _DTYPES or value.ndim > _MAX_DIMENSIONS:
        raise TypeError(f"a snapshot cannot hold an array of {value.dtype} with {value.ndim} dimensions")
    shape = np.array(value.shape, "<u4").tobytes()
    ordered = np.ascontiguousarray(value.T).astype(value.dtype.newbyteorder("<"), copy=False)
    planes = ordered.reshape(value.size, 1).view(np.uint8).T.tobytes()
    return msgpack.ExtType(_PLANES, dtype + bytes([value.ndim]) + shape + planes)


def _unpack_array(code: int, packed: bytes) -> NDArray[Any]:
    if code not in (_ARRAY, _PLANES) or len(packed) < 3 or packed[:2] not in _DTYPES or packed[2] > _MAX_DIMENSIONS:
        raise SnapshotRefused("a snapshot holds an unknown kind of array")
    begin = 3 + 4 * packed[2]
    if len(packed) < begin:
        raise SnapshotRefused("a snapshot holds an array that is cut short")
    dtype = np.dtype("<" + packed[:2].decode())
    shape = tuple(np.frombuffer(packed, "<u4", packed[2], 3).tolist())
    if len(packed) - begin != math.prod(shape) * dtype.itemsize:
        raise SnapshotRefused("a snapshot holds an array whose bytes do not fill its shape")
    if code == _ARRAY:
        return np.frombuffer(packed, dtype, offset=begin).reshape(shape)
    planes = np.frombuffer(packed, np.uint8, offset=begin).reshape(dtype.itemsize, math.prod(shape))
    ordered = np.ascontiguousarray(planes.T).view(dtype).reshape(shape[::-1])
    return ordered.T.copy()
