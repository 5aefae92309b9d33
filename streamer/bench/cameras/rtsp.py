"""An RTSP camera: GStreamer's server as a process of its own."""

from __future__ import annotations

import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from streamer.bench.cameras.program import Program

SYSTEM_PYTHON = "/usr/bin/python3"
_SCRIPT = Path(__file__).with_name("rtsp_server.py")


def missing() -> str | None:
    """Why no RTSP server can run here, or None."""
    ask = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"
    if not Path(SYSTEM_PYTHON).exists():
        return f"the RTSP server runs under {SYSTEM_PYTHON}, which is not there"
    if subprocess.run([SYSTEM_PYTHON, "-c", ask], capture_output=True, check=False).returncode != 0:
        return "GStreamer's RTSP server and its Python bindings are not installed"
    return None


@dataclass(frozen=True, slots=True)
class RtspOptions:
    """`pattern` is shown where there is no clip: WxH@FPS. `auth` matters where there is a user."""

    clip: Path | None = None
    pattern: str = "320x180@10"
    user: str | None = None
    password: str = ""
    auth: Literal["basic", "digest"] = "digest"
    transport: Literal["tcp", "udp", "any"] = "any"


class RtspCamera:
    """An RTSP server with one picture at /camera; any other path is 404. The clip: H.264 in MP4, no B-frames."""

    def __init__(self, folder: Path, options: RtspOptions | None = None) -> None:
        self._options = options or RtspOptions()
        self._log = folder / "rtsp.log"
        self.port = 0
        self._program = self._start()

    @property
    def url(self) -> str:
        """Its address, with the credentials it wants."""
        user = f"{self._options.user}:{self._options.password}@" if self._options.user else ""
        return f"rtsp://{user}127.0.0.1:{self.port}/camera"

    @property
    def pid(self) -> int:
        """The server's process."""
        return self._program.process.pid

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._program.running

    def kill(self) -> None:
        """SIGKILL."""
        self._program.kill()

    def freeze(self) -> None:
        """SIGSTOP."""
        self._program.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self._program.signal(signal.SIGCONT)

    def mute(self) -> None:
        """Send no more pictures; everything else goes on, clip only."""
        self._program.signal(signal.SIGUSR1)

    def unmute(self) -> None:
        """Send pictures again."""
        self._program.signal(signal.SIGUSR2)

    def restart(self) -> None:
        """Start it on the port it had; returns when it listens."""
        self._program = self._start()

    def close(self) -> None:
        """End it."""
        self._program.kill()

    def _start(self) -> Program:
        chosen = self._options
        what = ["--clip", str(chosen.clip)] if chosen.clip is not None else ["--pattern", chosen.pattern]
        who = ["--user", chosen.user, "--password", chosen.password, "--auth", chosen.auth] if chosen.user else []
        how = ["--port", str(self.port), "--transport", chosen.transport]
        program = Program([SYSTEM_PYTHON, str(_SCRIPT), *how, *what, *who], self._log)
        self.port = int(program.first_line())
        return program
