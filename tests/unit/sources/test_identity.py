from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from streamer.errors import SourceMissing, SourceUnreachable, SourceUnsupported
from streamer.sources import parse, session_of


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
def server(headers: dict[str, str], body: bytes, status: int = 200) -> Iterator[tuple[str, list[dict[str, str]]]]:
    seen: list[dict[str, str]] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(dict(self.headers))
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

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
        assert "Basic" in seen[1]["Authorization"]
    with server({"ETag": 'W/"v1"'}, b"abc") as (host, _):
        assert session_of(parse(f"http://{host}/x.mp4")[0]) == hashlib.sha256(b"abc").hexdigest()


def test_http_that_refuses() -> None:
    with server({}, b"", 403) as (host, _), pytest.raises(SourceUnreachable, match="answered 403") as caught:
        session_of(parse(f"http://bob:pw@{host}/x.mp4")[0])
    assert "pw" not in str(caught.value)
    with pytest.raises(SourceUnreachable, match="did not answer"):
        session_of(parse("http://127.0.0.1:9/x.mp4")[0])
