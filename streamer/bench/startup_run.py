"""`streamer run`, in a process of its own that notes when it is where on the way to its first record.

The same program with the same imports, in the same order.
"""

from __future__ import annotations

import os
import runpy
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

FOLDER = "STREAMER_BENCH_MARKS"
"""The variable that names the folder of the notes: an empty file each, its name the mark and the monotonic time."""


def note(mark: str) -> None:
    """This process is there now; only the first time counts."""
    folder = Path(os.environ[FOLDER])
    (folder / f"{mark}@{time.monotonic():.6f}").touch()


def noted(method: Callable[..., Any], *, begins: str | None = None, ends: str | None = None) -> Callable[..., Any]:
    """The method, with a note when it begins or when it has ended."""

    def wrapped(*arguments: Any, **named: Any) -> Any:
        if begins is not None:
            note(begins)
        found = method(*arguments, **named)
        if ends is not None:
            note(ends)
        return found

    return wrapped


def command() -> None:
    """The command, whose children are `child`."""
    from streamer.worker.children import Children

    Children.program = "streamer.bench.startup_child"
    Children._spawn = noted(Children._spawn, begins="begun")  # type: ignore[method-assign]
    sys.argv[1:1] = ["run"]
    runpy.run_module("streamer", run_name="__main__")


if __name__ == "__main__":
    command()
