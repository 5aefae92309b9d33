"""Playlists and channels as their videos: what an archive is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from streamer.config import ConnectSettings
from streamer.errors import SourceError, SourceMissing, UsageError
from streamer.source import Source, redacted
from streamer.sources.address_names import host_of, is_nameless, page_name, site_name, video_of
from streamer.sources.formats import Format, address_in, choose, kind_of
from streamer.sources.names import tidy, unique_names
from streamer.sources.page_asking import asked
from streamer.sources.parse import parse
from streamer.sources.ytdlp import Session, session

_MAX_DEPTH = 3  # a channel's tabs, their playlists, the videos
_LISTS = ("tab", "playlist", "channel", "user", "album", "showcase", "collection", "series", "season")


def expand_pages(
    sources: Sequence[Source],
    connect: ConnectSettings,
    refused: Callable[[Source, SourceError], None] | None = None,
) -> list[Source]:
    """`sources` with each page that lists videos replaced by them, as pages of their own; others stay as they are.

    Only what is to be an archive is looked at: watched live, a page is the one thing it shows now. The streams of a
    list are named `site-video`, the same wherever a video is listed, or `NAME-video` for a list that was given a name;
    a video that is listed twice is read once. This asks the sites, which takes seconds. Raises `SourceError` for a page
    that cannot be read, `SourceMissing` for a list without videos; where `refused` is given it hears of these instead,
    and the others go on.
    """
    kept: list[Source] = []
    listed: dict[tuple[str, str], int] = {}
    by_itself = {(source.kind, source.url) for source in sources}
    for source in sources:
        try:
            found = _listed(source, connect) if _may_list(source) else [source]
        except SourceError as error:
            if refused is None:
                raise
            refused(source, error)
            continue
        for video in found:
            if video is source:  # named by the user, twice under two names where that is meant
                kept.append(video)
            elif (video.kind, video.url) not in listed and (video.kind, video.url) not in by_itself:
                listed[video.kind, video.url] = len(kept)
                kept.append(video)
    new = sorted(listed.values())
    given = [source.stream for at, source in enumerate(kept) if at not in set(new)]
    names = iter(unique_names([(redacted(kept[at].url), kept[at].stream, kept[at].stream) for at in new], given))
    return [replace(one, stream=next(names)) if at in set(new) else one for at, one in enumerate(kept)]


def _may_list(source: Source) -> bool:
    return source.kind == "page" and source.mode == "archive" and video_of(source.url) is None


def _listed(source: Source, connect: ConnectSettings) -> list[Source]:
    """The videos that a page lists, or the page itself; looked at in a process of its own."""
    found = asked("list", source, connect, list[Source])
    return [source] if found == [source] else found


def find_listed(source: Source, connect: ConnectSettings) -> list[Source]:
    """The videos that a page lists, or the page itself, found here: for the process that is asked. Raises
    `SourceError`."""
    with session(source.url, source.name, connect, flat=True) as site:
        found = site.extract(source.url)
        if found.get("_type") not in ("playlist", "multi_video"):
            return [source]
        named = source.stream if source.stream != tidy(page_name(source.url)) else None
        videos = [
            video
            for entry in _entries(found, site, _MAX_DEPTH)
            if (video := _video(entry, source, named, connect.page_height)) is not None
        ]
    if not videos:
        raise SourceMissing(f"{source.name} lists no videos: check the address, and whether they are public.")
    return [source] if len(videos) == 1 and videos[0].kind != "page" else videos  # its one video, not a list's


def _entries(found: Mapping[str, Any], site: Session, depth: int) -> Iterator[Mapping[str, Any]]:
    """The videos of a list, those of the lists in it too."""
    entries: Iterable[Mapping[str, Any] | None] = found.get("entries") or ()
    for entry in entries:
        if entry is None:
            continue
        if entry.get("_type") in ("playlist", "multi_video"):
            yield from _entries(entry, site, depth)
        elif depth > 1 and _is_list(entry):
            inner = site.extract(str(entry["url"]))
            if inner.get("_type") in ("playlist", "multi_video"):
                yield from _entries(inner, site, depth - 1)
            else:
                yield entry
        else:
            yield entry


def _is_list(entry: Mapping[str, Any]) -> bool:
    key = str(entry.get("ie_key") or "").lower()
    return entry.get("_type") in ("url", "url_transparent") and any(word in key for word in _LISTS)


def _video(entry: Mapping[str, Any], source: Source, named: str | None, height_px: int) -> Source | None:
    """A listed video as a source. One that has no page of its own is read where it lies now."""
    if entry.get("_type") in ("url", "url_transparent"):
        url, kind = str(entry.get("url") or ""), "page"
    else:
        formats: Sequence[Format] = entry.get("formats") or (entry,)
        chosen = choose(formats, height_px, is_live=False, now_s=0.0)
        if chosen is None or (read_as := kind_of(chosen)) is None:
            return None
        url, kind = address_in(chosen), read_as
    if not url.startswith(("http://", "https://")):
        return None
    try:
        (plain,) = parse(f"{kind}+{url}", "archive")
    except UsageError:  # what the list names is no address
        return None
    video = entry.get("id")
    if video is None:
        stream = plain.stream if named is None else f"{named}-{plain.stream}"
    elif named is not None:
        stream = f"{named}-{video}"
    else:
        site = str(entry.get("ie_key") or entry.get("extractor_key") or "Generic")
        stream = site_name(host_of(source.url) if is_nameless(site) else site, str(video))
    return replace(plain, stream=tidy(stream))
