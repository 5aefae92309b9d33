"""HTTP under our own control, for whatever FFmpeg would otherwise fetch: checked hosts, deadlines, an end at once.

FFmpeg's own client cannot be kept from connecting to a name that resolves to one address when it is checked and to
another when it is used, and its waits end by time only.
"""

from __future__ import annotations

import contextlib
import http.client
import secrets
import socket
import ssl
import time
from dataclasses import dataclass
from urllib.parse import SplitResult, quote, urljoin

from streamer.config import ConnectSettings
from streamer.cookies import cookie_header
from streamer.errors import (
    SourceError,
    SourceExpired,
    SourceMissing,
    SourceUnauthorized,
    SourceUnreachable,
    SourceUnsupported,
)
from streamer.http_auth import authorization, credentials_of
from streamer.netguard import networks_of
from streamer.reach import Reach, web_parts
from streamer.source import Address, Source, may_expire
from streamer.wire import Aborted, Timed, Wires, left_s

_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_OURS = frozenset(("host", "cookie", "range", "accept-encoding", "connection", "content-length", "transfer-encoding"))
_GONE = frozenset((404, 410))
_READ_BYTES = 65536
MAX_PLAYLIST_BYTES = 4 << 20
"""More is no playlist, and no manifest."""


@dataclass(slots=True)
class Answer:
    """An open answer. `first` is the place of its first byte in the whole, `whole` the size of that, where it is told.

    `url` is where it came from after redirects, `tag` its `ETag`. Used by one thread.
    """

    url: str
    status: int
    kind: str
    tag: str
    first: int
    whole: int | None
    _name: str
    _wire: Timed
    _response: http.client.HTTPResponse

    def read(self, n: int, deadline_s: float) -> bytes:
        """At most `n` bytes, as soon as there are any; none at the end. Raises `SourceUnreachable`."""
        self._wire.deadline_s = deadline_s
        try:
            data = self._response.read1(n)
        except (OSError, http.client.HTTPException) as error:
            raise _gone(self._name, error) from None
        if not data and self._response.length:
            raise SourceUnreachable(f"{self._name} broke off in the middle: check the network and the server.")
        return data

    def close(self) -> None:
        """Close the connection."""
        with contextlib.suppress(OSError):
            self._response.close()
        self._wire.end()


