"""The bytes of a snapshot: MessagePack all through, arrays as one extension type, nothing that can run code.

A value is a small map that says what it is (`SnapshotHeader`) around a body of bytes. A body too large for one
message is cut, and every part carries the checksum of the whole: parts of different snapshots do not join.
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

VERSION = 1
PART_BYTES = 900_000
"""Where a body is cut: below a broker's default limit of 1 MiB, with room for the header."""
LARGEST_BODY_BYTES = 64 * 1024 * 1024

SnapshotKind = Literal["stream", "track"]
Body = dict[str, Any]
_Struct = TypeVar("_Struct", bound=msgspec.Struct)
Upgrade = Callable[[SnapshotKind, Body], Body]
UPGRADES: dict[int, Upgrade] = {}
"""What turns a body of version n into one of n + 1; none is needed before version 2."""

_ARRAY = 1
_DTYPES = (b"f2", b"f4", b"f8", b"i4", b"i8", b"u1", b"b1")
_MAX_DIMENSIONS = 4


class SnapshotHeader(msgspec.Struct, frozen=True, kw_only=True):
    """What a value is, readable without its body. The newest of a key has the highest (`epoch`, `seq`)."""

    v: int
    kind: SnapshotKind
    stream: str
    epoch: int
    seq: int
    parts: int
    part: int
    crc: int
    body: bytes


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
    pieces = [packed[i : i + PART_BYTES] for i in range(0, len(packed), PART_BYTES)]
    crc = _crc(kind, stream, epoch, seq, len(pieces), packed)
    return {
        part_key(key, part): msgpack.packb(
            {
                "v": VERSION,
                "kind": kind,
                "stream": stream,
                "epoch": epoch,
                "seq": seq,
                "parts": len(pieces),
                "part": part,
                "crc": crc,
                "body": piece,
            }
        )
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
    if not 1 <= first.parts <= LARGEST_BODY_BYTES // PART_BYTES or first.part != 0:
        raise SnapshotRefused(f"the snapshot {key!r} says it has {first.parts} parts: it is damaged")
    keys = tuple(part_key(key, part) for part in range(first.parts))
    packed = b"".join([first.body, *(_part(values, other, version).body for other in keys[1:])])
    if first.crc != _crc(first.kind, first.stream, first.epoch, first.seq, first.parts, packed):
        raise SnapshotRefused(f"the snapshot {key!r} is damaged, or its parts are of different moments")
    body = _unpack(packed)
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


def _crc(kind: str, stream: str, epoch: int, seq: int, parts: int, packed: bytes) -> int:
    return zlib.crc32(packed, zlib.crc32(msgpack.packb([kind, stream, epoch, seq, parts])))


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
    data = np.ascontiguousarray(value).astype(value.dtype.newbyteorder("<"), copy=False).tobytes()
    return msgpack.ExtType(_ARRAY, dtype + bytes([value.ndim]) + shape + data)


def _unpack_array(code: int, packed: bytes) -> NDArray[Any]:
    if code != _ARRAY or len(packed) < 3 or packed[:2] not in _DTYPES or packed[2] > _MAX_DIMENSIONS:
        raise SnapshotRefused("a snapshot holds an unknown kind of array")
    begin = 3 + 4 * packed[2]
    if len(packed) < begin:
        raise SnapshotRefused("a snapshot holds an array that is cut short")
    dtype = np.dtype("<" + packed[:2].decode())
    shape = tuple(np.frombuffer(packed, "<u4", packed[2], 3).tolist())
    if len(packed) - begin != math.prod(shape) * dtype.itemsize:
        raise SnapshotRefused("a snapshot holds an array whose bytes do not fill its shape")
    return np.frombuffer(packed, dtype, offset=begin).reshape(shape)
