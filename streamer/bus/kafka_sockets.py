"""Connections of the Kafka library that close their socket when they fail.

The library (3.0.12) leaves a socket that could not be connected to the garbage collector, inside a reference cycle: a
broker that is away costs a file handle for every try. It lets a kind of connection be registered by a scheme; ours
is its plain one with the socket closed.
"""

from __future__ import annotations

import socket
from typing import Any

from kafka.net.inet import KafkaNetSocket

DIRECT = "direct://"
"""What clients are given as `proxy_url`: no proxy."""


class ClosingSocket(KafkaNetSocket):  # type: ignore[misc]  # the library has no types
    """A direct connection; a failed one leaves nothing open."""

    SCHEMES = ("direct",)

    def __init__(self, proxy_url: str) -> None:
        super().__init__()

    async def sock_connect(self, net: Any, sock: socket.socket, sockaddr: Any, timeout_at: float | None = None) -> Any:
        """As the library's: the connected socket, or its error, and then the socket is closed."""
        try:
            return await super().sock_connect(net, sock, sockaddr, timeout_at=timeout_at)
        except BaseException:
            sock.close()
            raise
