"""Opening a container: which protocols and formats are allowed for which kind of source."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import av
from av.container import InputContainer

from streamer.clock import Clock
from streamer.config import ConnectSettings
from streamer.decode.anchors import Anchors
from streamer.decode.bounded import check_index
from streamer.decode.explaining import FFMPEG_NETWORK_KINDS, explained
from streamer.decode.http_file import HttpFile, HttpStream
from streamer.decode.pieces import PieceFile
from streamer.decode.segmented import open_pieces
from streamer.errors import (
    AbsurdDimensions,
    NotAVideo,
    NoVideoStream,
    SourceDamaged,
    SourceEmpty,
    SourceError,
    SourceStalled,
    SourceUnsupported,
)
from streamer.http_io import Http
from streamer.netguard import networks_of
from streamer.reach import Reach
from streamer.source import Address, Source
from streamer.testsrc import pattern_of

READ_SLACK_S = 1.0
"""FFmpeg's own time limits come so long after the watch's."""
WEB_KINDS = frozenset(("http", "hls", "dash", "mjpeg"))
"""Kinds that come over HTTP, and so through our own client."""
_UDP_PATIENCE_US = 3_000_000
_LOOKS_US = (500_000, 5_000_000)
"""How much of a stream FFmpeg looks at before it opens; more where its size is not known after that."""
MAX_SIDE_PX = 32767
"""OpenCV addresses pixels with 16 bits."""

# Formats that are no video file: text shown as video, scripts and playlists that make FFmpeg open other files and
# addresses, devices and generators. Left out before anything of the file is interpreted.
_REFUSED = """tty hls dash concat concatf ffmetadata sdp rtp rtsp sap lavfi image2 image2pipe webm_dash_manifest imf
    video4linux2,v4l2 v4l2 fbdev x11grab kmsgrab alsa oss pulse sndio jack data bin txt webvtt ismv"""
_REFUSED_FORMATS = frozenset(_REFUSED.split())

_PIECES = "mpegts,mov,mp4,m4a,3gp,3g2,mj2,matroska,webm"
_FORMATS = {"rtsp": "rtsp", "rtmp": "flv", "srt": "mpegts", "hls": _PIECES, "dash": _PIECES, "mjpeg": "mpjpeg,mjpeg"}
_PROTOCOLS = {"rtsp": "rtsp,rtsps,rtp,srtp,udp,tcp,tls", "rtmp": "rtmp,rtmps,tcp,tls", "srt": "srt,udp"}


class LiveFile(Protocol):
    """What FFmpeg reads through: a file of ours over the network. One thread reads, any may `abort`."""

    failure: SourceError | None

    def read(self, n: int) -> bytes:
        """At most `n` bytes, as soon as there are any; none at the end, and after a failure, which it keeps."""

    def renew(self) -> None:
        """The next packet is waited for: time limits begin anew."""

    @property
    def quiet_until_s(self) -> float:
        """Until when (monotonic) it is no sign of trouble when nothing comes."""

    def abort(self) -> None:
        """End all waits at once."""

    def close(self) -> None:
        """Free it; for the thread that reads."""


@dataclass(slots=True)
class Opened:
    """An open container, and what it reads through where that is not FFmpeg itself."""

    container: InputContainer
    io: LiveFile | None = None

    @property
    def anchors(self) -> Anchors | None:
        """The dates of what is being read, where a playlist tells them."""
        return self.io.anchors if isinstance(self.io, PieceFile) else None

    def close(self) -> None:
        """Free both."""
        self.container.close()
        if self.io is not None:
            self.io.close()


def open_container(source: Source, address: Address, max_pixels: int, connect: ConnectSettings, clock: Clock) -> Opened:
    """The opened container. Raises the `SourceError` that says what is wrong and what to do."""
    if address.kind == "file":
        _check_file(source)
    if address.kind in WEB_KINDS:
        return _open_web(source, address, max_pixels, connect, clock)
    limits_s = (connect.open_timeout_s, read_limit_s(address, connect))
    with explained(source, address):
        if address.kind == "testsrc":
            return Opened(av.open(pattern_of(address.url).lavfi(), "r", format="lavfi"))
        if address.kind == "webcam":
            return Opened(av.open(address.url, "r", format="v4l2", timeout=limits_s))
        if address.kind in FFMPEG_NETWORK_KINDS:
            return Opened(_open_network(source, address, max_pixels, connect, limits_s))
        return Opened(av.open(address.url, "r", options=_options(max_pixels, "file"), metadata_errors="replace"))


def _open_web(source: Source, address: Address, max_pixels: int, connect: ConnectSettings, clock: Clock) -> Opened:
    """What comes over HTTP comes through our own client; FFmpeg opens nothing."""
    read_s = connect.no_frame_s + READ_SLACK_S
    http = Http(source, address, connect)
    io: LiveFile
    if address.kind == "http":
        io = HttpFile(http, address.url)
    elif address.kind == "mjpeg":
        io = HttpStream(http, address.url, read_s)
    else:
        io = open_pieces(source, address, http, connect, clock, read_s)
    options = _options(max_pixels, "")
    if address.kind in _FORMATS:
        options["format_whitelist"] = _FORMATS[address.kind]
    try:
        with explained(source, address):
            if isinstance(io, HttpFile) and io.seekable():
                check_index(source.name, io, whole=False)  # each fragment would be a request
            return Opened(av.open(io, "r", options=options, metadata_errors="replace"), io)
    except BaseException as error:
        io.close()
        if isinstance(error, SourceError) and io.failure is not None:
            raise io.failure from None
        raise


def _open_network(
    source: Source, address: Address, max_pixels: int, connect: ConnectSettings, limits_s: tuple[float, float]
) -> InputContainer:
    """What FFmpeg's own network code reads. It is looked at briefly first: what comes meanwhile is kept, but old."""
    if address.guarded:  # FFmpeg looks the name up once more: see `Reach.check`
        Reach(source.name, "", networks_of(connect.networks)).check(address.url)
    url, options = network_options(address, connect)
    options |= {"format_whitelist": _FORMATS[address.kind], "max_pixels": str(2 * max_pixels)}
    for look_us in _LOOKS_US:
        options["analyzeduration"] = str(look_us)
        container = av.open(url, "r", _FORMATS[address.kind], options, metadata_errors="replace", timeout=limits_s)
        if all(one.width for one in container.streams.video):
            return container
        container.close()
    raise SourceStalled(f"{source.name} sends no key frame: have its encoder send one every few seconds.")


