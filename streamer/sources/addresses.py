"""Addresses of the network as sources: what each is, and whether it can be read as asked. Nothing is opened."""

from __future__ import annotations

from typing import Literal
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from streamer.errors import SourceUnsupported, UsageError
from streamer.messages import Mode
from streamer.source import ENDLESS_KINDS, Kind, Source, redacted

Wanted = Literal["auto", "live", "archive"]

RECORDABLE: frozenset[Kind] = frozenset(("hls", "dash", "page"))
"""Of what is endless when watched live: what may also be a recording, with an end."""

_SCHEMES: dict[str, Kind] = {
    "rtsp": "rtsp",
    "rtsps": "rtsp",
    "rtspt": "rtsp",
    "rtspu": "rtsp",
    "rtmp": "rtmp",
    "rtmps": "rtmp",
    "srt": "srt",
}
_PREFIXES: dict[str, Kind] = {"hls": "hls", "dash": "dash", "mjpeg": "mjpeg", "page": "page", "http": "http"}
_ENDINGS: tuple[tuple[str, Kind], ...] = ((".m3u8", "hls"), (".mpd", "dash"), (".mjpg", "mjpeg"), (".mjpeg", "mjpeg"))
_FILES = (".mp4", ".webm", ".mov", ".mkv", ".ts")
_LISTS = (".m3u", ".pls", ".sdp", ".xspf", ".ism")
_PAGES = frozenset(
    """youtube.com youtu.be youtube-nocookie.com twitch.tv vimeo.com dailymotion.com dai.ly facebook.com fb.watch
    instagram.com tiktok.com twitter.com x.com kick.com bilibili.com rumble.com odysee.com ok.ru streamable.com
    ted.com""".split()  # noqa: SIM905 (a list in quotes for each would be longer than what it lists)
)
_HINTS = {
    "file": "give the path itself",
    "udp": "have it sent as RTSP or SRT",
    "rtp": "have it sent as RTSP or SRT",
    "mms": "ask its owner for an HLS or RTSP address",
    "mmsh": "ask its owner for an HLS or RTSP address",
    "mmst": "ask its owner for an HLS or RTSP address",
    "rtmpt": "write rtmp:// or rtmps://",
    "rtmpe": "write rtmp:// or rtmps://",
    "rtsph": "write rtspt:// for RTSP over TCP, or rtsps://",
}


def addressed(text: str, scheme: str, mode: Wanted) -> Source:
    """The source that `text`, an address of the lower-case `scheme`, stands for; its stream has no name yet.

    Raises `SourceUnsupported` for a scheme or a format that is not read, `UsageError` for an address that is none and
    for a camera that is to be read in archive mode.
    """
    if not text.isprintable():
        raise UsageError("an address holds characters that cannot be printed: write them as %XX.")
    prefix, plus, inner = scheme.partition("+")
    if plus and prefix in _PREFIXES and inner in ("http", "https"):
        kind, url = _PREFIXES[prefix], text[len(prefix) + 1 :]
        _parts(url, inner)
    elif scheme in ("http", "https"):
        url = text
        kind = _kind_of(_parts(url, scheme), url)
    elif scheme in _SCHEMES:
        url = text
        kind = _SCHEMES[scheme]
        parts = _parts(url, scheme)
        if kind == "srt":
            _check_srt(parts, url)
    else:
        hint = _HINTS.get(scheme, "record it to a file first")
        raise SourceUnsupported(f"{redacted(text)}: this version does not read {scheme}:// sources; {hint}.")
    return Source("", url, kind, checked_mode(url, kind, mode))


def checked_mode(url: str, kind: Kind, mode: Wanted) -> Mode:
    """`auto` as live or archive, by the kind. Raises `UsageError` where what never ends is to be an archive."""
    if mode == "archive" and kind in ENDLESS_KINDS - RECORDABLE:
        what = "is a camera and never ends" if kind == "webcam" else "never ends"
        raise UsageError(
            f"{redacted(url)} {what}, so it cannot be read in archive mode: leave --mode out, or have a fleet watch it "
            "with `streamer streams add`."
        )
    if mode == "auto":
        return "live" if kind in ENDLESS_KINDS else "archive"
    return mode


def written(source: Source) -> str:
    """The address that is read as this network source again, with its kind before it where it does not show it."""
    parts = urlsplit(source.url)
    if parts.scheme.lower() not in ("http", "https") or _guess(parts) == source.kind:
        return source.url
    return f"{source.kind}+{source.url}"


def is_page_host(host: str) -> bool:
    """Whether `host` belongs to a site of videos whose addresses are pages."""
    labels = host.lower().removesuffix(".").split(".")
    return any(".".join(labels[at:]) in _PAGES for at in range(len(labels) - 1))


def _parts(url: str, scheme: str) -> SplitResult:
    """The parts of an address that names a host and, if any, a port that exists."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:  # brackets that hold no IPv6 address, letters that turn into others
        host = None
    if not host or "\\" in parts.netloc or any(letter.isspace() or letter in '<>"^`{|}' for letter in host):
        raise UsageError(f"{redacted(url)} names no host: write {scheme}://host/path.")
    try:
        parts.port  # noqa: B018 (read for what it raises)
    except ValueError:
        raise UsageError(
            f"{redacted(url)} names a port that does not exist: write {scheme}://host:PORT/path."
        ) from None
    return parts


def _kind_of(parts: SplitResult, url: str) -> Kind:
    kind = _guess(parts)
    if kind is None:
        raise SourceUnsupported(
            f"{redacted(url)}: this version reads no such lists over http; give the address that the list names."
        )
    return kind


def _guess(parts: SplitResult) -> Kind | None:
    """What an http address is by its looks; None for a list of addresses."""
    path = unquote(parts.path).rstrip("/").lower()
    for ending, kind in _ENDINGS:
        if path.endswith(ending):
            return kind
    if path.endswith(_LISTS):
        return None
    if "mjpg" in path.split("/") or "mjpeg" in path.split("/"):  # /axis-cgi/mjpg/video.cgi
        return "mjpeg"
    is_page = is_page_host(parts.hostname or "") and not path.endswith(_FILES)
    return "page" if is_page else "http"


def _check_srt(parts: SplitResult, url: str) -> None:
    if parts.port is None:
        raise UsageError(f"{redacted(url)} names no port: write srt://host:PORT.")
    if any(way != "caller" for way in parse_qs(parts.query).get("mode", [])):
        raise SourceUnsupported(
            f"{redacted(url)}: this version calls SRT senders and does not wait for them; leave mode out, and have the "
            "sender listen."
        )
