"""A command in a real pseudo-terminal, and what is then on the screen."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from tests.product import WARNINGS

_CONTROL = re.compile(r"\x1b\[(\??[0-9;]*)([A-Za-z])|\x1b.|[\r\n]|[^\x1b\r\n]+")


def plain(text: str) -> str:
    """`text` without its control sequences."""
    return re.sub(r"\x1b\[\??[0-9;]*[A-Za-z]", "", text)


class Screen:
    """So much of a terminal as a progress display needs: lines, the cursor, erasing. Nothing ever scrolls off."""

    def __init__(self) -> None:
        self.lines = [""]
        self.row = self.column = 0
        self.cursor_is_shown = True

    def take(self, text: str) -> None:
        """Show `text`; a control sequence that is not known is a failed test."""
        for found in _CONTROL.finditer(text):
            part, argument, verb = found.group(0), found.group(1), found.group(2)
            if verb is not None:
                self._control(argument, verb)
            elif part == "\r":
                self.column = 0
            elif part == "\n":
                self.row += 1
                self.lines += [""] * (self.row - len(self.lines) + 1)
            else:
                line = self.lines[self.row].ljust(self.column)
                self.lines[self.row] = line[: self.column] + part + line[self.column + len(part) :]
                self.column += len(part)

    def _control(self, argument: str, verb: str) -> None:
        if (argument, verb) in (("?25", "l"), ("?25", "h")):
            self.cursor_is_shown = verb == "h"
        elif verb == "A":
            self.row = max(0, self.row - int(argument or 1))
        elif verb == "K":
            assert argument == "2", f"erasing of kind {argument!r}"
            self.lines[self.row] = ""
        else:
            assert verb == "m", f"control {argument!r} {verb!r}"


class Terminal:
    """`streamer ARGUMENTS` in a terminal of 30 lines by 100 columns of its own."""

    def __init__(self, *arguments: str | Path, cwd: Path, term: str = "xterm") -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        environment = {
            name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")
        }
        self._before = termios.tcgetattr(slave)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "streamer", *map(str, arguments)],
            cwd=cwd, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            env={**environment, "TERM": term, "PYTHONWARNINGS": WARNINGS},
        )  # fmt: skip
        self._slave = slave
        self.text = ""

    def type(self, keys: str) -> None:
        """Keys, as a person at it would press them."""
        os.write(self._master, keys.encode())

    def read_until(self, holds: Callable[[str], bool], timeout_s: float = 60.0) -> None:
        """Read until what was printed so far is as wanted; fails where it never is."""
        deadline_s = time.monotonic() + timeout_s
        while not holds(self.text):
            ended = self.process.poll() is not None
            if not self._read(0.1) and (ended or time.monotonic() > deadline_s):
                self._fail("what was waited for never came")

    def close(self) -> tuple[int, Screen]:
        """Read to the end; the exit code and the screen as it was left, the settings of the terminal unchanged."""
        try:
            deadline_s = time.monotonic() + 60.0
            while self.process.poll() is None:
                self._read(0.1)
                if time.monotonic() > deadline_s:
                    self._fail("it did not end")
            while self._read(0.0):
                pass
            assert termios.tcgetattr(self._slave) == self._before
        finally:
            self.process.kill()
            self.process.wait()
            os.close(self._slave)
            os.close(self._master)
        screen = Screen()
        screen.take(self.text)
        return self.process.returncode, screen

    def _fail(self, what: str) -> NoReturn:
        self.process.kill()
        self.process.wait()
        pytest.fail(f"{what}:\n...{plain(self.text)[-1500:]}")

    def _read(self, wait_s: float) -> bool:
        if not select.select([self._master], [], [], wait_s)[0]:
            return False
        self.text += os.read(self._master, 65536).decode("utf-8", "replace")
        return True
