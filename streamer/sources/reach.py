"""Where a source may lead to: the public internet, its own host, and the internal networks that are named."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from urllib.parse import urlsplit

from streamer.errors import AddressRefused
from streamer.netguard import Address, Network, allowed, literal_address
from streamer.resolver import look_up
from streamer.source import redacted

Lookup = Callable[[str], Iterable[Address]]


class Reach:
    """Judges the addresses that pages, redirects and playlists of one source name.

    `home` is the source's own address, whose host is always allowed; None where somebody else asked for the source, so
    that its own host is judged like any other. Names are looked up once. `refused` is the first address that was not
    allowed, fit to be shown.
    """

    def __init__(self, home: str | None, networks: Sequence[Network], lookup: Lookup = look_up) -> None:
        self._networks = networks
        self._lookup = lookup
        self._known = {} if home is None else {_host(home): True}
        self.refused: str | None = None

    def check(self, url: str) -> None:
        """Raises `AddressRefused` for an address inside an internal network that is not named."""
        host = _host(url)
        if host not in self._known:
            self._known[host] = self._allows(host)
        if not self._known[host]:
            self.refused = self.refused or redacted(url)
            raise AddressRefused(
                f"{redacted(url)} lies in an internal network, where the source led to: add the network to "
                "connect.networks if that is meant."
            )

    def _allows(self, host: str) -> bool:
        if not host:
            return False
        literal = literal_address(host)
        try:
            found = [literal] if literal is not None else self._lookup(host)
        except (OSError, ValueError):  # nobody knows it: connecting will say so
            return True
        return all(allowed(address, self._networks) for address in found)


class Looks(urllib.request.BaseHandler):
    """Makes `urllib` look at each address before it asks there, those of redirects too."""

    handler_order = 0  # before anything is sent

    def __init__(self, reach: Reach) -> None:
        self._reach = reach

    def http_request(self, request: urllib.request.Request) -> urllib.request.Request:
        """Raises `URLError` for an address that is not allowed, as `urllib` expects of a handler."""
        try:
            self._reach.check(request.full_url)
        except AddressRefused as error:
            raise urllib.error.URLError(str(error)) from error
        return request

    https_request = ftp_request = http_request


def _host(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""
