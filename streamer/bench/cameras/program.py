"""A server that is a process of its own."""

from __future__ import annotations

import selectors
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from streamer.errors import StreamerError, UsageError

READY_S = 20.0
_STOP_S = 10.0


class Program:
    """A started process. It dies with the thread that started it, however that ends (Linux)."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        if shutil.which(command[0]) is None:
            raise UsageError(f"{command[0]} is not installed: install it with your system's packages")
        self._log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=output,
            )

    @property
    def running(self) -> bool:
        """Whether it lives; a frozen one does."""
        return self.process.poll() is None

    def first_line(self, timeout_s: float = READY_S) -> str:
        """What it says first on its output. Raises `StreamerError` when it ends or says nothing in time."""
        output = self.process.stdout
        assert output is not None
        with selectors.DefaultSelector() as selector:
            selector.register(output, selectors.EVENT_READ)
            line = output.readline() if selector.select(timeout_s) else b""
        if not line:
            raise StreamerError(f"a server of the rig did not start:\n{self.said()}")
        return line.decode().strip()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it lives."""
        if self.running:
            self.process.send_signal(number)

    def kill(self) -> None:
        """End it as a power cut does; returns when it is gone."""
        self.process.kill()
        self.process.wait(_STOP_S)
        if self.process.stdout is not None:
            self.process.stdout.close()

    def said(self) -> str:
        """The end of what it wrote as errors."""
        return self._log.read_text(encoding="utf-8", errors="replace")[-2000:]


def wait_for_port(port: int, program: Program, timeout_s: float = READY_S) -> None:
    """Return once somebody listens there. Raises `StreamerError` when the program ends before, or takes too long."""
    deadline_s = time.monotonic() + timeout_s
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1.0).close()
            return
        except OSError:
            if not program.running or time.monotonic() > deadline_s:
                raise StreamerError(f"a server of the rig did not start:\n{program.said()}") from None
            time.sleep(0.02)