def read_limit_s(address: Address, connect: ConnectSettings) -> float:
    """How long FFmpeg may wait for one packet.

    Where it cuts the stream into pictures itself it does not say the first time that a wait took too long, but gives
    the picture it had not ended yet; so it waits twice, each time half as long.
    """
    limit_s = connect.no_frame_s + READ_SLACK_S
    return limit_s / 2 if address.kind in ("rtsp", "srt") else limit_s


def network_options(address: Address, connect: ConnectSettings) -> tuple[str, dict[str, str]]:
    """The address as FFmpeg takes it, and its options, for a kind that FFmpeg's own network code reads."""
    if address.kind != "rtsp":
        return address.url, {"protocol_whitelist": _PROTOCOLS[address.kind]}
    scheme, _, rest = address.url.partition("://")
    transport = {"rtspt": "tcp", "rtspu": "udp"}.get(scheme.lower(), connect.rtsp_transport)
    options = {"protocol_whitelist": _PROTOCOLS["rtsp"], "allowed_media_types": "video"}
    if scheme.lower() == "rtsps":
        transport = "tcp"
    if transport == "auto":  # UDP first, then TCP where nothing comes by it
        options["timeout"] = str(_UDP_PATIENCE_US)
    else:
        options["rtsp_transport"] = transport
    return f"{'rtsps' if scheme.lower() == 'rtsps' else 'rtsp'}://{rest}", options


def open_image(source: Source, path: Path, max_pixels: int) -> InputContainer:
    """One image as a container of one frame. Its bytes are handed over, so that no name is taken for a pattern."""
    with explained(source):
        return av.open(io.BytesIO(path.read_bytes()), "r", options=_options(max_pixels, ""), metadata_errors="replace")


def _check_file(source: Source) -> None:
    path = Path(source.url)
    with explained(source):
        if path.is_dir():
            raise NotAVideo(f"{source.name} is a folder: name a file in it.")
        with path.open("rb") as file:
            if path.is_file() and not file.read(1):
                raise SourceEmpty(f"{source.name} is empty: copy or record it again.")
            if path.is_file():
                check_index(source.name, file)


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
