"""SIGINT and SIGTERM, for as long as somebody wants to hear of them."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def signals_to(interrupt: Callable[[], None]) -> Iterator[None]:
    """Inside, SIGINT and SIGTERM call `interrupt`. Off the main thread nothing changes: whoever embeds us calls it."""

    def on_signal(number: int, frame: FrameType | None) -> None:
        interrupt()

    try:
        before = {name: signal.signal(name, on_signal) for name in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:
        before = {}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
