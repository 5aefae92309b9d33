"""FFmpeg's failures and the system's as our errors: one sentence that names the source and says what to do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import av

from streamer.decode.structure import missing_end
from streamer.errors import (
    NotAVideo,
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


@contextlib.contextmanager
def explained(source: Source, address: Address | None = None) -> Iterator[None]:
    """Turn what FFmpeg and the system raise inside into one sentence that names the source and what to do."""
    try:
        yield
    except SourceError:
        raise
    except (av.FFmpegError, OSError, ValueError) as error:
        raise explanation(source, error, address) from None


def explanation(source: Source, error: Exception, address: Address | None = None) -> SourceError:
    """The error to raise for one of FFmpeg's or the system's."""
    name = source.name
    kind = address.kind if address is not None else source.kind
    if kind in FFMPEG_NETWORK_KINDS:
        there = address or Address(source.url, source.kind)
        return _network(name, kind, error, may_expire(source, there))
    if isinstance(error, FileNotFoundError):
        return SourceMissing(f"{name} does not exist: check the path.")
    if isinstance(error, PermissionError):
        return SourceUnreadable(f"{name} may not be read: give this user the right to read it.")
    if isinstance(error, IsADirectoryError):
        return NotAVideo(f"{name} is a folder: name a file in it.")
    if kind == "webcam":
        return SourceUnreachable(f"{name} could not be read: check that the camera is connected and not in use.")
    if kind == "file" and (missing := _missing(source)):
        return SourceTruncated(f"{name} ends too early, {missing}: copy or record it again.")
    if isinstance(error, OSError):
        return SourceUnreadable(f"{name} cannot be read: check the disk and the file's rights.")
    return NotAVideo(f"{name} is no video that FFmpeg can read: check that it is the right file and plays elsewhere.")


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
