from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from streamer.config import ConnectSettings
from streamer.errors import AddressRefused, SourceMissing, SourceUnauthorized, SourceUnreachable, SourceUnsupported
from streamer.http_io import MAX_PLAYLIST_BYTES
from streamer.sources import parse, session_of

BOB = "Basic Ym9iOnB3"


def test_a_file_s_session_is_the_sha256_of_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"12345" * 500_000)
    (source,) = parse(str(path))
    assert session_of(source) == hashlib.sha256(path.read_bytes()).hexdigest()
    path.unlink()
    with pytest.raises(SourceMissing, match=r"a\.mp4 cannot be read"):
        session_of(source)


def test_a_folder_s_session_covers_names_bytes_and_rate(tmp_path: Path) -> None:
    folder = tmp_path / "shot"
    folder.mkdir()
    (folder / "1.png").write_bytes(b"one")
    (folder / "2.png").write_bytes(b"two")
    (source,) = parse(str(folder))
    sessions = {session_of(source), session_of(parse(f"{folder}?fps=5")[0])}
    assert session_of(parse(str(folder))[0]) in sessions
    (folder / "2.png").write_bytes(b"TWO")
    sessions.add(session_of(source))
    (folder / "2.png").rename(folder / "3.png")
    sessions.add(session_of(source))
    (folder / "1.png").write_bytes(b"oneT")
    (folder / "3.png").write_bytes(b"WO")
    sessions.add(session_of(source))
    assert len(sessions) == 5


def test_test_sources_and_cameras() -> None:
    assert session_of(parse("testsrc://64x48")[0]) != session_of(parse("testsrc://64x49")[0])
    with pytest.raises(SourceUnsupported, match="camera"):
        session_of(parse("webcam://7")[0])


