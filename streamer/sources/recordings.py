"""What stands for a recording in pieces: pure readings of HLS playlists and DASH manifests.

Addresses are signed anew each time and pieces move between servers, so of an address only the path counts.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_OF_A_SEGMENT = ("#EXTINF", "#EXT-X-BYTERANGE", "#EXT-X-DISCONTINUITY", "#EXT-X-MEDIA-SEQUENCE")
_CHANGING = re.compile(r'\s(?:publishTime|availabilityStartTime)="[^"]*"')


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


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.lstrip("\ufeff").splitlines() if line.strip()]
