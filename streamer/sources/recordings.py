"""What stands for a recording in pieces: pure readings of HLS playlists and DASH manifests.

Addresses are signed anew each time and pieces move between servers, so of an address only the path counts.
"""

from __future__ import annotations

import re
from itertools import pairwise
from urllib.parse import urlsplit

_BANDWIDTH = re.compile(r"[:,]BANDWIDTH=(\d{1,12})")
_HEIGHT = re.compile(r"[:,]RESOLUTION=\d{1,6}x(\d{1,6})")
_OF_A_SEGMENT = ("#EXTINF", "#EXT-X-BYTERANGE", "#EXT-X-DISCONTINUITY", "#EXT-X-MEDIA-SEQUENCE")
_CHANGING = re.compile(r'\s(?:publishTime|availabilityStartTime)="[^"]*"')


def variant(playlist: str, height_px: int) -> str | None:
    """The address of the variant that is read, as a master playlist writes it; None for a playlist of segments.

    That is the smallest that is at least `height_px` high, else the largest; of two, the one of more bits.
    """
    found: list[tuple[bool, int, int, str]] = []
    for line, following in pairwise(_lines(playlist)):
        if line.startswith("#EXT-X-STREAM-INF") and not following.startswith("#"):
            height, rate = _number(_HEIGHT, line), _number(_BANDWIDTH, line)
            enough = height >= height_px
            found.append((not enough, height if enough else -height, -rate, following))
    return min(found, key=lambda one: one[:3])[-1] if found else None


def segments(playlist: str) -> list[str]:
    """The segments of a playlist: durations, ranges, and paths without what signs them."""
    told = []
    for line in _lines(playlist):
        if not line.startswith("#"):
            told.append(urlsplit(line).path)
        elif line.startswith(_OF_A_SEGMENT):
            told.append(line)
    return told


def goes_on(text: str) -> bool:
    """Whether a playlist or a manifest is of something that has not ended."""
    if text.lstrip().startswith("#EXTM3U"):
        return "#EXT-X-ENDLIST" not in text
    return bool(re.search(r'<MPD[^>]*\stype\s*=\s*["\']dynamic', text))


def manifest(text: str) -> str:
    """A DASH manifest without what differs from one answer to the next."""
    text = re.sub(r"(?<!<)\?(?!>)[^\"'<>\s]*", "", text)
    return " ".join(_CHANGING.sub("", text).split())


def _number(what: re.Pattern[str], line: str) -> int:
    found = what.search(line)
    return int(found.group(1)) if found else 0


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.lstrip("\ufeff").splitlines() if line.strip()]
