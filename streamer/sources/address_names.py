"""Stream ids out of addresses: the site or the host, and the part of the path that tells one video from another.

User names, passwords and what looks like a token are never part of one: ids are in every record.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from streamer.source import Source
from streamer.sources.addresses import is_page_host
from streamer.sources.names import tidy

_SAYS_NOTHING = frozenset(
    "index master playlist manifest chunklist prog_index media stream live video main watch shorts embed v".split()  # noqa: SIM905
)
_ENDINGS = re.compile(r"(?i)\.(m3u8|mpd|mjpe?g|sdp|cgi|html?|php|aspx?)$")
_TOKEN = re.compile(r"(?=[^0-9]*[0-9])(?=[^A-Za-z]*[A-Za-z])[A-Za-z0-9]{16,}|[A-Za-z]{32,}|[0-9]{24,}")
_OPTIONS = frozenset("action cam camera ch channel device id input profile resolution stream subtype view".split())  # noqa: SIM905
_VIDEO_ID = re.compile(r"[A-Za-z0-9_-]{11}")
_SITES = {"youtu": "youtube", "youtube-nocookie": "youtube", "dai": "dailymotion", "fb": "facebook"}
_YOUTUBE_PATHS = frozenset(("live", "shorts", "embed", "v"))


def names_of(source: Source) -> tuple[str, str]:
    """A short and a longer name for a network source, both fit to be a stream id."""
    parts = urlsplit(source.url)
    if source.kind == "http":
        name = unquote(parts.path.rstrip("/").rpartition("/")[2]) or _host(parts)
        return name, name
    if source.kind == "page":
        name = page_name(source.url)
        return name, "-".join([name, *_options(parts)])
    path = list(_path(parts))
    if len(path) > 1 and path[-1].lower() in _SAYS_NOTHING:
        path.pop()
    short = "-".join([_host(parts), *path])
    port = [] if parts.port is None else [str(parts.port)]
    return short, "-".join([_host(parts), *port, *_path(parts), *_options(parts)])


def page_name(url: str) -> str:
    """`site-video` for a page: `youtube-jNQXAC9IVRw`, `twitch-somebody`."""
    parts = urlsplit(url)
    host = _host(parts)
    if not is_page_host(host):
        return "-".join([host.removeprefix("www."), *_path(parts)])
    site = host.split(".")[-2]
    site = _SITES.get(site, site)
    found = video_of(url) or dict(parse_qsl(parts.query)).get("list")
    words = [found] if found else [word.removeprefix("@") for word in _path(parts)]
    return "-".join([site, *words])


def video_of(url: str) -> str | None:
    """The video that an address of YouTube names; None for its other pages (channels, playlists) and other sites."""
    parts = urlsplit(url)
    host, path = _host(parts), [word for word in parts.path.split("/") if word]
    name = ""
    if host == "youtu.be" and path:
        name = path[0]
    elif re.search(r"(^|\.)youtube(-nocookie)?\.com$", host) and path:
        if path == ["watch"]:
            name = dict(parse_qsl(parts.query)).get("v", "")
        elif len(path) == 2 and path[0] in _YOUTUBE_PATHS:
            name = path[1]
    return name if _VIDEO_ID.fullmatch(name) else None


def site_name(extractor: str, video: str) -> str:
    """The stream id of a video that a site (by yt-dlp's name for it) knows as `video`."""
    return tidy(f"{extractor.lower()}-{video}")


def is_nameless(extractor: str) -> bool:
    """Whether yt-dlp's `extractor` reads pages of any site, so that its names for videos are only the page's own."""
    return extractor == "Generic" or extractor.endswith("Embed")


def host_of(url: str) -> str:
    """The host that an address names, as it is written in names."""
    return _host(urlsplit(url))


def _host(parts: SplitResult) -> str:
    return (parts.hostname or "").lower().removesuffix(".")


def _path(parts: SplitResult) -> Iterator[str]:
    for word in unquote(parts.path).split("/"):
        name = _ENDINGS.sub("", _without_tokens(word))
        if name:
            yield name


def _options(parts: SplitResult) -> Iterator[str]:
    """`channel=1` and the like, which is what tells some cameras apart; other options may be anything, also secret."""
    for name, value in parse_qsl(parts.query):
        if name.lower() in _OPTIONS and len(value) <= 32 and _without_tokens(value):
            yield f"{name}-{value}"


def _without_tokens(word: str) -> str:
    """Nothing where `word` looks like a secret: a setting (`token=...`), or letters and digits nobody would choose."""
    return "" if "=" in word or any(_TOKEN.fullmatch(part) for part in re.split(r"[-_.~ ]", word)) else word
