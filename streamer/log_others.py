"""What others write to standard error by themselves, as events of ours: for logs that machines read."""

from __future__ import annotations

import logging
import sys
import threading
from types import TracebackType

from streamer import log

_LEVELS: tuple[tuple[int, log.Level], ...] = ((40, "error"), (30, "warning"), (20, "info"), (0, "debug"))


class _Forwarding(logging.Handler):
    """Takes what no handler of the library's own takes."""

    def emit(self, record: logging.LogRecord) -> None:
        level = next(level for least, level in _LEVELS if record.levelno >= least)
        more = {"exc_info": record.exc_info} if record.exc_info else {}
        log.write(level, "library.said", logger=record.name, reason=record.getMessage(), **more)


def take_in_others() -> None:
    """Have libraries' messages, warnings, and errors that nobody caught logged as events."""
    forwarding = _Forwarding(logging.WARNING)
    logging.lastResort = forwarding
    logging.captureWarnings(True)
    of_warnings = logging.getLogger("py.warnings")  # gets a handler that says nothing where it has none
    if not of_warnings.handlers:
        of_warnings.addHandler(forwarding)
    sys.excepthook = _broke
    threading.excepthook = lambda what: _thread_broke(what)


def _broke(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    log.error("process.broke", exc_info=(kind, error, trace))


def _thread_broke(what: threading.ExceptHookArgs) -> None:
    if what.exc_value is not None and what.exc_type is not SystemExit:
        thread = what.thread.name if what.thread is not None else None
        log.error("process.broke", thread=thread, exc_info=(what.exc_type, what.exc_value, what.exc_traceback))
