"""An RTMP server: nginx with its rtmp module, and ffmpeg that sends it a clip at its own pace."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

from streamer.bench.broker import free_ports
from streamer.bench.cameras.program import Program, wait_for_port

MODULE = Path("/usr/lib/nginx/modules/ngx_rtmp_module.so")
_NGINX = shutil.which("nginx") or "/usr/sbin/nginx"  # not on everybody's PATH
_CONFIGURATION = """
daemon off;
master_process off;
load_module {module};
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{ worker_connections 64; }}
rtmp {{ server {{ listen 127.0.0.1:{port}; application live {{ live on; wait_key on; }} }} }}
"""


def missing() -> str | None:
    """Why no RTMP server can run here, or None."""
    for program in (_NGINX, "ffmpeg"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    return None if MODULE.exists() else "nginx has no rtmp module"


class RtmpCamera:
    """A stream at /live/camera."""

    def __init__(self, folder: Path, clip: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._clip = clip
        (self.port,) = free_ports(1)
        self._configuration = folder / "nginx.conf"
        self._configuration.write_text(_CONFIGURATION.format(module=MODULE, folder=folder, port=self.port))
        self._programs: list[Program] = []
        self.restart()

    @property
    def url(self) -> str:
        """Its address."""
        return f"rtmp://127.0.0.1:{self.port}/live/camera"

    def kill(self) -> None:
        """SIGKILL to the server and to who sends."""
        for program in self._programs:
            program.kill()

    def freeze(self) -> None:
        """SIGSTOP to both."""
        for program in self._programs:
            program.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT to both."""
        for program in self._programs:
            program.signal(signal.SIGCONT)

    def restart(self) -> None:
        """Start both; returns when the server listens, a little before there are pictures."""
        log = self._folder / "rtmp.log"
        server = Program([_NGINX, "-p", str(self._folder), "-c", str(self._configuration)], log)
        self._programs = [server]
        wait_for_port(self.port, server)
        pace = ["-nostdin", "-loglevel", "error", "-re", "-stream_loop", "-1"]
        self._programs.append(
            Program(["ffmpeg", *pace, "-i", str(self._clip), "-c", "copy", "-f", "flv", self.url], log)
        )

    def close(self) -> None:
        """End both."""
        self.kill()