class Http:
    """The web as one source may see it. One thread asks, any may `abort`.

    Every connection goes to an address that `Reach` has allowed; of a guarded address not even its own host is allowed
    for its own sake. Headers of the address go along, each cookie where it is for, and credentials to its own host
    only, and never without TLS where the address has it.
    """

    def __init__(self, source: Source, address: Address, connect: ConnectSettings, reach: Reach | None = None) -> None:
        self.name = source.name
        self.connect = connect
        self.wires = Wires()
        own = "" if address.guarded else web_host(source.url) or web_host(address.url)
        self._reach = reach or Reach(source.name, own, networks_of(connect.networks))
        self._home = web_parts(self.name, address.url)
        self._cookies = address.cookies
        self._expires = may_expire(source, address)
        self._credentials = credentials_of(self._home)
        self._headers = [(key, value) for key, value in address.headers if key.lower() not in _OURS]
        self._challenges: list[str] = []
        self._tls: ssl.SSLContext | None = None

    def abort(self) -> None:
        """End all waits, and those to come, at once; from any thread."""
        self.wires.abort()

    def get(self, url: str, first: int | None = None, last: int | None = None, *, after: bool = False) -> Answer:
        """Ask for `url`, or its bytes from `first` to `last`, and follow redirects. Headers have come when it returns.

        `after`: it has been there before, so that 404 is nothing permanent. Raises `AddressRefused`,
        `SourceUnauthorized`, `SourceExpired`, `SourceMissing`, `SourceUnsupported`, `SourceUnreachable`.
        """
        deadline_s = time.monotonic() + self.connect.open_timeout_s
        for _ in range(self.connect.max_redirects + 1):
            parts = web_parts(self.name, url)
            wire, response = self._ask(parts, first, last, deadline_s)
            try:
                if response.status in _REDIRECTS and (target := response.headers.get("Location")):
                    url = urljoin(url, target)
                    wire.end()
                    continue
                if response.status not in (200, 206):
                    raise self._refusal(response.status, after)
                if response.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
                    raise SourceUnsupported(f"{self.name} is sent compressed, which was not asked for: ask its server.")
            except SourceError:
                wire.end()
                raise
            begin, whole = _extent(response)
            kind = response.headers.get_content_type()
            tag = response.headers.get("ETag") or ""
            return Answer(url, response.status, kind, tag, begin, whole, self.name, wire, response)
        raise SourceUnreachable(
            f"{self.name} leads on from one address to the next, more than {self.connect.max_redirects} times: "
            "check the address."
        )

    def whole(
        self, url: str, limit_bytes: int, limit_s: float, part: tuple[int, int] | None = None, *, after: bool = False
    ) -> tuple[bytes, str]:
        """All bytes at `url`, or its `part` (first, number), and the address they came from in the end.

        Raises what `get` does, `SourceUnsupported` when there are more than `limit_bytes`, and `SourceUnreachable` when
        they are not here in `limit_s`.
        """
        deadline_s = time.monotonic() + limit_s
        first, n = part or (None, None)
        answer = self.get(url, first, None if first is None or n is None else first + n - 1, after=after)
        try:
            skipped = 0 if first is None else first - answer.first
            wanted = limit_bytes + 1 if n is None else skipped + n
            if wanted > limit_bytes + 1:
                raise self._too_large(limit_bytes)
            data = bytearray()
            while len(data) < wanted and (some := answer.read(min(_READ_BYTES, wanted - len(data)), deadline_s)):
                data += some
            if len(data) > limit_bytes:
                raise self._too_large(limit_bytes)
            return bytes(data[skipped:]), answer.url
        finally:
            answer.close()

    def _too_large(self, limit_bytes: int) -> SourceUnsupported:
        return SourceUnsupported(f"{self.name} names something of more than {limit_bytes} bytes, which is not read.")

    def _ask(
        self, parts: SplitResult, first: int | None, last: int | None, deadline_s: float
    ) -> tuple[Timed, http.client.HTTPResponse]:
        own = self._is_home(parts)
        nonce = secrets.token_hex(8)
        for attempt in (0, 1):
            headers = self._headers_for(parts, own, first, last)
            if own and self._credentials and self._challenges:
                told = authorization(self._challenges, "GET", _target(parts), self._credentials, nonce)
                if told is not None:
                    headers["Authorization"] = told
            wire, response = self._exchange(parts, headers, deadline_s)
            asks = response.status == 401 and own and self._credentials is not None and attempt == 0
            if not asks:
                break
            self._challenges = response.headers.get_all("WWW-Authenticate") or []
            wire.end()
        return wire, response

    def _exchange(
        self, parts: SplitResult, headers: dict[str, str], deadline_s: float
    ) -> tuple[Timed, http.client.HTTPResponse]:
        host, secure = parts.hostname or "", parts.scheme == "https"
        port = parts.port or (443 if secure else 80)
        wire: Timed | None = None
        try:
            wire = self._wire(host, port, secure, deadline_s)
            connection = http.client.HTTPConnection(host, port)
            if secure:
                connection.default_port = 443  # else the port is named where it need not be
            connection.sock = wire
            connection.request("GET", _target(parts), headers=headers)
            response = connection.getresponse()
            connection.sock = None
            return wire, response
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            if wire is not None:
                wire.end()
            raise _gone(self.name, error) from None

    def _wire(self, host: str, port: int, secure: bool, deadline_s: float) -> Timed:
        failure: OSError | None = None
        for address in self._reach.addresses(host, port):
            try:
                plain = self.wires.connected(address, port, deadline_s)
            except Aborted:
                raise
            except OSError as error:
                failure = error
                continue
            return Timed(self.wires, self._secured(plain, host, deadline_s) if secure else plain, deadline_s)
        raise failure or OSError("no address")

    def _secured(self, plain: socket.socket, host: str, deadline_s: float) -> ssl.SSLSocket:
        if self._tls is None:
            self._tls = ssl.create_default_context()
        try:
            plain.settimeout(left_s(deadline_s))
            secured = self._tls.wrap_socket(plain, server_hostname=host, do_handshake_on_connect=False)
            self.wires.add(secured)
        finally:
            self.wires.close(plain)
        try:
            secured.do_handshake()
        except BaseException:
            self.wires.close(secured)
            raise
        return secured

    def _is_home(self, parts: SplitResult) -> bool:
        home = self._home
        return parts.hostname == home.hostname and (parts.scheme == "https" or home.scheme != "https")

    def _headers_for(self, parts: SplitResult, own: bool, first: int | None, last: int | None) -> dict[str, str]:
        headers = {"User-Agent": "Mozilla/5.0 (compatible; streamer)", "Accept": "*/*"}
        for key, value in self._headers:
            if own or key.lower() != "authorization":
                headers = {name: text for name, text in headers.items() if name.lower() != key.lower()}
                headers[key] = value
        if (cookies := cookie_header(self._cookies, parts, time.time())) is not None:
            headers["Cookie"] = cookies
        if first is not None:
            headers["Range"] = f"bytes={first}-{'' if last is None else last}"
        return headers | {"Accept-Encoding": "identity", "Connection": "close"}

    def _refusal(self, status: int, after: bool) -> SourceError:
        if status == 403 and self._expires:
            return SourceExpired(f"{self.name}: the address of its video works no longer: it is found anew.")
        if status in _GONE and after:
            return SourceUnreachable(f"{self.name} is not there now (answered {status}): it is tried again.")
        return for_status(status, self.name)


def for_status(status: int, name: str, credentials: str = "other credentials") -> SourceError:
    """The error of a source whose server answered with `status`; `credentials` is what may let it in."""
    if status in _GONE:
        return SourceMissing(f"{name} does not exist (answered {status}): check the address.")
    if status in (401, 403, 407, 451):
        return SourceUnauthorized(f"{name} was refused by its server (answered {status}): give it {credentials}.")
    return SourceUnreachable(f"{name}: its server answered {status}: check it, then try again.")


def web_host(url: str) -> str:
    """The host of a web address, in lower case; empty for other things."""
    with contextlib.suppress(SourceError):
        return (web_parts("", url).hostname or "").lower()
    return ""


def _target(parts: SplitResult) -> str:
    path = quote(parts.path or "/", safe="/%:=&?~#+!$,;'@()*[]|")
    return path + ("?" + quote(parts.query, safe="/%:=&?~#+!$,;'@()*[]|") if parts.query else "")


def _extent(response: http.client.HTTPResponse) -> tuple[int, int | None]:
    """The place of the first byte that comes, and the size of the whole."""
    if response.status == 206:
        span, _, size = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
        start = span.partition("-")[0]
        return int(start) if start.isdecimal() else 0, int(size) if size.isdecimal() else None
    return 0, response.length


def _gone(name: str, error: Exception) -> SourceUnreachable:
    if isinstance(error, ssl.SSLCertVerificationError):
        return SourceUnreachable(f"{name}: its server's certificate is not valid ({error.verify_message}): renew it.")
    if isinstance(error, TimeoutError):
        return SourceUnreachable(f"{name} did not answer in time: check the address and the network, then try again.")
    return SourceUnreachable(f"{name} did not answer: check the address and the network, then try again.")
