"""Files, folders, patterns, addresses and devices as sources. Looks at names and folders only: opens nothing."""

from __future__ import annotations

import glob
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from streamer.errors import SourceMissing, UsageError
from streamer.source import IMAGE_ENDINGS, NETWORK_KINDS, Kind, Source, images_in, natural, redacted
from streamer.sources.address_names import names_of
from streamer.sources.addresses import Wanted, addressed, checked_mode
from streamer.sources.names import is_name, unique_names
from streamer.testsrc import pattern_of, rate_of

_VIDEO_NAMES = """3g2 3gp asf avi dv f4v flv gif h264 h265 hevc ivf m1v m2ts m2v m4v mjpeg mjpg mkv mov mp4 mpeg mpg
    mts mxf nut ogv rm rmvb ts vob webm wmv y4m"""
VIDEO_ENDINGS = frozenset(f".{name}" for name in _VIDEO_NAMES.split())
IMAGE_RATE = Fraction(25)

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


def parse(text: str, mode: Wanted = "auto") -> list[Source]:
    """The sources that one argument stands for: see `parse_all`."""
    return parse_all([text], mode)


def parse_all(texts: Sequence[str], mode: Wanted = "auto") -> list[Source]:
    """The sources that the arguments stand for, in order; a source given twice is read once.

    - a file, whatever its ending;
    - a folder: every video in it and in its folders, in natural order, hidden ones and links to folders left out;
      a folder without videos but with images (jpg, png, bmp, webp) is one source of 25 pictures a second, or
      `folder?fps=10`;
    - a pattern (`*`, `?`, `[...]`, `**`): what it matches, videos only where it matches any;
    - `rtsp://` (`rtspt://` by TCP, `rtspu://` by UDP, `rtsps://`), `rtmp://`, `rtmps://`, `srt://`: a camera, a stream;
    - `http://`, `https://`: by its looks a playlist of HLS (`.m3u8`) or DASH (`.mpd`), a camera's MJPEG (`.mjpg`), a
      page of a site of videos, or else one video file; `hls+https://...`, `dash+`, `mjpeg+`, `page+` say what it is;
    - `0`, `1`, ..., `webcam://0`, `/dev/video0`: a camera of this machine;
    - `testsrc://640x360@25?duration=10&pattern=testsrc|testsrc2|smptebars|color`;
    - `NAME=SOURCE` gives the stream id, where NAME is letters, digits, `.`, `_`, `-` and no file has that whole name.

    `auto` is archive for files, folders, patterns and http files, live for all that may go on for ever.
    Raises `SourceMissing`, `SourceUnsupported` or `UsageError`.
    """
    found: dict[tuple[str, str, str], Source] = {}
    for text in texts:
        name, address = _named(text)
        sources = list(_expand(address, mode))
        if name is not None and len(sources) > 1:
            raise UsageError(f"{name}= names {len(sources)} sources at once: give each its own name.")
        for source in sources:
            found.setdefault((name or "", source.kind, source.url), replace(source, stream=name) if name else source)
    given = [name for name, _, _ in found if name]
    for name in given:
        if given.count(name) > 1:
            raise UsageError(f"the name {name} is given to two sources: choose another for one of them.")
    unnamed = [source for (name, _, _), source in found.items() if not name]
    ids = iter(unique_names([_names(source) for source in unnamed], given))
    return [source if name else replace(source, stream=next(ids)) for (name, _, _), source in found.items()]


def _names(source: Source) -> tuple[str, str, str]:
    """The address without secrets, and a short and a longer name."""
    short, long = names_of(source) if source.kind in NETWORK_KINDS else (source.stream, source.stream)
    return redacted(source.url) if source.kind in NETWORK_KINDS else source.url, _stem(short, source.kind), long


def _stem(name: str, kind: Kind) -> str:
    """`name` without its ending: whatever a file ends in, what is known to be a video's elsewhere."""
    path = Path(name)
    known = kind == "file" or (kind in ("http", "images") and path.suffix.lower() in VIDEO_ENDINGS | IMAGE_ENDINGS)
    return path.stem if known else name


