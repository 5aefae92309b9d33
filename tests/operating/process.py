"""A run that shows itself over HTTP, in a process of its own."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path

from streamer.control.client import Asked, NotAsked
from tests.product import interrupt, start, until

ENDS_WITHIN_S = 120


@dataclass
class Shown:
    """`streamer run ... --metrics 0`; `said` is its standard error."""

    process: subprocess.Popen[str]
    said: list[str] = field(default_factory=list)

    @staticmethod
    def begin(*arguments: str | Path, cwd: Path) -> Shown:
        """Start it; returns once it tells where it can be asked."""
        one = Shown(start("run", *arguments, "--metrics", "0", "--children", "1", "--quiet", cwd=cwd))
        threading.Thread(target=one._listen, daemon=True).start()
        until(lambda: one.url("metrics") is not None or one.process.poll() is not None, "it tells its address")
        return one

    def url(self, what: str = "metrics") -> str | None:
        """Where it shows itself, or (`control`) takes changes."""
        found = [re.fullmatch(rf"streamer: {what} at (http://127\.0\.0\.1:\d+)", line) for line in self.said]
        return next((match[1] for match in found if match), None)

    @property
    def asked(self) -> Asked:
        """To ask it."""
        url = self.url()
        assert url is not None, self.said
        return Asked(url)

    def put(self, stream: str, wish: dict[str, object]) -> None:
        """Have it watch a stream, through its other address."""
        url = self.url("control")
        assert url is not None, self.said
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
        try:
            connection.request("PUT", f"/streams/{stream}", json.dumps(wish), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            assert answer.status == 201, answer.read()
        finally:
            connection.close()

    def is_ready(self) -> bool:
        """Whether /readyz says so."""
        try:
            return bool(self.asked.readiness()["ready"])
        except NotAsked:
            return False

    def end(self) -> int:
        """Ctrl-C; its exit code."""
        if self.process.poll() is None:
            interrupt(self.process)
        return self.process.wait(ENDS_WITHIN_S)

    def close(self) -> None:
        """Leave nothing of it behind."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()

    def _listen(self) -> None:
        assert self.process.stderr is not None
        try:
            for line in self.process.stderr:
                self.said.append(line.rstrip())
        except ValueError:
            pass  # closed
