"""Which hosts a source may lead to: names are resolved here, and what was checked is what is connected to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

from streamer.errors import AddressRefused, SourceUnreachable
from streamer.netguard import Address as IpAddress
from streamer.netguard import Network, allowed, internal, literal_address
from streamer.resolver import look_up
from streamer.source import redacted

Lookup = Callable[[str, int], Sequence[IpAddress]]


@dataclass(slots=True)
class Reach:
    """The rule for one source. Its own host, `own_host`, may be anything; redirects and what pages and playlists name
    may lead to it, to the public internet, or into `networks`. Where the own host was public when it was first looked
    up, it stays so: a name that moves inside later is refused.

    `refused` is the first refusal, for where somebody else's code has made another error of it.
    """

    name: str
    own_host: str
    networks: Sequence[Network] = ()
    lookup: Lookup = field(default=lambda host, port: look_up(host, port))
    refused: AddressRefused | None = None
    _own_internal: bool | None = None

    def is_own(self, host: str) -> bool:
        """Whether `host` is the source's own."""
        return bool(self.own_host) and _same(host, self.own_host)

    def addresses(self, host: str, port: int) -> list[IpAddress]:
        """Where to connect to for `host`. Raises `AddressRefused`, or `SourceUnreachable` for a name that nobody knows.

        Asks the system's resolver, which cannot be interrupted.
        """
        found = self._found(host, port)
        if not found:
            raise SourceUnreachable(f"{self.name}: nobody knows the host {redacted(host)}: check the address.")
        good = self._good(host, found)
        if not good:
            raise self._refusal(host)
        return good

    def check(self, url: str) -> None:
        """Raise `AddressRefused` for an address whose host lies inside by any of its addresses.

        For code that looks the name up once more and takes whichever it likes. A name that nobody knows passes:
        connecting to it will say so.
        """
        try:
            host = urlsplit(url).hostname or ""
        except ValueError:
            host = ""
        found = self._found(host, 0) if host else []
        if not host or len(self._good(host, found)) < len(found):
            raise self._refusal(host or url)

    def _found(self, host: str, port: int) -> list[IpAddress]:
        if (literal := literal_address(host)) is not None:
            return [literal]
        try:
            return list(self.lookup(host, port))
        except OSError:
            return []

    def _good(self, host: str, found: list[IpAddress]) -> list[IpAddress]:
        if self.is_own(host) and found:
            if self._own_internal is None:
                self._own_internal = any(internal(one) for one in found)
            if self._own_internal:
                return found
        return [one for one in found if allowed(one, self.networks)]

    def _refusal(self, host: str) -> AddressRefused:
        error = AddressRefused(
            f"{self.name} leads to {redacted(host)}, which lies inside of a private network: put that network into "
            "connect.networks if it is meant."
        )
        self.refused = self.refused or error
        return error


def web_parts(name: str, url: str) -> SplitResult:
    """`url` taken apart. Raises `AddressRefused` unless it is http or https with a host."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        parts = SplitResult("", "", "", "", "")
    if parts.scheme not in ("http", "https") or not parts.hostname or not url.isascii() or not url.isprintable():
        scheme = parts.scheme[:20] or "no"
        raise AddressRefused(f"{name} leads to an address that is no web address ({scheme} scheme): it is not opened.")
    return parts


def _same(one: str, other: str) -> bool:
    a, b = one.lower().removesuffix("."), other.lower().removesuffix(".")
    if a == b:
        return True
    literal = literal_address(a)
    return literal is not None and literal == literal_address(b)
