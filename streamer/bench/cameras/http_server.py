"""An HTTP server in a thread that can be killed, frozen and started again on its port."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_TYPES = {
    ".m3u8": "application/vnd.apple.mpegurl",
    ".mpd": "application/dash+xml",
    ".ts": "video/mp2t",
    ".m4s": "video/mp4",
    ".mp4": "video/mp4",
    ".html": "text/html; charset=utf-8",
}
_BLOCK_BYTES = 65536


class Request(BaseHTTPRequestHandler):
    """One request. What answers it is the server's `answer`."""

    protocol_version = "HTTP/1.1"
    server: _Listener

    def do_GET(self) -> None:  # the library's name
        """Answer, unless the server is frozen: then wait until it is not, or is gone."""
        with contextlib.suppress(OSError):  # who asked has gone, or the server was killed
            self.server.owner.breathe()
            self.server.owner.answer(self)

    def do_HEAD(self) -> None:
        """Answered as GET is, without what follows the headers."""
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def refuse(self, status: int) -> None:
        """Answer with an error."""
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def redirect(self, url: str) -> None:
        """Send whoever asks elsewhere."""
        self.send_response(302)
        self.send_header("Location", url)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def give(self, content: bytes, suffix: str = ".html") -> None:
        """Answer with this."""
        self.send_response(200)
        self.send_header("Content-Type", _TYPES.get(suffix, "application/octet-stream"))
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command == "HEAD":
            return
        for at in range(0, len(content), _BLOCK_BYTES):
            self.server.owner.breathe()
            self.wfile.write(content[at : at + _BLOCK_BYTES])

    def give_file(self, path: Path) -> None:
        """Answer with a file's content, or 404."""
        try:
            self.give(path.read_bytes(), path.suffix)
        except FileNotFoundError:
            self.refuse(404)


Answer = Callable[[Request], None]


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, port: int, owner: HttpServer) -> None:
        self.owner = owner
        super().__init__(("127.0.0.1", port), Request)

    def get_request(self) -> tuple[socket.socket, object]:
        """Keep each connection in mind, so that it can be broken."""
        connection, address = super().get_request()
        self.owner.remember(connection)
        return connection, address

    def shutdown_request(self, request: object) -> None:
        """Forget a connection that has ended."""
        assert isinstance(request, socket.socket)
        self.owner.lose(request)
        super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:
        """A broken connection is nothing to speak of."""


class HttpServer:
    """Answers on a loopback port of its own until it is closed. `answer` runs on a thread for each connection."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.port = 0
        self.n_requests = 0
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._running = threading.Event()
        self._killed = threading.Event()
        self._listener: _Listener | None = None
        self._thread: threading.Thread | None = None
        self.restart()

    @property
    def origin(self) -> str:
        """The beginning of every address here."""
        return f"http://127.0.0.1:{self.port}"

    def kill(self) -> None:
        """Break all connections and refuse new ones."""
        listener, thread = self._listener, self._thread
        self._killed.set()
        self._running.set()
        if listener is None or thread is None:
            return
        self._listener = self._thread = None
        listener.shutdown()
        thread.join()
        listener.server_close()
        with self._lock:
            left = list(self._open)
        for connection in left:
            with contextlib.suppress(OSError):  # no farewell: the other side is told by a reset
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.shutdown(socket.SHUT_RDWR)

    def freeze(self) -> None:
        """Accept connections, and answer nothing, in the middle of an answer too."""
        self._running.clear()

    def thaw(self) -> None:
        """Go on after `freeze`."""
        self._running.set()

    def restart(self) -> None:
        """Listen again on the same port."""
        self.kill()
        self._killed.clear()
        self._running.set()
        self._listener = _Listener(self.port, self)
        self.port = self._listener.server_address[1]
        self._thread = threading.Thread(target=self._listener.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    close = kill

    # -- for those who answer -------------------------------------------------------------------------------------

    def breathe(self) -> None:
        """Return at once, or when the server is no longer frozen. Raises `BrokenPipeError` once it is killed."""
        self._running.wait()
        if self._killed.is_set():
            raise BrokenPipeError

    def pause(self, seconds: float) -> None:
        """Wait, but not for a server that is killed. Raises `BrokenPipeError` then."""
        if self._killed.wait(max(0.0, seconds)):
            raise BrokenPipeError

    def remember(self, connection: socket.socket) -> None:
        """A connection has come."""
        with self._lock:
            self.n_requests += 1
            self._open.add(connection)

    def lose(self, connection: socket.socket) -> None:
        """A connection has ended."""
        with self._lock:
            self._open.discard(connection)
