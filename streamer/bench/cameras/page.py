"""A web page with a video in it, whose address is another one each time the page is loaded."""

from __future__ import annotations

import time

from streamer.bench.cameras.http_camera import SegmentCamera
from streamer.bench.cameras.http_server import HttpServer, Request

_PAGE = """<!DOCTYPE html><html><head><title>A camera</title></head>
<body><video controls src="{media}"><source src="{media}" type="application/x-mpegURL"></video></body></html>
"""


class PageCamera:
    """Shows the video of `camera`, which should expire. With `says_when` its address says so: `?expire=UNIXTIME`."""

    def __init__(self, camera: SegmentCamera, *, says_when: bool = False) -> None:
        self.camera = camera
        self._says_when = says_when
        self.loaded_s: list[float] = []
        """When the page was loaded, wall time."""
        self.server = HttpServer(self._answer)

    @property
    def url(self) -> str:
        """The page's address."""
        return f"{self.server.origin}/watch.html"

    def kill(self) -> None:
        """End the page's server and the video's."""
        self.server.kill()
        self.camera.kill()

    def freeze(self) -> None:
        """Have both answer nothing."""
        self.server.freeze()
        self.camera.freeze()

    def thaw(self) -> None:
        """Have both answer again."""
        self.server.thaw()
        self.camera.thaw()

    def restart(self) -> None:
        """Have both listen again."""
        self.camera.restart()
        self.server.restart()

    def close(self) -> None:
        """End the page's server and the camera."""
        self.server.close()
        self.camera.close()

    def _answer(self, request: Request) -> None:
        self.loaded_s.append(time.time())
        token, until_s = self.camera.token()
        when = f"?expire={until_s:.0f}" if self._says_when and until_s is not None else ""
        media = f"{self.camera.server.origin}/{token}{self.camera.segments.playlist.name}{when}"
        request.give(_PAGE.format(media=media).encode())
