"""What is named on a command line, as jobs: one for each file or video."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from streamer.config import ConnectSettings
from streamer.errors import SourceMissing, SourceUnreadable, SourceUnsupported, UsageError
from streamer.messages import Job, record_id
from streamer.source import NETWORK_KINDS, Source, redacted
from streamer.sources import expand_pages, parse_all, written
from streamer.sources.names import is_name
from streamer.testsrc import pattern_of

_CONNECT = ConnectSettings()

PLAYLISTS = frozenset((".m3u", ".m3u8", ".txt"))


@dataclass(frozen=True, slots=True)
class JobOptions:
    """How the jobs of a submission are to be done; None leaves it to the worker. `run` is the beginning of a name."""

    run: str | None = None
    model: str | None = None
    head: str | None = None
    detector: str | None = None
    precision: str | None = None


def jobs_of(
    texts: Sequence[str], batch: str, options: JobOptions, now_s: float, connect: ConnectSettings = _CONNECT
) -> list[Job]:
    """One job for each file and video that `texts` stand for: those in lists, and those of playlists and channels,
    whose sites are asked. The ids follow from the batch and the streams.

    Raises `UsageError`, what `streamer.sources.parse_all` raises for a name that is no source, and what
    `streamer.sources.expand_pages` raises for a page that cannot be read.
    """
    sources = expand_pages(parse_all([inner for text in texts for inner in _lines(text)], "archive"), connect)
    return [
        Job(
            job="j-" + record_id("job", batch, source.stream)[:20],
            batch=batch,
            stream=source.stream,
            source=address_of(source),
            run=f"{options.run}.{source.stream}" if options.run else None,
            model=options.model,
            head=options.head,
            detector=options.detector,
            precision=options.precision,
            submitted_s=round(now_s, 6),
        )
        for source in map(_finite, sources)
    ]


def address_of(source: Source) -> str:
    """The address by which a worker finds the source again. Raises `UsageError` for a name that is no UTF-8."""
    url = written(source) if source.kind in NETWORK_KINDS else source.url
    if source.kind == "images" and source.rate is not None and os.path.isdir(url):  # noqa: PTH112 (may be no UTF-8)
        url = f"{url}?fps={source.rate}"
    try:
        url.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"the name of {source.name} is not UTF-8, as records must be: rename the file.") from error
    return url


def _finite(source: Source) -> Source:
    if source.kind == "testsrc" and pattern_of(source.url).duration_s is None:
        raise UsageError(f"{source.name} never ends: give it an end with ?duration=SECONDS.")
    return source


def _lines(text: str) -> Iterator[str]:
    """What a playlist holds; anything else is itself."""
    path = Path(text)
    if "://" in text or path.suffix.lower() not in PLAYLISTS or not os.path.lexists(text):
        yield text
        return
    try:
        content = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise SourceUnreadable(f"the list {redacted(text)} cannot be read: {error.strerror or error}.") from error
    lines = [line.strip() for line in content.splitlines()]
    if any(line.startswith("#EXT-X-") for line in lines):
        raise SourceUnsupported(f"{redacted(text)} is one video in pieces, no list of videos: join it to a file first.")
    named = [line for line in lines if line and not line.startswith("#")]
    if not named:
        raise SourceMissing(f"the list {redacted(text)} names no file: write one path or address a line.")
    for line in named:
        yield _beside(path.absolute().parent, line)


def _beside(folder: Path, line: str) -> str:
    """A line of a list in `folder`: relative paths mean files beside the list."""
    name, equals, rest = line.partition("=")
    if equals and is_name(name) and not os.path.lexists(folder / line):
        return f"{name}={_beside(folder, rest)}"
    return line if "://" in line else str(folder / line)
