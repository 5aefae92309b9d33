"""Web streams: HLS and DASH that slide along, and MJPEG, behind a server that can be killed and frozen."""

from __future__ import annotations

import secrets
import time
from pathlib import Path

import av
import cv2

from streamer.bench.cameras.http_server import HttpServer, Request
from streamer.bench.cameras.segments import Form, Segments
from streamer.errors import StreamerError

_APPEARS_S = 20.0
_BOUNDARY = b"--picture\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"


class _Served:
    """The verbs of a camera, done to its HTTP server."""

    def __init__(self) -> None:
        self.server = HttpServer(self._answer)

    def _answer(self, request: Request) -> None:
        raise NotImplementedError

    def kill(self) -> None:
        """End the server; what makes the pictures goes on."""
        self.server.kill()

    def freeze(self) -> None:
        """Have the server answer nothing."""
        self.server.freeze()

    def thaw(self) -> None:
        """Have it answer again."""
        self.server.thaw()

    def restart(self) -> None:
        """Have it listen again."""
        self.server.restart()

    def close(self) -> None:
        """End it."""
        self.server.close()


class SegmentCamera(_Served):
    """Live HLS or DASH. With `expires_s` every address has a token that stops working so long after it was made:
    403 from then on, for the playlist and for the segments."""

    def __init__(
        self, clip: Path, folder: Path, form: Form = "ts", *, target_s: float = 1.0, expires_s: float | None = None
    ) -> None:
        self._folder = folder
        self._expires_s = expires_s
        self._tokens: dict[str, float] = {}
        self.n_refused = 0
        self.segments = Segments(clip, folder, form, target_s=target_s)
        super().__init__()
        deadline_s = time.monotonic() + _APPEARS_S
        while not self.segments.playlist.exists():
            if time.monotonic() > deadline_s or not self.segments.is_alive():
                self.close()
                raise StreamerError(f"no {form} playlist was written in {_APPEARS_S:g} s")
            time.sleep(0.02)

    @property
    def url(self) -> str:
        """A fresh address, which works at once."""
        return f"{self.server.origin}/{self.token()[0]}{self.segments.playlist.name}"

    def token(self) -> tuple[str, float | None]:
        """The beginning of a fresh path, and until when it works (wall clock), if it does not for ever."""
        if self._expires_s is None:
            return "", None
        token, until_s = secrets.token_hex(8), time.time() + self._expires_s
        self._tokens[token] = until_s
        return f"{token}/", until_s

    def close(self) -> None:
        """End the server and what makes the segments."""
        super().close()
        self.segments.stop()

    def _answer(self, request: Request) -> None:
        token, _, name = request.path.partition("?")[0].lstrip("/").rpartition("/")
        if self._expires_s is not None and time.time() >= self._tokens.get(token, 0.0):
            self.n_refused += 1
            request.refuse(403)
            return
        request.give_file(self._folder / name)


class MjpegCamera(_Served):
    """The pictures of a clip as JPEG, one behind the other (multipart/x-mixed-replace), at the clip's pace."""

    def __init__(self, clip: Path) -> None:
        with av.open(str(clip)) as source:
            self._every_s = float(1 / (source.streams.video[0].average_rate or 10))
            shown = [frame.to_ndarray(format="bgr24") for frame in source.decode(video=0)]
        self._pictures = [cv2.imencode(".jpg", picture)[1].tobytes() for picture in shown]
        super().__init__()

    @property
    def url(self) -> str:
        """Its address."""
        return f"{self.server.origin}/camera.mjpg"

    def _answer(self, request: Request) -> None:
        request.close_connection = True
        request.send_response(200)
        request.send_header("Content-Type", "multipart/x-mixed-replace; boundary=picture")
        request.end_headers()
        due_s = time.monotonic()
        while True:
            picture = self._pictures[int(time.time() / self._every_s) % len(self._pictures)]
            request.wfile.write(_BOUNDARY % len(picture) + picture + b"\r\n")
            due_s += self._every_s
            self.server.pause(due_s - time.monotonic())
            self.server.breathe()
