"""Made-up pictures as a source: testsrc://640x360@25?duration=10&pattern=testsrc."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from urllib.parse import parse_qsl

from streamer.errors import UsageError
from streamer.source import redacted

PATTERNS = ("testsrc", "testsrc2", "smptebars", "color")

_ADDRESS = re.compile(r"testsrc://(\d{1,5})x(\d{1,5})(?:@(\d{1,4}(?:\.\d{1,3})?))?/?(?:\?(.*))?")
_SECONDS = re.compile(r"\d{1,7}(\.\d{1,6})?")


@dataclass(frozen=True, slots=True)
class Pattern:
    """A test picture. Without `duration_s` (as text) it never ends."""

    name: str
    width: int
    height: int
    rate: Fraction
    duration_s: str | None = None

    def lavfi(self) -> str:
        """FFmpeg's description of it: checked numbers and known words only."""
        duration = f":duration={self.duration_s}" if self.duration_s else ""
        return f"{self.name}=size={self.width}x{self.height}:rate={self.rate}{duration}"


def pattern_of(address: str) -> Pattern:
    """What a testsrc:// address asks for. Raises `UsageError`."""
    match = _ADDRESS.fullmatch(address)
    options = dict(parse_qsl(match.group(4) or "", keep_blank_values=True)) if match else {}
    duration = options.pop("duration", None)
    name = options.pop("pattern", PATTERNS[0])
    sized = match is not None and int(match.group(1)) > 0 and int(match.group(2)) > 0
    if not match or not sized or options or name not in PATTERNS or (duration and not _SECONDS.fullmatch(duration)):
        raise UsageError(
            f"{redacted(address)} is no test source: write testsrc://640x360@25?duration=10&pattern=testsrc "
            f"(patterns: {', '.join(PATTERNS)})."
        )
    rate = rate_of(match.group(3) or "25", address)
    return Pattern(name, int(match.group(1)), int(match.group(2)), rate, duration)


def rate_of(text: str, whole: str) -> Fraction:
    """Frames per second written as `25`, `12.5` or `30000/1001`; `whole` is named when it is none."""
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not 0 < rate <= 1000:
        raise UsageError(f"{redacted(whole)}: {text} is no number of frames per second (above 0, at most 1000).")
    return rate
