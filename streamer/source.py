"""What a source is, how its address is written where people can read it, and the order of its images."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Literal

from streamer.cookies import Cookie
from streamer.messages import Mode

Kind = Literal["file", "images", "http", "webcam", "testsrc", "rtsp", "rtmp", "srt", "hls", "dash", "mjpeg", "page"]
"""`http` is one video file at an address, `page` whatever yt-dlp finds a video in."""

ENDLESS_KINDS: frozenset[Kind] = frozenset(("webcam", "rtsp", "rtmp", "srt", "hls", "dash", "mjpeg", "page"))
"""What goes on while nobody looks: watched live it is opened again whenever it ends, and never begins anew."""

NETWORK_KINDS: frozenset[Kind] = frozenset(("http", "rtsp", "rtmp", "srt", "hls", "dash", "mjpeg", "page"))

MAX_ID_LENGTH = 100
IMAGE_ENDINGS = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".webp"))

_MASKED = r"(?:token|key|secret|sig|signature|password|passwd|pass|pwd|auth|credential|session|user|usr|login)"
_SECRET_NAME = rf"(?:[^=?&;#/\s]{{0,200}}{_MASKED}[^=&;#/\s]{{0,200}}|p)="
_SECRET = re.compile(rf"(?i)([?&;#/]{_SECRET_NAME})[^&;#/\s]*")
"""In a query, and in a path too: some recorders take `rtsp://host/user=NAME&password=WORD`."""
_QUERY = re.compile(r"[?#]\S*")
_QUERY_SECRET = re.compile(rf"(?i)([?&;#]{_SECRET_NAME})[^&;#\s]*")
"""What a query holds may have slashes in it, as tokens in base64 do."""
_USER_INFO = re.compile(r"://[^/?#\s]*@")
_SPACED_USER_INFO = re.compile(r"(?i)([a-z][a-z0-9+.-]*://)[^/?#@:]*:[^/?#]*@")
"""A password with a space in it, where the whole text is an address: in a sentence a space ends the address."""
_CUT_USER_INFO = re.compile(r"://[^/?#\s@:\[\]]*:(?![0-9]+(?:[/?#\s]|$))\S{0,1000}@")
"""A password with `/`, `?` or `#` in it, which should have been written as %XX: what looks like a port is none."""
_NO_LOGIN = (("testsrc", re.compile(r"://[0-9]+x[0-9]+@$")), ("file", re.compile("://")))
"""Schemes without a host to log in to, and what stands before an `@` that is part of their addresses."""


@dataclass(frozen=True, slots=True)
class Source:
    """One stream to be read. `url` is what is opened and may hold secrets: show `name` instead.

    `url` is an absolute path (`file`), a folder's (`images`), a device, or an address. An rtsp address keeps the scheme
    that chooses the transport: `rtspt` TCP, `rtspu` UDP, `rtsp` as configured.
    `rate` is the frames per second of an image folder or test source. Holds plain values only, so it can travel to
    another process. Made by `streamer.sources`.
    """

    stream: str
    url: str = field(repr=False)
    kind: Kind
    mode: Mode
    rate: Fraction | None = None

    @property
    def name(self) -> str:
        """The address as people may read it: no secrets, printable."""
        return redacted(self.url)


@dataclass(frozen=True, slots=True)
class Address:
    """What is opened for a source. It is the source's own, but for a page, which has the address of its video.

    `headers` go with every request, each of `cookies` with those that it is for; at `expires_at_s` (wall clock, seconds
    since 1970) the address stops working.
    `guarded`: somebody else asked for it over the bus, so that its own host, too, must be public or lie in
    `connect.networks` once its name is looked up.
    """

    url: str = field(repr=False)
    kind: Kind
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    expires_at_s: float | None = None
    guarded: bool = False
    cookies: tuple[Cookie, ...] = field(default=(), repr=False)


def may_expire(source: Source, address: Address) -> bool:
    """Whether a refusal may only mean that the address is old: then it is found anew."""
    return source.kind == "page" or address.expires_at_s is not None


def is_stream_id(text: str) -> bool:
    """Whether `text` can be a stream's id: letters and digits of any script, `.`, `_`, `-`, `~`; at most 100."""
    return 0 < len(text) <= MAX_ID_LENGTH and text not in (".", "..") and all(c.isalnum() or c in "._-~" for c in text)


def redacted(text: str) -> str:
    """`text`, an address or a sentence with some, with user names, passwords and tokens inside of URLs masked, and
    undecodable bytes written as escapes. Paths are left as they are; where it is not clear what is a secret, too much
    is masked."""
    if "://" in text:
        if (spaced := _SPACED_USER_INFO.match(text)) is not None:
            text = f"{spaced[1]}***@{text[spaced.end() :]}"
        text = _USER_INFO.sub(_without_user, text)
        text = _CUT_USER_INFO.sub(_without_user, text)
        text = _QUERY.sub(lambda query: _QUERY_SECRET.sub(r"\1***", query[0]), text)
        text = _SECRET.sub(r"\1***", text)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _without_user(found: re.Match[str]) -> str:
    """The `@` of an address with what is before it masked, but where it divides no login from a host."""
    before = found.string[max(0, found.start() - 8) : found.start()].lower()
    for scheme, harmless in _NO_LOGIN:
        if re.search(rf"(?<![a-z0-9+.-]){scheme}$", before) and harmless.match(found[0]):
            return found[0]
    return "://***@"


def images_in(path: Path) -> list[Path]:
    """The images of a folder in natural order (frame2 before frame10), or the one image that `path` is."""
    if not path.is_dir():
        return [path]
    images = (image for image in path.iterdir() if image.suffix.lower() in IMAGE_ENDINGS)
    return sorted((image for image in images if not image.name.startswith(".") and image.is_file()), key=natural)


def natural(path: Path | str) -> list[tuple[int, int, str]]:
    """A sort key under which numbers inside of names count as numbers."""
    parts: Iterable[str] = re.split(r"([0-9]+)", str(path))
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts if part]
