"""What yt-dlp raises, as errors of a source."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import ModuleType

from streamer.errors import (
    SourceError,
    SourceMissing,
    SourceUnauthorized,
    SourceUnreachable,
    SourceUnsupported,
)
from streamer.http_io import for_status
from streamer.source import redacted

# In this order: "Private video. Sign in if ..." is no matter of signing in.
_PASSING = re.compile(
    r"(?i)not currently live|is offline|begin in|premieres in|try again|temporar|rate.?limit|timed out"
)
_GONE = re.compile(
    r"(?i)private video|video is private|removed|deleted|terminated|no longer|does ?n[o']t exist|not found"
    r"|unavailable|not available|has ended|expired"
)
_LOGIN = re.compile(
    r"(?i)sign in|log ?in\b|logged in|login|cookies|members?[ -]only|registered users|password|authenticat|account"
    r"|confirm your age|subscri|not a bot|forbidden|geo.?restrict"
)
_MAX_REASON = 140


def as_source_error(error: Exception, name: str, module: ModuleType) -> SourceError:
    """The `SourceError` for what the module yt-dlp raised about the page `name`."""
    exceptions = module.networking.exceptions
    causes = list(_causes(error))
    reason = _reason(causes)
    for cause in causes:
        if isinstance(cause, exceptions.HTTPError):
            return for_status(cause.status, name, "a file of cookies under connect.cookies, or other credentials")
    if any(isinstance(cause, module.utils.UserNotLive) for cause in causes) or _PASSING.search(reason):
        return SourceUnreachable(f"{name} shows nothing now ({reason}): it is tried again.")
    if any(isinstance(cause, (exceptions.RequestError, OSError)) for cause in causes):
        return SourceUnreachable(f"{name} did not answer ({reason}): check the address and the network.")
    if any(isinstance(cause, module.utils.UnsupportedError) for cause in causes):
        return SourceUnsupported(
            f"{name} is no page that yt-dlp finds a video in: give the address of the video itself."
        )
    if any(isinstance(cause, module.utils.GeoRestrictedError) for cause in causes):
        return SourceUnauthorized(f"{name} is not shown in this country ({reason}): read another page.")
    if _GONE.search(reason) and "sign in to" not in reason.lower():
        return SourceMissing(f"{name} has nothing to show ({reason}): check the address.")
    if _LOGIN.search(reason):
        return SourceUnauthorized(f"{name} wants a login ({reason}): give a file of cookies under connect.cookies.")
    return SourceUnsupported(f"{name} could not be read ({reason}): a newer yt-dlp may be able to.")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """`error` and what led to it, the outermost first, each once."""
    waiting: list[object] = [error]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop(0)
        if not isinstance(one, BaseException) or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        told = getattr(one, "exc_info", None)
        waiting += [told[1] if isinstance(told, tuple) and len(told) > 1 else None, getattr(one, "cause", None)]
        waiting += [one.__cause__, getattr(one, "reason", None)]


def _reason(causes: list[BaseException]) -> str:
    """The first sentence of what the innermost extractor said, without addresses, fit for one sentence of ours."""
    told = next((text for cause in causes if (text := getattr(cause, "orig_msg", None))), None)
    text = str(told if told is not None else causes[-1])
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    text = re.sub(r"(?i)[a-z][a-z0-9+.-]*://\S+", "...", redacted(text))
    text = re.sub(
        r"\s*\(caused by .*|; please report this.*|\s+", lambda found: " " if found[0].isspace() else "", text
    )
    text = "".join(letter for letter in text if letter.isprintable()).partition(". ")[0].strip(" .:")
    return text[:_MAX_REASON] or type(causes[-1]).__name__
