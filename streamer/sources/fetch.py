"""Reading over http what is no video: bounded in time, size and redirects, and kept out of internal networks."""

from __future__ import annotations

import base64
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from http.client import HTTPException, HTTPResponse
from typing import IO
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from streamer.config import ConnectSettings
from streamer.errors import SourceError, SourceMissing, SourceUnauthorized, SourceUnreachable
from streamer.netguard import networks_of
from streamer.source import Source
from streamer.sources.reach import Looks, Reach

MAX_TEXT_BYTES = 8 << 20
_USER_AGENT = "affect-streamer"


def bare(url: str) -> str:
    """`url` without user and password."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, parts.query, ""))


@contextmanager
def opened(
    source: Source, connect: ConnectSettings, url: str | None = None, *, guarded: bool = False
) -> Iterator[HTTPResponse]:
    """The answer to a request for `url`, which is the source's own address or one that it led to.

    User and password of the source go to its own host only. Raises `SourceMissing`, `SourceUnauthorized`,
    `SourceUnreachable`, also for what goes wrong while the answer is read, and `AddressRefused`. `guarded`: see
    `Address`.
    """
    address = url or source.url
    reach = Reach(None if guarded else source.url, networks_of(connect.networks))
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _redirects(connect.max_redirects),
        Looks(reach),
    ):
        opener.add_handler(handler)
    try:
        headers = {"User-Agent": _USER_AGENT, "Accept-Encoding": "identity", **_login(source, address)}
        request = urllib.request.Request(bare(address), headers=headers)  # noqa: S310 (http and https only: see parse)
        with opener.open(request, timeout=connect.open_timeout_s) as answer:
            yield answer
    except (OSError, HTTPException, ValueError) as error:
        if reach.refused is not None:
            reach.check(reach.refused)
        if isinstance(error, urllib.error.HTTPError):
            error.close()
            raise for_status(error.code, source.name) from error
        raise SourceUnreachable(f"{source.name} did not answer: check the address and try again.") from error


def for_status(status: int, name: str, credentials: str = "other credentials") -> SourceError:
    """The error of a source whose server answered with `status`; `credentials` is what may let it in."""
    if status in (404, 410):
        return SourceMissing(f"{name} is not there (answered {status}): check the address.")
    if status in (401, 403, 407, 451):
        return SourceUnauthorized(f"{name} refuses (answered {status}): give it {credentials}.")
    return SourceUnreachable(f"{name} answered {status}: check the address and try again.")


def text_of(
    source: Source, connect: ConnectSettings, url: str | None = None, *, guarded: bool = False
) -> tuple[str, str]:
    """The text at `url`, and the address it was found at in the end. Raises as `opened` does."""
    with opened(source, connect, url, guarded=guarded) as answer:
        content = answer.read(MAX_TEXT_BYTES + 1)
        if len(content) > MAX_TEXT_BYTES:
            raise SourceUnreachable(f"{source.name} answers with more than a playlist can be: check the address.")
        return content.decode("utf-8", "replace"), answer.geturl()


def _login(source: Source, address: str) -> dict[str, str]:
    own, wanted = urlsplit(source.url), urlsplit(address)
    if own.username is None or _place(own) != _place(wanted):
        return {}
    pair = f"{unquote(own.username)}:{unquote(own.password or '')}"
    return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}


def _place(parts: SplitResult) -> tuple[str | None, int | None]:
    return parts.hostname, parts.port


def _redirects(longest: int) -> urllib.request.HTTPRedirectHandler:
    return type("Redirects", (_Redirects,), {"max_redirections": longest, "max_repeats": 2})()  # type: ignore[no-any-return]


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Redirects as far as is allowed; the login stays at its host."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        made = super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]
        if made is not None and _place(urlsplit(newurl)) != _place(urlsplit(req.full_url)):
            made.remove_header("Authorization")
        return made
