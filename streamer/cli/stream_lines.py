"""Streams in words: the rows of `streamer streams list`, the lines of `watch`."""

from __future__ import annotations

import time
from collections.abc import Callable

from streamer.fleet.views import Happening, StreamView
from streamer.progress import printable


def header(*, workers: bool) -> list[str]:
    """The names of the columns."""
    return ["stream", "state", "heard", "epoch", "fps", "priority", *(["worker"] if workers else []), "source"]


def row(one: StreamView, *, workers: bool) -> list[str]:
    """A stream as cells of a table, in the order of `header`."""
    state = "silent" if one.state is None else one.state.replace("_", " ")
    if one.paused and one.state != "paused":
        state = "paused" if one.state is None else f"{state}, to be paused"
    reason = one.message or one.cause
    return [
        printable(one.stream),
        state,
        "-" if one.status_age_s is None else f"{one.status_age_s:.0f} s ago",
        "-" if one.epoch is None else str(one.epoch),
        "all" if one.sample_fps is None else f"{one.sample_fps:g}",
        str(one.priority),
        *([printable(one.worker or "-")] if workers else []),
        printable(one.source) + (f"  ({_flat(reason)})" if reason else ""),
    ]


def as_json(happening: Happening) -> dict[str, object]:
    """What happened, flat."""
    return {"time_s": happening.time_s, "stream": happening.stream, "what": happening.what, **happening.details}


def line(happening: Happening) -> str:
    """What happened, for people: when, to which stream, what and why."""
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(happening.time_s))
    return f"{at}  {printable(happening.stream)}  {_WORDS.get(happening.what, _state_words)(happening)}"


def _state_words(happening: Happening) -> str:
    reason = happening.details.get("message") or happening.details.get("cause")
    state = happening.what.replace("_", " ")
    if reason and str(reason).startswith(state):
        return _flat(str(reason))
    return state + (f": {_flat(str(reason))}" if reason else "")


def _definition_words(happening: Happening) -> str:
    details = happening.details
    said = [printable(str(details["source"]))]
    numbers = ("sample_fps", "max_faces", "model", "priority")
    said += [f"{name} {details[name]}" for name in numbers if details.get(name)]
    said += [name for name in ("keyframes_only", "paused", "repeat") if details.get(name)]
    return "defined: " + ", ".join(said)


def _flat(text: str) -> str:
    return printable(" ".join(text.split()))


_WORDS: dict[str, Callable[[Happening], str]] = {"defined": _definition_words}
