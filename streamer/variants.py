"""The qualities in which a stream is sent, and which of them is read. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urljoin

_ATTRIBUTE = re.compile(r'([A-Z0-9-]+)=("[^"\r\n]*"|[^",\r\n]*)')
_VIDEO_CODECS = ("avc", "hvc", "hev", "av01", "vp8", "vp9", "vp08", "vp09", "dvh", "mp4v")


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the qualities in which a stream is sent. `height` and `bandwidth` are 0 where they are not told."""

    url: str
    height: int
    bandwidth: int
    has_video: bool = True


def chosen(choices: Sequence[Choice], height: int) -> Choice | None:
    """The smallest that is at least `height` high, else the largest; of two, the one of more bits. None of none."""
    with_video = [choice for choice in choices if choice.has_video]
    enough = [choice for choice in with_video if choice.height >= height]
    if enough:
        return min(enough, key=lambda choice: (choice.height, -choice.bandwidth))
    return max(with_video, key=lambda choice: (choice.height, choice.bandwidth), default=None)


def choices_in(playlist: str, url: str) -> tuple[Choice, ...] | None:
    """Those of the master playlist of HLS (RFC 8216) that came from `url`; None where it is no such playlist."""
    choices: list[Choice] = []
    told: dict[str, str] | None = None
    is_master = False
    for line in (line.strip() for line in playlist.lstrip("\ufeff").splitlines()):
        if line.startswith("#EXT-X-STREAM-INF:"):
            told, is_master = attributes(line), True
        elif line and not line.startswith("#") and told is not None:
            _, _, height = told.get("RESOLUTION", "").lower().partition("x")
            codecs = told.get("CODECS", "").lower()
            video = not codecs or "RESOLUTION" in told or any(name in codecs for name in _VIDEO_CODECS)
            choices.append(
                Choice(urljoin(url, line), whole_number(height), whole_number(told.get("BANDWIDTH", "")), video)
            )
            told = None
    return tuple(choices) if is_master else None


def attributes(line: str) -> dict[str, str]:
    """What a tag of a playlist says, by name."""
    return {key: value.strip('"') for key, value in _ATTRIBUTE.findall(line.partition(":")[2])}


def whole_number(text: str | None) -> int:
    """The number that a playlist or a manifest writes; 0 where it writes none, or one beyond belief."""
    digits = (text or "").strip()
    return int(digits) if digits.isascii() and digits.isdecimal() and len(digits) < 19 else 0
