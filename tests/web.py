"""A web server in a thread, whose pages are functions."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from streamer.config import ConnectSettings
from streamer.http_io import Http
from streamer.messages import Mode
from streamer.source import Address, Kind, Source

Page = Callable[["Request"], None]


class Request(BaseHTTPRequestHandler):
    """One request; `site` is where it came to."""

    protocol_version = "HTTP/1.1"
    site: Site

    def do_GET(self) -> None:
        self.site.asked.append((self.path, {key.lower(): value for key, value in self.headers.items()}))
        page = self.site.pages.get(self.path.partition("?")[0])
        with contextlib.suppress(OSError):  # who asked has had enough
            if page is None:
                self.give(b"", status=404)
            else:
                page(self)

    def give(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None: ...


class Site:
    """`pages` may change while it runs; `asked` is each path with its headers (names in lower case).

    `until_closed` ends when the test is over: pages that hang wait for it.
    """

    def __init__(self, host: str) -> None:
        self.host = host
        self.pages: dict[str, Page] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.until_closed = threading.Event()
        handler = type("Handler", (Request,), {"site": self})
        self.server = ThreadingHTTPServer((host, 0), handler)
        self.server.daemon_threads = True
        self.server.block_on_close = False
        self.url = f"http://{host}:{self.server.server_port}"

    @property
    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]


def fixed(body: bytes, status: int = 200, **headers: str) -> Page:
    return lambda request: request.give(body, status, **headers)


def ranged(body: bytes) -> Page:
    """Gives ranges of `body`."""

    def page(request: Request) -> None:
        first = int(request.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
        request.give(body[first:], 206, Content_Range=f"bytes {first}-{len(body) - 1}/{len(body)}")

    return page


def moved(to: str) -> Page:
    return lambda request: request.give(b"", 302, Location=to)


@contextlib.contextmanager
def site(host: str = "127.0.0.1") -> Iterator[Site]:
    """A site on an address of its own: any of 127.0.0.0/8."""
    it = Site(host)
    thread = threading.Thread(target=it.server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield it
    finally:
        it.until_closed.set()
        it.server.shutdown()
        thread.join()
        it.server.server_close()


def source_of(url: str, kind: Kind = "hls", mode: Mode = "archive") -> Source:
    return Source("s", url, kind, mode)


def client(url: str, kind: Kind = "hls", headers: tuple[tuple[str, str], ...] = (), **settings: object) -> Http:
    connect = ConnectSettings(**settings)  # type: ignore[arg-type]
    return Http(source_of(url, kind), Address(url, kind, headers), connect)
