"""What the system's resolver says about a name."""

from __future__ import annotations

import socket
from ipaddress import ip_address

from streamer.netguard import Address


def look_up(host: str, port: int | None = None) -> list[Address]:
    """All addresses of a host, each once. Raises `OSError` where nobody knows it. Cannot be interrupted."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # a label that no name server takes
        raise OSError(str(error)) from error
    return list(dict.fromkeys(ip_address(str(address[0]).partition("%")[0]) for *_, address in found))
