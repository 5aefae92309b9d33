"""Cookies, and with which requests they may go (RFC 6265 section 5.4): pure rules, nothing is stored."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import SplitResult

from streamer.netguard import literal_address


@dataclass(frozen=True, slots=True)
class Cookie:
    """`domain` is a host in lower case; where it is `shared`, every host below it is meant too.

    `expires_s` is wall time, seconds since 1970; None for one without an end.
    """

    name: str
    value: str = field(repr=False)
    domain: str
    shared: bool
    path: str = "/"
    secure: bool = False
    expires_s: float | None = None

    def goes_to(self, parts: SplitResult, now_s: float) -> bool:
        """Whether it goes with a request of this address at wall time `now_s`."""
        host = (parts.hostname or "").lower().removesuffix(".")
        below = self.shared and host.endswith("." + self.domain) and literal_address(host) is None
        if host != self.domain and not below:
            return False
        if self.secure and parts.scheme != "https":
            return False
        if self.expires_s is not None and self.expires_s <= now_s:
            return False
        wanted = parts.path or "/"
        return wanted == self.path or wanted.startswith(self.path if self.path.endswith("/") else self.path + "/")


def cookie_header(cookies: Iterable[Cookie], parts: SplitResult, now_s: float) -> str | None:
    """The value of the `Cookie` header of a request, those of longer paths first; None where none goes with it."""
    going = sorted((one for one in cookies if one.goes_to(parts, now_s)), key=lambda one: -len(one.path))
    return "; ".join(f"{one.name}={one.value}" if one.name else one.value for one in going) or None
