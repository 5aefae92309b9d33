"""When a signed address stops working, as it says itself."""

from __future__ import annotations

import re
from calendar import timegm
from time import strptime
from urllib.parse import parse_qsl, unquote, urlsplit

_NAMES = frozenset(("expire", "expires", "exp", "expiry", "expiration", "e", "validto", "valid_until"))
_IN_PATH = re.compile(r"/(?:expires?|exp)[/=](\d{10})(?:\d{3})?(?=[/,~;]|$)")
_IN_TOKEN = re.compile(r"(?:^|[~&;,])(?:exp|expires)=(\d{10})(?=[~&;,]|$)")
_SIGNED = (("x-amz-date", "x-amz-expires"), ("x-goog-date", "x-goog-expires"))
_MILLISECONDS = 1e12


def expires_at(url: str, now_s: float) -> float | None:
    """Seconds since 1970 at which `url` says that it stops working, the earliest if it says several.

    None where it says nothing, or only times before `now_s`: such an address works in spite of what it says, or not at
    all, and neither is a reason to look for another.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    options = {name.lower(): value for name, value in parse_qsl(parts.query)}
    told = [_seconds(value) for name, value in options.items() if name in _NAMES]
    told += [_signed(options.get(date, ""), options.get(span, "")) for date, span in _SIGNED]
    told += [float(found) for found in _IN_PATH.findall(parts.path)]
    told += [float(found) for value in options.values() for found in _IN_TOKEN.findall(unquote(value))]
    return min((at for at in told if at is not None and at > now_s), default=None)


def _seconds(text: str) -> float | None:
    """A time since 1970 in seconds or milliseconds; smaller numbers mean something else."""
    if not re.fullmatch(r"\d{10}(\d{3})?(\.\d{1,6})?", text):
        return None
    number = float(text)
    return number / 1000 if number >= _MILLISECONDS else number


def _signed(date: str, span: str) -> float | None:
    if not span.isdecimal() or len(span) > 9:
        return None
    try:
        return timegm(strptime(date, "%Y%m%dT%H%M%SZ")) + float(span)
    except ValueError:
        return None
