"""A child process that reads files, watched: it answers, or it hung, or it crashed."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from streamer.errors import WorkerNotStarted

COMMAND = (sys.executable, "-m", "streamer.bench.hostile.child")
FILES_A_PROCESS = 250
_START_S = 60.0


class Reader:
    """One child at a time, started when needed. `command` says `ready`, then answers each name with a line of JSON."""

    def __init__(self, deadline_s: float, command: Sequence[str] = COMMAND) -> None:
        self._deadline_s, self._command = deadline_s, tuple(command)
        self._child: subprocess.Popen[bytes] | None = None
        self._n_read = 0
        self.n_started = 0

    def read(self, path: Path) -> dict[str, Any]:
        """What the child says of the file; `hung` (seconds) or `crashed` (how) where it says nothing.

        Raises `WorkerNotStarted` where no child gets as far as to read anything: that is no file's doing.
        """
        child = self._running()
        assert child.stdin is not None
        start_s = time.monotonic()
        try:
            child.stdin.write(f"{path}\n".encode())
            child.stdin.flush()
        except BrokenPipeError:
            return {"crashed": self._ended()}
        line = self._line(child, start_s + self._deadline_s)
        if line is None:
            self.close()
            return {"hung": round(time.monotonic() - start_s, 1)}
        if not line.endswith(b"\n"):
            return {"crashed": self._ended()}
        self._n_read += 1
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _line(self, child: subprocess.Popen[bytes], until_s: float) -> bytes | None:
        """The child's next line, unfinished where it ended; None when it does not come in time."""
        assert child.stdout is not None
        line = b""
        while not line.endswith(b"\n"):
            left_s = until_s - time.monotonic()
            if left_s <= 0 or not select.select([child.stdout], [], [], left_s)[0]:
                return None
            got = os.read(child.stdout.fileno(), 65536)
            if not got:
                break
            line += got
        return line

    def _running(self) -> subprocess.Popen[bytes]:
        if self._child is None or self._n_read >= FILES_A_PROCESS:
            self.close()
            self._child = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
            self._n_read = 0
            self.n_started += 1
            if self._line(self._child, time.monotonic() + _START_S) != b"ready\n":
                self.close()
                raise WorkerNotStarted(f"the reading process does not start: see what {' '.join(self._command)} says")
        return self._child

    def _ended(self) -> str:
        assert self._child is not None
        code = self._child.wait(self._deadline_s)
        self.close()
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"

    def close(self) -> None:
        """Kill the child, if there is one."""
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    pass
        child.wait()

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
