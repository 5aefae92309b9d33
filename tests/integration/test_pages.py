"""Pages on a real server, read by the real yt-dlp: here, which is quicker, but through the messages of its process."""

from __future__ import annotations

import gc
import io
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import av
import numpy as np
import psutil
import pytest

from streamer.config import ConnectSettings
from streamer.cookies import cookie_header
from streamer.errors import (
    AddressRefused,
    SourceError,
    SourceMissing,
    SourceUnauthorized,
    SourceUnreachable,
    SourceUnreadable,
    SourceUnsupported,
)
from streamer.source import Address
from streamer.sources import expand_pages, parse, resolve, session_of
from streamer.sources.pages import page_video
from tests.unit.sources.here import said_to

try:
    import yt_dlp  # noqa: F401
except ImportError:
    if os.environ.get("CI") == "true":
        raise
    pytest.skip("yt-dlp is not installed", allow_module_level=True)

CONNECT = ConnectSettings(open_timeout_s=20.0)
HEIGHTS = (240, 480, 720)
NOW_S = 1_700_000_000.0
EXPIRES_S = 1_700_000_030


def clip() -> bytes:
    """Half a second of grey."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height = 64, 48
        for _ in range(5):
            picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 127, np.uint8), "rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return file.getvalue()


def page(body: str, title: str = "A page") -> bytes:
    return f"<html><head><title>{title}</title></head><body>{body}</body></html>".encode()


def master() -> bytes:
    variants = [
        f'#EXT-X-STREAM-INF:BANDWIDTH={height}000,RESOLUTION={height * 16 // 9}x{height},CODECS="avc1.64001f"\n'
        f"{height}.m3u8?expires={EXPIRES_S}&token=geheim\n"
        for height in HEIGHTS
    ]
    return ("#EXTM3U\n" + "".join(variants)).encode()


@dataclass
class Site:
    """A web site in memory. A page is its bytes, a redirect's target, or a status; `asked` are the requests."""

    host: str = ""
    pages: dict[str, bytes | str | int] = field(default_factory=dict)
    cookie: str | None = None
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def url(self, path: str) -> str:
        return f"http://{self.host}/{path}"


