"""Opening a container: which protocols and formats are allowed, and FFmpeg's failures as our errors."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

import av
from av.container import InputContainer

from streamer.decode.structure import missing_end
from streamer.errors import (
    AbsurdDimensions,
    NotAVideo,
    NoVideoStream,
    SourceDamaged,
    SourceEmpty,
    SourceError,
    SourceMissing,
    SourceTruncated,
    SourceUnreachable,
    SourceUnreadable,
    SourceUnsupported,
)
from streamer.source import Source
from streamer.testsrc import pattern_of

NETWORK_TIMEOUT_S = 10.0
MAX_SIDE_PX = 32767
"""OpenCV addresses pixels with 16 bits."""

# Formats that are no video file: text shown as video, scripts and playlists that make FFmpeg open other files and
# addresses, devices and generators. Left out before anything of the file is interpreted.
_REFUSED = """tty hls dash concat concatf ffmetadata sdp rtp rtsp sap lavfi image2 image2pipe webm_dash_manifest imf
    video4linux2,v4l2 v4l2 fbdev x11grab kmsgrab alsa oss pulse sndio jack data bin txt webvtt ismv"""
_REFUSED_FORMATS = frozenset(_REFUSED.split())


def open_container(source: Source, max_pixels: int) -> InputContainer:
    """The opened container. Raises the `SourceError` that says what is wrong and what to do."""
    if source.kind == "file":
        _check_file(source)
    with explained(source):
        if source.kind == "testsrc":
            return av.open(pattern_of(source.url).lavfi(), "r", format="lavfi")
        if source.kind == "webcam":
            return av.open(source.url, "r", format="v4l2", timeout=NETWORK_TIMEOUT_S)
        if source.kind == "http":
            options = _options(max_pixels, "http,https,tcp,tls") | {"reconnect": "1", "reconnect_delay_max": "5"}
            return av.open(source.url, "r", options=options, metadata_errors="replace", timeout=NETWORK_TIMEOUT_S)
        return av.open(source.url, "r", options=_options(max_pixels, "file"), metadata_errors="replace")


def open_image(source: Source, path: Path, max_pixels: int) -> InputContainer:
    """One image as a container of one frame. Its bytes are handed over, so that no name is taken for a pattern."""
    with explained(source):
        return av.open(io.BytesIO(path.read_bytes()), "r", options=_options(max_pixels, ""), metadata_errors="replace")


@contextlib.contextmanager
def explained(source: Source) -> Iterator[None]:
    """Turn what FFmpeg and the system raise inside into one sentence that names the source and what to do."""
    try:
        yield
    except SourceError:
        raise
    except (av.FFmpegError, OSError, ValueError) as error:
        raise explanation(source, error) from None


def explanation(source: Source, error: Exception) -> SourceError:
    """The error to raise for one of FFmpeg's or the system's."""
    name = source.name
    if isinstance(error, FileNotFoundError):
        return SourceMissing(f"{name} does not exist: check the path.")
    if isinstance(error, PermissionError):
        return SourceUnreadable(f"{name} may not be read: give this user the right to read it.")
    if isinstance(error, IsADirectoryError):
        return NotAVideo(f"{name} is a folder: name a file in it.")
    if isinstance(error, (av.HTTPError, av.HTTPClientError)):
        return SourceUnreachable(f"{name} was refused by its server: check the address and the access rights.")
    if source.kind == "http" and isinstance(error, (OSError, av.ExitError)):
        return SourceUnreachable(f"{name} did not answer: check the address and the network, then try again.")
    if source.kind == "webcam":
        return SourceUnreachable(f"{name} could not be read: check that the camera is connected and not in use.")
    if source.kind == "file" and (missing := _missing(source)):
        return SourceTruncated(f"{name} ends too early, {missing}: copy or record it again.")
    if isinstance(error, OSError):
        return SourceUnreadable(f"{name} cannot be read: check the disk and the file's rights.")
    return NotAVideo(f"{name} is no video that FFmpeg can read: check that it is the right file and plays elsewhere.")


def _check_file(source: Source) -> None:
    path = Path(source.url)
    with explained(source):
        if path.is_dir():
            raise NotAVideo(f"{source.name} is a folder: name a file in it.")
        with path.open("rb") as file:
            if path.is_file() and not file.read(1):
                raise SourceEmpty(f"{source.name} is empty: copy or record it again.")


def _missing(source: Source) -> str | None:
    try:
        return missing_end(Path(source.url)) if Path(source.url).is_file() else None
    except OSError:
        return None


def _options(max_pixels: int, protocols: str) -> dict[str, str]:
    """Guards that FFmpeg itself keeps; its own pixel limit is looser, since coded sizes are rounded up."""
    return {
        "format_whitelist": ",".join(sorted(av.formats_available - _REFUSED_FORMATS)),
        "protocol_whitelist": protocols or "pipe",
        "max_pixels": str(2 * max_pixels),
    }


def check_size(source: Source, width: int, height: int, max_pixels: int) -> None:
    """Raise `AbsurdDimensions` for what nobody means to watch."""
    if width < 1 or height < 1 or width * height > max_pixels or max(width, height) > MAX_SIDE_PX:
        size = f"{width} x {height}" if width > 0 and height > 0 else "unknown or far too large"
        raise AbsurdDimensions(
            f"{source.name}: the picture size is {size}; at most {max_pixels} pixels and {MAX_SIDE_PX} a side are "
            "decoded, raise decode.max_pixels if it is meant."
        )


def video_stream(source: Source, container: InputContainer) -> av.VideoStream:
    """The first video stream that is no cover picture. Raises `NoVideoStream` or `SourceUnsupported`."""
    cover = av.stream.Disposition.attached_pic
    streams = [stream for stream in container.streams.video if not stream.disposition & cover]
    if not streams:
        found = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
        raise NoVideoStream(f"{source.name} holds {found} but no video: name a file with pictures in it.")
    if streams[0].codec_context is None:
        raise SourceUnsupported(f"{source.name} is coded in a way that this FFmpeg cannot decode: convert it to H.264.")
    return streams[0]


def undecodable(source: Source, packets: int) -> SourceDamaged:
    """The error for a run of packets that could not be decoded."""
    return SourceDamaged(
        f"{source.name}: {packets} packets in a row could not be decoded; copy or record it again, or raise "
        "decode.max_damaged_packets."
    )
