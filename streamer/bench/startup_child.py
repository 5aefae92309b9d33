"""The child of `startup_run`: notes when it has begun and is told what to do, and when models and source are open."""

from __future__ import annotations

import sys

from streamer.bench.startup_run import note, noted
from streamer.pipeline import Models
from streamer.worker import child
from streamer.worker.loop import Loop


def main() -> int:
    """Be a child."""
    note("child")
    Models.open = noted(Models.open, begins="told", ends="models")  # type: ignore[method-assign]
    Loop._opened = noted(Loop._opened, begins="source")  # type: ignore[method-assign]
    return child.main()


if __name__ == "__main__":
    sys.exit(main())
