"""Where the server listens."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from streamer.config import LISTEN
from streamer.errors import UsageError

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """A host and a port; port 0 has the system choose one."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return is_loopback(self.host)

    @property
    def url(self) -> str:
        """As an address to open."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


def listen_address(text: str) -> ListenAddress:
    """The address in `PORT` or `HOST:PORT`; an IPv6 host is in brackets. Raises `UsageError`."""
    found = re.fullmatch(LISTEN, text)
    if found is None or int(found[3]) > 65535:
        raise UsageError(f"{text!r} is no address to listen at: write PORT or HOST:PORT, for example 127.0.0.1:9180")
    return ListenAddress(found[1] or found[2] or LOOPBACK, int(found[3]))


def is_loopback(host: str) -> bool:
    """Whether a host's name or number is this machine's own."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
