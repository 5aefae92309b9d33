"""A real web server: whole files, refused ones, and one that hangs up in the middle."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from streamer import errors
from tests.unit.decode.test_bad_files import HOLE, with_a_hole
from tests.unit.decode.test_decoder import N, kept, opened
from tests.unit.decode.videos import pictures, write_video


@contextmanager
def server(body: bytes, *, sent: int | None = None, status: int = 200, location: str = "") -> Iterator[str]:
    """Serves `body` at every path; with `sent`, only its first bytes, whatever the length it declares."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if location:
                self.send_response(302)
                self.send_header("Location", location)
                self.end_headers()
                return
            start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").partition("-")[0])
            self.send_response(status if status != 200 or "Range" not in self.headers else 206)
            if "Range" in self.headers:
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            self.send_header("Content-Length", str(len(body) - start))
            self.send_header("Connection", "close")
            self.end_headers()
            try:
                self.wfile.write(body[start:sent])
            except OSError:
                pass  # the reader has what it wants

        def log_message(self, format: str, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{http.server_port}"
        finally:
            http.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_video(tmp_path_factory.mktemp("http") / "a.mp4", pictures(N), "libx264").read_bytes()


def test_a_file_over_http(clip: bytes) -> None:
    with server(clip) as url:
        frames, error = kept(opened(f"{url}/a.mp4"))
    assert error is None
    assert len(frames) == N


def test_a_hole_in_a_file_over_http_is_no_fault_of_a_disk(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "a.ts", pictures(60), "libx264")
    with server(with_a_hole(whole, tmp_path / "hole.ts", HOLE).read_bytes()) as url:
        with opened(f"{url}/a.ts") as decoder:
            frames, error = kept(decoder)
        assert error is None
        assert len(frames) > 45
        assert decoder.counters.corrupt_packets >= 3
        _, error = kept(opened(f"{url}/a.ts", max_damaged_packets=2))
    assert type(error) is errors.SourceDamaged


def test_a_refusal_is_not_the_file_s_fault(clip: bytes) -> None:
    with server(b"no", status=403) as url, pytest.raises(errors.SourceUnauthorized, match="refused"):
        opened(f"{url}/a.mp4?token=hunter2")


def test_a_page_is_no_video() -> None:
    with server(b"<html>" + b"sorry " * 1000) as url, pytest.raises(errors.NotAVideo):
        opened(f"{url}/a.mp4")


def test_a_playlist_behind_a_video_s_name_opens_nothing_else(clip: bytes) -> None:
    with server(clip) as other:
        playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{other}/a.mp4\n#EXT-X-ENDLIST\n".encode()
        with server(playlist) as url, pytest.raises(errors.NotAVideo):
            opened(f"{url}/a.mp4")


def test_a_redirect_to_a_local_file_is_not_followed(tmp_path: Path, clip: bytes) -> None:
    (tmp_path / "a.mp4").write_bytes(clip)
    with server(b"", location=f"file://{tmp_path}/a.mp4") as url, pytest.raises(errors.SourceError):
        opened(f"{url}/a.mp4")


def test_a_server_that_hangs_up_keeps_the_frames_before(tmp_path: Path) -> None:
    body = write_video(
        tmp_path / "a.mp4", pictures(200), "libx264", container_options={"movflags": "faststart"}
    ).read_bytes()
    with server(body, sent=len(body) // 2) as url:
        frames, error = kept(opened(f"{url}/a.mp4"))
    assert isinstance(error, (errors.SourceTruncated, errors.SourceUnreachable)), error
    assert 40 < len(frames) < 180
