"""The session of an archive: what makes a second reading of the same bytes the same session."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from streamer.config import ConnectSettings
from streamer.errors import SourceMissing, SourceUnsupported
from streamer.http_io import MAX_PLAYLIST_BYTES, Http
from streamer.source import ENDLESS_KINDS, Address, Source, images_in, redacted
from streamer.sources.address_names import is_nameless
from streamer.sources.addresses import RECORDABLE
from streamer.sources.pages import page_video
from streamer.sources.recordings import goes_on, manifest, segments
from streamer.variants import choices_in, chosen

_CHUNK_BYTES = 1 << 20
_DEFAULT = ConnectSettings()
_SIGNING = frozenset("expire expires exp e policy key-pair-id hdnts hdnea hdntl st x-amz-date x-amz-expires".split())  # noqa: SIM905


def session_of(source: Source, connect: ConnectSettings = _DEFAULT, *, guarded: bool = False) -> str:
    """64 hexadecimal digits that stand for the content, so that any replay of it is the same session.

    - a file: the sha256 of its bytes;
    - an image folder: over the names and the bytes of its images, in the order they are read, and the rate;
    - http: over the address (without user and password), the strong ETag and the length; a server that gives no
      strong ETag has its content read once and hashed, since only identical bytes may share a session;
    - hls, dash: over the address and the segments that the playlist lists, without what signs them, of the height that
      is chosen by `connect`;
    - a page: over the site, its name for the video and for the format that is chosen by `connect`, since the video's
      address is another each time; where the site has no names for videos, over the page's address too;
    - a test source: over its address.

    Raises `SourceMissing`, `SourceUnauthorized`, `SourceUnreachable`, `AddressRefused`; `SourceUnsupported` for what
    never ends, a camera or something live, which has no session to repeat; and for a page what `resolve` raises.
    `guarded`: see `Address`.
    """
    if source.kind in ENDLESS_KINDS - RECORDABLE:
        what = "is a camera" if source.kind == "webcam" else "never ends"
        raise SourceUnsupported(f"{source.name} {what}: it cannot be read in archive mode.")
    if source.kind == "testsrc":
        return hashlib.sha256(source.url.encode()).hexdigest()
    if source.kind == "http":
        return _http_session(source, connect, guarded)
    if source.kind in ("hls", "dash"):
        return _pieces_session(source, connect, guarded)
    if source.kind == "page":
        return _page_session(source, connect, guarded)
    digest = hashlib.sha256()
    try:
        if source.kind == "images":
            digest.update(f"images {source.rate}\0".encode())
            for image in images_in(Path(source.url)):
                name = image.name.encode("utf-8", "surrogateescape")
                digest.update(len(name).to_bytes(8) + name)
                digest.update(image.stat().st_size.to_bytes(8))
                _add_file(digest, image)
        else:
            _add_file(digest, Path(source.url))
    except OSError as error:
        raise SourceMissing(
            f"{source.name} cannot be read ({error.strerror}): check the path and its rights."
        ) from error
    return digest.hexdigest()


def _add_file(digest: hashlib._Hash, path: Path) -> None:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)


def _http_session(source: Source, connect: ConnectSettings, guarded: bool) -> str:
    answer = _client(source, connect, guarded).get(source.url)
    try:
        if answer.tag.startswith('"') and answer.whole is not None:
            return hashlib.sha256(f"{bare(source.url)}\0{answer.tag}\0{answer.whole}".encode()).hexdigest()
        digest = hashlib.sha256()
        while chunk := answer.read(_CHUNK_BYTES, time.monotonic() + connect.open_timeout_s):
            digest.update(chunk)
        return digest.hexdigest()
    finally:
        answer.close()


def _pieces_session(source: Source, connect: ConnectSettings, guarded: bool) -> str:
    http = _client(source, connect, guarded)

    def text_of(url: str) -> tuple[str, str]:
        data, found_at = http.whole(url, MAX_PLAYLIST_BYTES, connect.open_timeout_s)
        return data.decode("utf-8", "replace"), found_at

    text, found_at = text_of(source.url)
    choices = choices_in(text, found_at) if source.kind == "hls" else None
    if choices and (choice := chosen(choices, connect.page_height)) is not None:
        text, _ = text_of(choice.url)
    if goes_on(text):
        raise SourceUnsupported(f"{source.name} is live, so it has no end yet: read it with --mode live.")
    content = "\n".join(segments(text)) if source.kind == "hls" else f"{connect.page_height} {manifest(text)}"
    return hashlib.sha256(f"{source.kind}\0{_unsigned(source.url)}\0{content}".encode()).hexdigest()


def _client(source: Source, connect: ConnectSettings, guarded: bool) -> Http:
    return Http(source, Address(source.url, source.kind, guarded=guarded), connect)


def _page_session(source: Source, connect: ConnectSettings, guarded: bool) -> str:
    video = page_video(source, connect, now_s=0.0, guarded=guarded)
    parts = [video.extractor, video.video, video.format]
    if is_nameless(video.extractor):
        parts.append(_unsigned(source.url))
    return hashlib.sha256("\0".join(["page", *parts]).encode()).hexdigest()


def bare(url: str) -> str:
    """`url` without user and password."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, parts.query, ""))


def _unsigned(url: str) -> str:
    """The address without user and password, and without the options that let somebody in for a while."""
    parts = urlsplit(redacted(bare(url)))
    options = [pair for pair in parts.query.split("&") if not pair.endswith("=***")]
    options = [pair for pair in options if pair.partition("=")[0].lower() not in _SIGNING]
    return urlunsplit((parts.scheme, parts.netloc, parts.path, "&".join(options), ""))
