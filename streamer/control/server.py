"""The HTTP server: sockets and threads, both bounded. What is answered is decided in `routes`."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer
from types import TracebackType
from typing import Any

from streamer import log
from streamer.control.routes import Answer, answer, failure
from streamer.control.words import Backend
from streamer.errors import UsageError
from streamer.http_guard import Guard
from streamer.listen import ListenAddress

MAX_BODY_BYTES = 64 * 1024
MAX_SKIPPED_BYTES = 1024 * 1024
MAX_CONNECTIONS = 8
SILENT_S = 5.0
"""A connection that says nothing for so long is closed."""
LONGEST_S = 15.0
"""So long a connection keeps its place when others want it."""


class ControlServer:
    """Serves `backend` from construction to `close`. Raises `UsageError` where it cannot listen."""

    def __init__(self, address: ListenAddress, guard: Guard, backend: Backend) -> None:
        handler = type("_Handler", (_Handler,), {"backend": backend, "guard": guard})
        kind = type("_Family", (_Bounded,), {"address_family": _family(address)})
        try:
            self._server: _Bounded = kind((address.host, address.port), handler)
        except OSError as error:
            raise UsageError(
                f"cannot listen at {address.host}:{address.port} ({error.strerror or error}): choose another with "
                f"{'--metrics or metrics.address' if guard.read_only else '--control or control.address'}"
            ) from error
        self.address = ListenAddress(address.host, int(self._server.server_address[1]))
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.2}, name="control", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Close every connection and stop listening."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __enter__(self) -> ControlServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Bounded(TCPServer):
    """A thread for each connection, at most `MAX_CONNECTIONS`: the one that has been open too long makes way, or the
    new one is turned away."""

    allow_reuse_address = True
    request_queue_size = 16

    def __init__(self, *arguments: Any) -> None:
        self._lock = threading.Lock()
        self._open: dict[socket.socket, tuple[float, threading.Thread]] = {}
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        thread = threading.Thread(
            target=self._serve, args=(request, client_address), name="control connection", daemon=True
        )
        with self._lock:
            full = len(self._open) >= MAX_CONNECTIONS
            if full:
                oldest = min(self._open, key=lambda one: self._open[one][0])
                if time.monotonic() - self._open[oldest][0] > LONGEST_S:
                    _break_off(oldest)
            else:
                self._open[request] = (time.monotonic(), thread)
        if full:
            self.shutdown_request(request)
        else:
            thread.start()

    def _serve(self, request: socket.socket, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
        except OSError:
            pass  # whoever asked is gone, or was too slow
        except Exception:
            log.error("control.broke", exc_info=True)
        finally:
            self.shutdown_request(request)
            with self._lock:
                self._open.pop(request, None)

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # whoever connected is gone already

    def server_close(self) -> None:
        super().server_close()
        with self._lock:
            threads = [thread for _, thread in self._open.values()]
            for request in self._open:
                _break_off(request)
        for thread in threads:
            thread.join(SILENT_S)


class _Handler(BaseHTTPRequestHandler):
    """One request a connection."""

    backend: Backend
    guard: Guard
    protocol_version = "HTTP/1.0"
    server_version = "affect-streamer"
    sys_version = ""
    timeout = SILENT_S

    def __getattr__(self, name: str) -> Callable[[], None]:
        if name.startswith("do_"):  # whatever the method is, `routes` has an answer
            return self._answer
        raise AttributeError(name)

    def log_message(self, format: str, *arguments: Any) -> None:
        pass  # addresses may hold secrets

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        self._send(failure(int(code), "bad_request", "this is no request that can be read."))

    def _answer(self) -> None:
        body = self._body()
        if isinstance(body, Answer):
            self._send(body)
            return
        self._send(answer(self.backend, self.guard, self.command, self.path, self._by_name(), body))

    def _by_name(self) -> dict[str, str]:
        """The headers by their names as `Content-Type` is written; what comes twice is joined, and fits nothing."""
        headers: dict[str, str] = {}
        for name, value in self.headers.items():
            known = headers.get(name.title())
            headers[name.title()] = value if known is None else f"{known},{value}"
        return headers

    def _body(self) -> bytes | Answer:
        if self.headers.get("Transfer-Encoding"):
            return failure(411, "no_length", "send the body with a Content-Length.")
        length = self.headers.get("Content-Length", "0")
        if not (length.isascii() and length.isdecimal()):
            return failure(400, "bad_request", "Content-Length is no number.")
        if len(length) > 9 or int(length) > MAX_BODY_BYTES:
            self.rfile.read(min(int(length[:9]), MAX_SKIPPED_BYTES))  # else the answer is lost with what is unread
            return failure(413, "too_large", f"a body has at most {MAX_BODY_BYTES} bytes.")
        return self.rfile.read(int(length))

    def _send(self, what: Answer) -> None:
        self.send_response(what.status)
        self.send_header("Content-Type", what.content_type)
        self.send_header("Content-Length", str(len(what.body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        for name, value in what.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(what.body)


def _break_off(request: socket.socket) -> None:
    try:
        request.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # gone already


def _family(address: ListenAddress) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address.host else socket.AF_INET
