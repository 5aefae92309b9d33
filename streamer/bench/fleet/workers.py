"""A worker as a process of its own, and what can befall it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from streamer.errors import StreamerError

ENDS_WITHIN_S = 40.0
_CHILD = "streamer.worker.child"


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a worker takes of its machine, supervisor and children together."""

    rss_bytes: int = 0
    threads: int = 0
    handles: int = 0


class WorkerProcess:
    """`streamer worker`, started; what it says goes to `log`."""

    def __init__(self, name: str, config: Path, log: Path, environment: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.log = log
        command = [sys.executable, "-m", "streamer", "worker", "--config", str(config), "--name", name]
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [*command, "--offline"],
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **(environment or {})},
            )
        self._seen: set[psutil.Process] = set()

    @property
    def running(self) -> bool:
        """Whether its supervisor lives."""
        return self.process.poll() is None

    def children(self) -> list[psutil.Process]:
        """Its child processes."""
        try:
            found = psutil.Process(self.process.pid).children()
        except psutil.NoSuchProcess:
            return []
        children = [child for child in found if _is_child(child)]
        self._seen.update(children)
        return children

    def stop(self, timeout_s: float = ENDS_WITHIN_S) -> int:
        """Ask it to leave (SIGTERM); returns its exit code. Raises `StreamerError` when it does not."""
        self.children()
        if self.running:
            self.process.terminate()
        return self.wait(timeout_s)

    def kill(self) -> None:
        """Kill the supervisor; returns when its children, whom nobody kills, have ended too."""
        self.children()
        self.process.kill()
        self.wait()

    def wait(self, timeout_s: float = ENDS_WITHIN_S) -> int:
        """Its exit code, once it and all its children have ended."""
        try:
            code = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise StreamerError(f"worker {self.name} did not end in {timeout_s:g} s:\n{self.said()}") from None
        left = psutil.wait_procs(list(self._seen), timeout=timeout_s)[1]
        if left:
            raise StreamerError(f"children of worker {self.name} outlived it by {timeout_s:g} s: {left}")
        return code

    def pause(self) -> None:
        """Freeze it and its children, as a machine that hangs does."""
        for process in (psutil.Process(self.process.pid), *self.children()):
            process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `pause`."""
        for process in (*self.children(), psutil.Process(self.process.pid)):
            process.send_signal(signal.SIGCONT)

    def footprint(self) -> Footprint:
        """What it takes now."""
        rss = threads = handles = 0
        for process in (psutil.Process(self.process.pid), *self.children()):
            try:
                with process.oneshot():
                    rss += process.memory_info().rss
                    threads += process.num_threads()
                    handles += process.num_fds()
            except psutil.NoSuchProcess:
                continue
        return Footprint(rss, threads, handles)

    def supervisor_rss_bytes(self) -> int:
        """Resident memory of the supervisor alone."""
        return int(psutil.Process(self.process.pid).memory_info().rss)

    def said(self, n_characters: int = 3000) -> str:
        """The end of its log."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-n_characters:]

    def end(self) -> None:
        """Leave nothing of it, whatever state it is in."""
        for process in self.children():
            process.kill()
        self.process.kill()
        self.process.wait()
        psutil.wait_procs(list(self._seen), timeout=ENDS_WITHIN_S)


def _is_child(process: psutil.Process) -> bool:
    try:
        return any(_CHILD in part for part in process.cmdline())
    except psutil.Error:
        return False