@contextmanager
def server(
    headers: dict[str, str], body: bytes, status: int = 200, more: dict[str, bytes] | None = None, login: str = ""
) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A server that gives `more` at its paths and `body` at others, and the headers it was asked with.

    Where it wants a `login` (the answer to a challenge), only those that bear it are counted.
    """
    seen: list[dict[str, str]] = []
    bodies = more or {}

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if login and self.headers.get("Authorization") != login:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="videos"')
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            seen.append(dict(self.headers))
            told = bodies.get(self.path.partition("?")[0], body)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(told)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(told)

        def log_message(self, format: str, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{http.server_port}", seen
        finally:
            http.shutdown()
            thread.join()


def test_http_sessions_follow_a_strong_tag_or_the_bytes() -> None:
    with server({"ETag": '"v1"'}, b"abc") as (host, seen):
        tagged = session_of(parse(f"http://{host}/x.mp4")[0])
        assert session_of(parse(f"http://bob:pw@{host}/x.mp4")[0]) == tagged
        assert session_of(parse(f"http://{host}/y.mp4")[0]) != tagged
        assert all("Authorization" not in headers for headers in seen)  # nobody has asked for it
    with server({"ETag": '"v1"'}, b"abc", login=BOB) as (host, seen):
        assert len(session_of(parse(f"http://bob:pw@{host}/x.mp4")[0])) == 64
        assert len(seen) == 1
        with pytest.raises(SourceUnauthorized):
            session_of(parse(f"http://{host}/x.mp4")[0])
    with server({"ETag": 'W/"v1"'}, b"abc") as (host, _):
        assert session_of(parse(f"http://{host}/x.mp4")[0]) == hashlib.sha256(b"abc").hexdigest()


def test_http_that_refuses() -> None:
    kinds = {404: SourceMissing, 401: SourceUnauthorized, 403: SourceUnauthorized, 500: SourceUnreachable}
    for status, kind in kinds.items():
        with server({}, b"", status) as (host, _), pytest.raises(kind, match=f"answered {status}") as caught:
            session_of(parse(f"http://bob:pw@{host}/x.mp4")[0])
        assert "pw" not in str(caught.value)
    with pytest.raises(SourceUnreachable, match="did not answer"):
        session_of(parse("http://127.0.0.1:9/x.mp4")[0])


def pieces(token: str, end: str = "#EXT-X-ENDLIST", seconds: float = 6.0) -> bytes:
    return f"#EXTM3U\n#EXTINF:{seconds},\nseg0.ts?token={token}\n#EXTINF:2,\nseg1.ts?token={token}\n{end}\n".encode()


def test_a_recorded_playlist_is_the_same_however_it_is_signed() -> None:
    more = {"/a.m3u8": pieces("1"), "/longer.m3u8": pieces("1", seconds=7.0)}
    with server({}, b"", more=more) as (host, _):
        first = session_of(parse(f"http://u:p@{host}/a.m3u8?token=1&expires=1700000000", "archive")[0])
        more["/a.m3u8"] = pieces("2")
        assert session_of(parse(f"http://{host}/a.m3u8?token=2&expires=1700000900", "archive")[0]) == first
        assert session_of(parse(f"http://{host}/a.m3u8?id=5", "archive")[0]) != first
        assert session_of(parse(f"http://{host}/longer.m3u8", "archive")[0]) != first
        more["/a.m3u8"] = pieces("2", seconds=6.5)
        assert session_of(parse(f"http://{host}/a.m3u8", "archive")[0]) != first


def test_of_several_variants_the_segments_of_the_one_that_is_read_count() -> None:
    master = b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlow.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=9\nv/high.m3u8?t=1\n"
    more = {"/m.m3u8": master, "/low.m3u8": pieces("1"), "/v/high.m3u8": pieces("1")}
    with server({}, b"", more=more, login=BOB) as (host, seen):
        (source,) = parse(f"http://bob:pw@{host}/m.m3u8", "archive")
        first = session_of(source)
        assert len(seen) == 2
        more["/low.m3u8"] = pieces("1", seconds=9.0)
        assert session_of(source) == first
        more["/v/high.m3u8"] = pieces("1", seconds=9.0)
        assert session_of(source) != first


def test_a_manifest_s_session() -> None:
    more = {"/a.mpd": b'<MPD type="static"><BaseURL>v.mp4?t=1</BaseURL></MPD>'}
    with server({}, b"", more=more) as (host, _):
        (source,) = parse(f"http://{host}/a.mpd", "archive")
        first = session_of(source)
        more["/a.mpd"] = b'<MPD type="static"><BaseURL>v.mp4?t=2</BaseURL></MPD>'
        assert session_of(source) == first
        more["/a.mpd"] = b'<MPD type="static"><BaseURL>w.mp4?t=2</BaseURL></MPD>'
        assert session_of(source) != first


@pytest.mark.parametrize(
    ("name", "body"), [("a.m3u8", pieces("1", end="")), ("a.mpd", b'<MPD type="dynamic"></MPD>')], ids=["hls", "dash"]
)
def test_what_is_live_has_no_session_to_repeat(name: str, body: bytes) -> None:
    with server({}, body) as (host, _), pytest.raises(SourceUnsupported, match="--mode live"):
        session_of(parse(f"http://{host}/{name}", "archive")[0])


def test_a_playlist_is_not_read_without_end() -> None:
    with server({}, b"#" * (MAX_PLAYLIST_BYTES + 1)) as (host, _), pytest.raises(SourceUnsupported, match="more than"):
        session_of(parse(f"http://{host}/a.m3u8", "archive")[0])


@pytest.mark.parametrize("url", ["rtsp://cam/1", "rtmp://cam/1", "srt://cam:1", "http://cam/a.mjpg"])
def test_what_never_ends_has_no_session(url: str) -> None:
    with pytest.raises(SourceUnsupported, match="never ends"):
        session_of(parse(url)[0])


def test_a_redirect_leads_to_no_internal_address_and_takes_no_login_along() -> None:
    with server({"ETag": '"v1"'}, b"abc") as (there, seen):
        port = there.partition(":")[2]
        with server({"Location": f"http://localhost:{port}/x.mp4"}, b"", 302) as (host, _):
            (source,) = parse(f"http://bob:pw@{host}/x.mp4")
            with pytest.raises(AddressRefused, match=r"connect\.networks"):
                session_of(source)
            assert seen == []
            assert len(session_of(source, ConnectSettings(networks=("127.0.0.0/8", "::1/128")))) == 64
            assert "Authorization" not in seen[0]


@pytest.mark.parametrize("name", ["x.mp4", "x.m3u8", "x.mpd"])
def test_what_others_asked_for_is_not_read_inside_a_network_that_is_not_named(name: str) -> None:
    with server({}, pieces("1")) as (host, seen):
        (source,) = parse(f"http://{host}/{name}", "archive")
        with pytest.raises(AddressRefused):
            session_of(source, guarded=True)
        assert seen == []
        named = ConnectSettings(networks=("127.0.0.0/8",))
        assert session_of(source, named, guarded=True) == session_of(source)


def test_redirects_come_to_an_end() -> None:
    with server({"Location": "/again"}, b"", 302) as (host, seen), pytest.raises(SourceUnreachable):
        session_of(parse(f"http://{host}/x.mp4")[0])
    assert len(seen) < 10
