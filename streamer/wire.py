"""A socket whose waits have one common deadline, and can be ended from another thread."""

from __future__ import annotations

import contextlib
import io
import socket
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from streamer.netguard import Address as IpAddress


class Aborted(OSError):
    """Somebody ended the wait."""


class Wires:
    """The open sockets of one source. `abort` ends whatever waits on them, now and from then on."""

    def __init__(self) -> None:
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self.aborted = threading.Event()

    def abort(self) -> None:
        """End all waits. The sockets are closed by the threads that use them."""
        self.aborted.set()
        with self._lock:
            for one in self._open:
                _shut(one)

    def connected(self, address: IpAddress, port: int, deadline_s: float) -> socket.socket:
        """A socket to exactly this address. Raises `OSError`."""
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        plain = socket.socket(family, socket.SOCK_STREAM)
        self.add(plain)
        try:
            plain.settimeout(left_s(deadline_s))
            plain.connect((str(address), port))
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except BaseException:
            self.close(plain)
            raise
        return plain

    def add(self, one: socket.socket) -> None:
        """Have `one` ended too. Raises `Aborted` when it is too late for that."""
        with self._lock:
            self._open.add(one)
        if self.aborted.is_set():
            self.close(one)
            raise Aborted("aborted")

    def close(self, one: socket.socket) -> None:
        """Close it; for the thread that uses it."""
        with self._lock:
            self._open.discard(one)
        one.close()


class Timed:
    """What `http.client` needs of a socket, with a deadline (on the monotonic clock) for each wait."""

    def __init__(self, wires: Wires, plain: socket.socket, deadline_s: float) -> None:
        self.deadline_s = deadline_s
        self._wires, self._socket = wires, plain

    def sendall(self, data: Buffer) -> None:
        """Send all of it. Raises `OSError`."""
        self._socket.settimeout(left_s(self.deadline_s))
        self._socket.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        """What comes, buffered."""
        return io.BufferedReader(_Reads(self), 65536)

    def read_into(self, buffer: memoryview) -> int:
        """What has come, at least a byte; 0 at the end. Raises `OSError`."""
        self._socket.settimeout(left_s(self.deadline_s))
        n = self._socket.recv_into(buffer)
        if self._wires.aborted.is_set():
            raise Aborted("aborted")
        return n

    def close(self) -> None:
        """What `http.client` does as soon as it has seen the headers; the socket stays until `end`."""

    def end(self) -> None:
        """Close the socket."""
        self._wires.close(self._socket)


class _Reads(io.RawIOBase):
    def __init__(self, wire: Timed) -> None:
        self._wire = wire

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        return self._wire.read_into(memoryview(buffer).cast("B"))


def left_s(deadline_s: float) -> float:
    """Seconds until then. Raises `TimeoutError` when none are left."""
    left = deadline_s - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left


def _shut(one: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the plain socket's: one of TLS would wait for the lock of its reader
        socket.socket.shutdown(one, socket.SHUT_RDWR)
