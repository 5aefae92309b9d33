"""Structured logs: events with bound names, to stderr, as text for people or JSON for machines.

structlog writes them. It is loaded at the first event that is really written: it brings a terminal library along,
and a worker process should not spend a quarter of its start-up on the chance that something goes wrong.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["console", "json"]
_RANK: dict[Level, int] = {"debug": 10, "info": 20, "warning": 30, "error": 40}


@dataclass(slots=True)
class _Setup:
    level: Level = "warning"
    format: Format = "console"
    bound: dict[str, Any] = field(default_factory=dict)


_setup = _Setup()


def configure(level: Level = "warning", format: Format = "console", **bound: Any) -> None:
    """Set up logging for this process: called once by whoever owns it. `bound` names go into every event.

    As JSON, what libraries, warnings and errors that nobody caught have to say are events too: each line is one.
    """
    _setup.level, _setup.format, _setup.bound = level, format, bound
    _writer.cache_clear()
    if format == "json":
        from streamer.log_others import take_in_others

        take_in_others()


def debug(event: str, **names: Any) -> None:
    """An event for whoever looks for a fault."""
    _write("debug", event, names)


def info(event: str, **names: Any) -> None:
    """An event of ordinary life."""
    _write("info", event, names)


def warning(event: str, **names: Any) -> None:
    """An event that an operator may want to look at; the work goes on."""
    _write("warning", event, names)


def error(event: str, **names: Any) -> None:
    """An event that ended some work."""
    _write("error", event, names)


def write(level: Level, event: str, **names: Any) -> None:
    """An event of a level that is known only when it happens."""
    _write(level, event, names)


def _write(level: Level, event: str, names: dict[str, Any]) -> None:
    if _RANK[level] >= _RANK[_setup.level]:
        getattr(_writer(), level)(event, **_setup.bound, **names)


@cache
def _writer() -> Any:
    import structlog

    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer()
        if _setup.format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    return structlog.wrap_logger(
        structlog.WriteLogger(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(_RANK[_setup.level]),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
    )
