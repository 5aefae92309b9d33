"""FFmpeg's failures and the system's as our errors: one sentence that names the source and says what to do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import av

from streamer.decode.structure import missing_end
from streamer.errors import (
    NotAVideo,
    SourceDamaged,
    SourceError,
    SourceExpired,
    SourceMissing,
    SourceTruncated,
    SourceUnauthorized,
    SourceUnreachable,
    SourceUnreadable,
    SourceUnsupported,
)
from streamer.source import Address, Source, may_expire

FFMPEG_NETWORK_KINDS = frozenset(("rtsp", "rtmp", "srt"))
"""Kinds that FFmpeg's own network code reads."""
_LOOKED_AT_BYTES = 1 << 30
"""So much is read to find out whether the system can: what FFmpeg could not read lies soon after what it could."""
_CHUNK_BYTES = 1 << 20


@contextlib.contextmanager
def explained(source: Source, address: Address | None = None) -> Iterator[None]:
    """Turn what FFmpeg and the system raise inside into one sentence that names the source and what to do."""
    try:
        yield
    except SourceError:
        raise
    except (av.FFmpegError, OSError, ValueError) as error:
        raise explanation(source, error, address) from None


def explanation(
    source: Source, error: Exception, address: Address | None = None, last_byte: int | None = None
) -> SourceError:
    """The error to raise for one of FFmpeg's or the system's.

    `last_byte` is where the last packet lay, where some were read; None while the source is opened. What FFmpeg calls
    an error of reading may be its word for bytes that make no sense, so of a file the system is asked: what follows
    there is read, at most 1 GiB.
    """
    name = source.name
    kind = address.kind if address is not None else source.kind
    if kind in FFMPEG_NETWORK_KINDS:
        there = address or Address(source.url, source.kind)
        return _network(name, kind, error, may_expire(source, there))
    if kind == "webcam" and not isinstance(error, (FileNotFoundError, PermissionError)):
        return SourceUnreachable(f"{name} could not be read: check that the camera is connected and not in use.")
    told: Exception | None = error
    if isinstance(error, av.FFmpegError) and kind != "webcam":
        asked = kind == "file" and isinstance(error, OSError)
        told = _told_by_the_system(Path(source.url), error, last_byte or 0) if asked else None
    if isinstance(told, OSError):
        return _of_the_system(name, told)
    if kind == "file" and (missing := _missing(source)):
        return SourceTruncated(f"{name} ends too early, {missing}: copy or record it again.")
    if last_byte is not None:
        return SourceDamaged(
            f"{name} is damaged and cannot be read any further: the frames before are kept, copy or record it again."
        )
    return NotAVideo(f"{name} is no video that FFmpeg can read: check that it is the right file and plays elsewhere.")


def _of_the_system(name: str, error: OSError) -> SourceError:
    if isinstance(error, FileNotFoundError):
        return SourceMissing(f"{name} does not exist: check the path.")
    if isinstance(error, PermissionError):
        return SourceUnreadable(f"{name} may not be read: give this user the right to read it.")
    if isinstance(error, IsADirectoryError):
        return NotAVideo(f"{name} is a folder: name a file in it.")
    return SourceUnreadable(f"{name} cannot be read: check the disk and the file's rights.")


def _told_by_the_system(path: Path, error: Exception, first_byte: int) -> Exception | None:
    """What the system says to whoever reads the file from `first_byte` on; None where it gives all its bytes."""
    left_bytes = _LOOKED_AT_BYTES
    try:
        if path.exists() and not path.is_file():  # a pipe gives its bytes once
            return error
        with path.open("rb", buffering=0) as file:
            file.seek(first_byte)
            while left_bytes > 0 and (some := file.read(min(_CHUNK_BYTES, left_bytes))):
                left_bytes -= len(some)
    except OSError as refusal:
        return refusal
    return None


def _network(name: str, kind: str, error: Exception, expires: bool) -> SourceError:
    """What FFmpeg's network code says. Where it says little (a server that hangs or dies while the source is opened
    is invalid data to it) it is taken for something that passes."""
    if isinstance(error, (av.ProtocolNotFoundError, av.DemuxerNotFoundError, av.OptionNotFoundError)):
        return SourceUnsupported(f"{name}: this build of FFmpeg cannot read {kind}: install PyAV with one that can.")
    if isinstance(error, av.HTTPForbiddenError) and expires:
        return SourceExpired(f"{name}: the address of its video works no longer: it is found anew.")
    if isinstance(error, (av.HTTPUnauthorizedError, av.HTTPForbiddenError)):
        return SourceUnauthorized(
            f"{name} was refused by its server: check the user name, the password and the rights."
        )
    if isinstance(error, av.HTTPNotFoundError):
        return SourceMissing(f"{name} does not exist: check the address.")
    if isinstance(error, av.DecoderNotFoundError):
        return SourceUnsupported(f"{name} is coded in a way that this FFmpeg cannot decode: have it sent as H.264.")
    return SourceUnreachable(f"{name} did not answer: check the address and the network, then try again.")


def _missing(source: Source) -> str | None:
    try:
        return missing_end(Path(source.url)) if Path(source.url).is_file() else None
    except OSError:
        return None
