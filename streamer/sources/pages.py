"""The video in a page: where it lies now, how long it lies there, and what stands for it for good."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from streamer.config import ConnectSettings
from streamer.errors import SourceUnsupported
from streamer.source import Address, Source
from streamer.sources.expiry import expires_at
from streamer.sources.formats import Format, address_in, choose, kind_of
from streamer.sources.page_asking import asked
from streamer.sources.ytdlp import Session, session

_MAX_WAIT_S = 20.0
_NOT_SENT = frozenset(("accept-encoding", "connection", "host", "range", "cookie"))


@dataclass(frozen=True, slots=True)
class PageVideo:
    """A video that was found in a page.

    `extractor` (yt-dlp's name for the site) and `video` stand for it; `format` is the site's name for the one that was
    chosen, `height_px` its height where that is known. `is_live` is what the site says, None where it says nothing.
    `waits_s` is how long the address does not work yet.
    """

    address: Address
    extractor: str
    video: str
    format: str
    height_px: int | None
    is_live: bool | None
    waits_s: float


def resolve(
    source: Source,
    connect: ConnectSettings,
    now_s: float,
    *,
    guarded: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> Address:
    """What is opened for `source`: the address of a page's video as it is now, every other source's own.

    `now_s` is the wall clock. For a page this asks the site, which takes seconds, each answer at most
    `connect.open_timeout_s`, and waits where the site shows a video only after some seconds of advertisements. Raises
    `SourceError`: missing, unauthorized, unreachable, unsupported, refused. `guarded`: see `Address`.
    """
    if source.kind != "page":
        return Address(source.url, source.kind, guarded=guarded)
    video = page_video(source, connect, now_s, guarded=guarded)
    if video.waits_s > 0:
        sleep(video.waits_s)
    return replace(video.address, guarded=guarded)


def page_video(source: Source, connect: ConnectSettings, now_s: float, *, guarded: bool = False) -> PageVideo:
    """The video in a page, in the smallest format that is at least `connect.page_height` high, as a process of its own
    finds it. Raises `SourceError`."""
    return asked("video", source, connect, PageVideo, now_s=now_s, guarded=guarded)


def find_video(source: Source, connect: ConnectSettings, now_s: float, *, guarded: bool = False) -> PageVideo:
    """The same, found here: for the process that is asked. Raises `SourceError`."""
    with session(source.url, source.name, connect, items="1:2", guarded=guarded) as site:
        found = _one_video(site.extract(source.url), source)
        video = video_in(found, site, connect.page_height, now_s, lasting=source.mode == "archive")
    if video is None:
        raise SourceUnsupported(f"{source.name} has no video that can be read, only sound or protected ones.")
    if source.mode == "archive" and video.is_live:
        raise SourceUnsupported(f"{source.name} is live, so it has no end yet: read it with --mode live.")
    return video


def video_in(
    found: Mapping[str, Any], site: Session, height_px: int, now_s: float, *, lasting: bool
) -> PageVideo | None:
    """The video that yt-dlp describes; None where it has no format to read. Raises `AddressRefused`.

    Where the choice is to be a `lasting` one, the same at each time, formats that are not there yet count as well.
    """
    is_live = found.get("is_live")
    from_s = math.inf if lasting else now_s
    chosen = choose(found.get("formats") or (found,), height_px, is_live=bool(is_live), now_s=from_s)
    kind = None if chosen is None else kind_of(chosen)
    if chosen is None or kind is None:
        return None
    url = address_in(chosen)
    site.reach.check(url)
    return PageVideo(
        Address(url, kind, _headers(chosen), expires_at(url, now_s), cookies=site.cookies()),
        extractor=str(found.get("extractor_key") or found.get("extractor") or "unknown"),
        video=str(found.get("id") or ""),
        format=str(chosen.get("format_id") or ""),
        height_px=int(chosen["height"]) if chosen.get("height") else None,
        is_live=is_live,
        waits_s=min(max(0.0, (chosen.get("available_at") or 0.0) - now_s), _MAX_WAIT_S),
    )


def _one_video(found: dict[str, Any], source: Source) -> dict[str, Any]:
    """The page's video; where it has several the first, but of a site's playlist none."""
    while found.get("_type") in ("playlist", "multi_video"):
        entries = [entry for entry in found.get("entries") or () if entry]
        if not entries:
            raise SourceUnsupported(f"{source.name} is a list without videos: give the address of a video.")
        if len(entries) > 1 and found.get("extractor_key") != "Generic":
            raise SourceUnsupported(
                f"{source.name} is a playlist: read it with --mode archive, or give the address of one video."
            )
        found = entries[0]
    return found


def _headers(found: Format) -> tuple[tuple[str, str], ...]:
    """What yt-dlp would send, without what belongs to one request, and without anything that breaks a line.

    What it has read of cookies there it keeps with the others.
    """
    wanted = [(str(name), str(value)) for name, value in (found.get("http_headers") or {}).items()]
    chosen = [(name, value) for name, value in wanted if name.lower() not in _NOT_SENT]
    return tuple((name, value) for name, value in chosen if (name + value).isprintable())