@pytest.fixture
def site() -> Iterator[Site]:
    found = Site()

    class Answer(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = self.path.partition("?")[0].lstrip("/")
            found.asked.append((path, dict(self.headers)))
            told = found.pages.get(path, 404)
            body = told if isinstance(told, bytes) else b""
            self.send_response(302 if isinstance(told, str) else told if isinstance(told, int) else 200)
            if isinstance(told, str):
                self.send_header("Location", told)
            if found.cookie is not None:
                self.send_header("Set-Cookie", found.cookie)
            self.send_header("Content-Type", _type(path))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        found.host = f"127.0.0.1:{http.server_port}"
        try:
            yield found
        finally:
            http.shutdown()
            thread.join()


def _type(path: str) -> str:
    types = {"mp4": "video/mp4", "m3u8": "application/vnd.apple.mpegurl", "xml": "application/rss+xml"}
    return types.get(path.rpartition(".")[2], "text/html; charset=utf-8")


@pytest.fixture(autouse=True)
def without_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process itself is the matter of `test_page_process`."""
    monkeypatch.setattr("streamer.sources.page_asking.said_to", said_to)


def resolved(url: str, connect: ConnectSettings = CONNECT, now_s: float = NOW_S) -> Address:
    (source,) = parse(f"page+{url}")
    return resolve(source, connect, now_s)


def refusal(url: str, kind: type[SourceError], connect: ConnectSettings = CONNECT) -> str:
    with pytest.raises(SourceError) as caught:
        resolved(url, connect)
    assert type(caught.value) is kind, caught.value
    assert "geheim" not in str(caught.value)
    return str(caught.value)


def test_a_video_in_a_page_is_found_and_can_be_read_with_what_is_said_about_it(site: Site) -> None:
    site.pages = {"watch.html": page('<video src="clip.mp4"></video>'), "clip.mp4": clip()}
    address = resolved(site.url("watch.html"))
    assert (address.url, address.kind, address.expires_at_s) == (site.url("clip.mp4"), "http", None)
    headers = dict(address.headers)
    assert headers["Referer"] == site.url("watch.html")
    assert headers["User-Agent"]
    lines = "".join(f"{name}: {value}\r\n" for name, value in address.headers)
    with av.open(address.url, options={"headers": lines}) as container:
        assert sum(1 for _ in container.decode(video=0)) == 5
    path, sent = site.asked[-1]
    assert (path, sent["Referer"]) == ("clip.mp4", headers["Referer"])


@pytest.mark.parametrize(("wanted", "height"), [(100, 240), (480, 480), (481, 720), (2000, 720)])
def test_of_several_heights_the_least_that_is_enough_is_chosen(site: Site, wanted: int, height: int) -> None:
    site.pages = {
        "watch.html": page('<video><source src="v/master.m3u8" type="application/x-mpegURL"></video>'),
        "v/master.m3u8": master(),
    }
    address = resolved(site.url("watch.html"), ConnectSettings(page_height=wanted))
    assert address.url == site.url(f"v/{height}.m3u8?expires={EXPIRES_S}&token=geheim")
    assert (address.kind, address.expires_at_s) == ("hls", EXPIRES_S)
    assert "geheim" not in repr(address)


def test_an_address_that_has_changed_is_found_anew_and_the_session_stays(site: Site) -> None:
    site.pages = {"watch.html": page('<video src="clip.mp4?expires=1700000010&sig=a"></video>')}
    (source,) = parse(f"page+{site.url('watch.html')}", "archive")
    first, session = resolve(source, CONNECT, NOW_S), session_of(source, CONNECT)
    site.pages = {"watch.html": page('<video src="clip.mp4?expires=1700000040&sig=b"></video>')}
    second = resolve(source, CONNECT, NOW_S + 10)
    assert first.url != second.url
    assert (first.expires_at_s, second.expires_at_s) == (1700000010, 1700000040)
    assert session_of(source, CONNECT) == session
    site.pages["other.html"] = site.pages["watch.html"]
    assert session_of(parse(f"page+{site.url('other.html')}", "archive")[0], CONNECT) != session


def test_the_session_of_a_page_follows_the_format(site: Site) -> None:
    site.pages = {
        "watch.html": page('<video><source src="master.m3u8" type="application/x-mpegURL"></video>'),
        "master.m3u8": master(),
    }
    (source,) = parse(f"page+{site.url('watch.html')}", "archive")
    assert session_of(source, ConnectSettings(page_height=240)) != session_of(source, ConnectSettings(page_height=720))


def test_cookies_of_the_page_and_of_a_file_go_along_and_the_file_stays_as_it_is(site: Site, tmp_path: Path) -> None:
    site.pages = {"watch.html": page('<video src="clip.mp4"></video>')}
    site.cookie = "visit=7; Path=/"
    jar = tmp_path / "cookies.txt"
    jar.write_text("# Netscape HTTP Cookie File\n127.0.0.1\tFALSE\t/\tFALSE\t0\tlogin\tgeheim\n")
    before = jar.read_bytes()
    address = resolved(site.url("watch.html"), ConnectSettings(cookies=str(jar)))
    assert {(cookie.name, cookie.value) for cookie in address.cookies} == {("visit", "7"), ("login", "geheim")}
    assert cookie_header(address.cookies, urlsplit(address.url), 0.0) is not None
    assert "Cookie" not in dict(address.headers)
    assert site.asked[0][1]["Cookie"] == "login=geheim"
    assert jar.read_bytes() == before
    assert "geheim" not in repr(address)
    assert [path.name for path in tmp_path.iterdir()] == ["cookies.txt"]


def test_cookies_that_are_none(site: Site, tmp_path: Path) -> None:
    site.pages = {"watch.html": page('<video src="clip.mp4"></video>')}
    assert "connect.cookies" in refusal(
        site.url("watch.html"), SourceUnreadable, ConnectSettings(cookies=str(tmp_path / "none.txt"))
    )
    (tmp_path / "bad.txt").write_bytes(b"\xff\xfe\x00geheim")
    refusal(site.url("watch.html"), SourceUnreadable, ConnectSettings(cookies=str(tmp_path / "bad.txt")))


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (404, SourceMissing),
        (410, SourceMissing),
        (401, SourceUnauthorized),
        (403, SourceUnauthorized),
        (429, SourceUnreachable),
        (503, SourceUnreachable),
    ],
)
def test_what_a_site_answers_is_told_apart(site: Site, status: int, kind: type[SourceError]) -> None:
    site.pages = {"watch.html": status}
    assert str(status) in refusal(f"http://bob:geheim@{site.host}/watch.html?token=geheim", kind)


def test_a_page_without_a_video_and_a_site_that_is_not_there(site: Site) -> None:
    site.pages = {"watch.html": page("<p>Nothing to see</p>"), "loop.html": "/loop.html"}
    assert "finds a video" in refusal(site.url("watch.html"), SourceUnsupported)
    refusal(site.url("loop.html"), SourceUnreachable)
    refusal("http://127.0.0.1:9/watch.html?token=geheim", SourceUnreachable)


def test_a_site_that_never_answers_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        refusal(f"http://127.0.0.1:{port}/watch.html", SourceUnreachable, ConnectSettings(open_timeout_s=0.3))


@pytest.mark.parametrize("way", ["redirect", "video", "playlist"])
def test_no_page_leads_into_an_internal_network(site: Site, way: str) -> None:
    """The page's own host is 127.0.0.1; the same server under another name is somebody else's."""
    inner = f"http://localhost:{site.host.rpartition(':')[2]}/inner.html?token=geheim"
    site.pages = {
        "redirect.html": inner,
        "video.html": page('<video src="http://10.0.0.1/secret.mp4?token=geheim"></video>'),
        "playlist.html": page(f'<video><source src="{inner}" type="application/x-mpegURL"></video>'),
        "inner.html": page('<video src="clip.mp4"></video>') if way == "redirect" else master(),
    }
    assert "connect.networks" in refusal(site.url(f"{way}.html"), AddressRefused)
    assert "inner.html" not in [path for path, _ in site.asked]
    if way != "video":
        named = ConnectSettings(networks=("127.0.0.0/8", "::1/128"))
        assert resolved(site.url(f"{way}.html"), named).url.startswith("http://localhost:")


def test_what_others_asked_for_is_not_looked_for_inside(site: Site) -> None:
    site.pages = {"watch.html": page('<video src="clip.mp4"></video>')}
    (source,) = parse(f"page+{site.url('watch.html')}", "archive")
    for ask in (lambda: resolve(source, CONNECT, NOW_S, guarded=True), lambda: session_of(source, guarded=True)):
        with pytest.raises(AddressRefused):
            ask()
    assert site.asked == []
    named = ConnectSettings(networks=("127.0.0.0/8",))
    assert resolve(source, named, NOW_S, guarded=True) == replace(resolve(source, CONNECT, NOW_S), guarded=True)


def test_nothing_is_said_and_nothing_is_written(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "TMPDIR"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    site.pages = {"watch.html": page('<video src="clip.mp4"></video>')}
    resolved(site.url("watch.html"))
    refusal(site.url("gone.html"), SourceMissing)
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_no_connection_stays_open_though_nobody_collects_garbage(site: Site) -> None:
    site.pages = {
        "watch.html": page('<video><source src="master.m3u8" type="application/x-mpegURL"></video>'),
        "master.m3u8": master(),
        "out.html": "http://10.0.0.1/x",
    }
    resolved(site.url("watch.html"))
    gc.collect()
    this = psutil.Process()
    open_before = this.num_fds()
    gc.disable()
    try:
        for _ in range(5):
            resolved(site.url("watch.html"))
            refusal(site.url("gone.html"), SourceMissing)
            refusal(site.url("out.html"), AddressRefused)
        deadline_s = time.monotonic() + 60.0  # the server's own side takes a moment
        while this.num_fds() > open_before and time.monotonic() < deadline_s:
            time.sleep(0.01)
        assert this.num_fds() <= open_before
    finally:
        gc.enable()


def test_a_feed_is_a_playlist_of_pages(site: Site) -> None:
    items = "".join(
        f"<item><title>{name}</title><link>{site.url(name)}</link></item>" for name in ("a.html", "b.html", "a.html")
    )
    site.pages = {
        "feed.xml": f'<?xml version="1.0"?><rss version="2.0"><channel>{items}</channel></rss>'.encode(),
        "a.html": page('<video src="clip.mp4"></video>'),
    }
    (feed,) = parse(f"day=page+{site.url('feed.xml')}", "archive")
    videos = expand_pages([feed], CONNECT)
    assert [video.url for video in videos] == [site.url("a.html"), site.url("b.html")]
    assert {video.kind for video in videos} == {"page"}
    assert [video.stream for video in videos] == ["day-127.0.0.1-a", "day-127.0.0.1-b"]
    assert [path for path, _ in site.asked if path != "feed.xml"] == []
    assert resolve(videos[0], CONNECT, NOW_S).url == site.url("clip.mp4")


def test_a_page_of_one_video_is_no_list_and_one_of_two_is(site: Site) -> None:
    site.pages = {
        "one.html": page('<video src="a.mp4"></video>'),
        "two.html": page('<video src="a.mp4"></video><video src="b.mp4"></video>'),
        "gone.html": 410,
    }
    one = parse(f"page+{site.url('one.html')}", "archive")
    assert expand_pages(one, CONNECT) == one
    two = expand_pages(parse(f"page+{site.url('two.html')}", "archive"), CONNECT)
    assert [(video.kind, video.url) for video in two] == [("http", site.url("a.mp4")), ("http", site.url("b.mp4"))]
    with pytest.raises(SourceMissing):
        expand_pages(parse(f"page+{site.url('gone.html')}", "archive"), CONNECT)


def test_what_is_known_of_a_video(site: Site) -> None:
    site.pages = {
        "watch.html": page('<video><source src="master.m3u8" type="application/x-mpegURL"></video>'),
        "master.m3u8": master(),
    }
    video = page_video(parse(f"page+{site.url('watch.html')}")[0], CONNECT, NOW_S)
    assert (video.video, video.height_px, video.is_live, video.waits_s) == ("watch-1", 480, None, 0.0)


def test_without_yt_dlp_a_page_says_what_to_install(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yt_dlp", None)
    told = refusal(site.url("watch.html"), SourceUnsupported)
    assert "pip install 'affect-streamer[youtube]'" in told
    assert site.asked == []


def test_other_sources_have_their_own_address_at_once() -> None:
    for text in ("https://u:p@h/a.m3u8", "rtsp://cam/1", "testsrc://64x48", "mjpeg+http://cam/"):
        (source,) = parse(text)
        assert resolve(source, CONNECT, time.time()) == Address(source.url, source.kind)