def _named(text: str) -> tuple[str | None, str]:
    name, equals, rest = text.partition("=")
    if not equals or not rest or not is_name(name) or os.path.lexists(text):
        return None, text
    return name, rest


def _expand(text: str, mode: Wanted) -> Iterator[Source]:
    if not text:
        raise UsageError("an empty source was given: name a file, a folder, an address or a camera.")
    if "\0" in text or "\n" in text:
        raise UsageError("a source's name holds a line break or a zero byte.")
    scheme = _SCHEME.match(text)
    if scheme:
        yield _addressed(text, scheme.group(1).lower(), mode)
    elif os.path.lexists(text):
        yield from _existing(Path(text), mode, None)
    elif text.isdecimal() and text.isascii():
        yield _camera(text, mode)
    elif (options := re.fullmatch(r"(.+)\?fps=([0-9./]+)", text)) and Path(options.group(1)).is_dir():
        yield from _existing(Path(options.group(1)), mode, rate_of(options.group(2), text))
    elif glob.has_magic(text):
        yield from _matching(text, mode)
    else:
        raise SourceMissing(f"{redacted(text)} does not exist: check the path.")


def _source(name: str, url: str, kind: Kind, mode: Wanted, rate: Fraction | None = None) -> Source:
    return Source(name, url, kind, checked_mode(url, kind, mode), rate)


def _existing(path: Path, mode: Wanted, rate: Fraction | None) -> Iterator[Source]:
    absolute = Path(os.path.abspath(path))  # noqa: PTH100 (resolve() would follow links and change names)
    if str(absolute).startswith("/dev/video"):
        yield _camera(str(absolute), mode)
    elif path.is_dir():
        videos = list(_videos_below(absolute))
        if videos and rate is None:
            for video in videos:
                yield _source(video.name, str(video), "file", mode)
        elif images_in(absolute):
            yield _source(absolute.name, str(absolute), "images", mode, rate or IMAGE_RATE)
        else:
            what = "images" if rate is not None else "videos or images"
            raise SourceMissing(f"{redacted(str(path))} holds no {what}: name a file, or a folder that has some.")
    elif path.suffix.lower() in IMAGE_ENDINGS:
        yield _source(absolute.name, str(absolute), "images", mode, rate or IMAGE_RATE)
    else:
        yield _source(absolute.name, str(absolute), "file", mode)


def _matching(pattern: str, mode: Wanted) -> Iterator[Source]:
    paths = [Path(path) for path in glob.glob(pattern, recursive=True)]  # noqa: PTH207 (patterns may be absolute)
    videos = [path for path in paths if path.is_file() and path.suffix.lower() in VIDEO_ENDINGS]
    chosen = videos or [path for path in paths if path.is_file()]
    if not chosen:
        raise SourceMissing(f"{redacted(pattern)} matches no file: check the pattern, and quote it for the shell.")
    for path in sorted(chosen, key=natural):
        yield from _existing(path, mode, None)


def _videos_below(folder: Path) -> Iterator[Path]:
    for root, folders, files in os.walk(folder):
        folders[:] = sorted((name for name in folders if not name.startswith(".")), key=natural)
        for name in sorted(files, key=natural):
            if Path(name).suffix.lower() in VIDEO_ENDINGS and not name.startswith("."):
                yield Path(root) / name


def _addressed(text: str, scheme: str, mode: Wanted) -> Source:
    if scheme == "testsrc":
        pattern = pattern_of(text)
        return Source(pattern.name, text, "testsrc", "live" if mode == "auto" else mode, pattern.rate)
    if scheme in ("webcam", "v4l2"):
        device = text.partition("://")[2]
        if not ((device.isdecimal() and device.isascii()) or device.startswith("/dev/video")):
            raise UsageError(f"{redacted(text)} is no camera: write webcam://0 for the first one.")
        return _camera(device, mode)
    return addressed(text, scheme, mode)


def _camera(device: str, mode: Wanted) -> Source:
    path = device if device.startswith("/") or not sys.platform.startswith("linux") else f"/dev/video{int(device)}"
    number = re.sub(r"\D", "", path)
    return _source(f"webcam{number}", path, "webcam", mode)
