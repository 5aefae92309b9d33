"""Streams in words: the rows of `streamer streams list`, the lines of `watch`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from streamer.cli.words import counted
from streamer.progress import printable
from streamer.wishes.views import Happening, StreamView


def header(*, workers: bool) -> list[str]:
    """The names of the columns."""
    return ["stream", "state", "heard", "epoch", "settings", *(["worker"] if workers else []), "source"]


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
        ", ".join(_set(asdict(one))) or "-",
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
    said = [printable(str(details["source"])), *_set(details)]
    if details["model"]:
        said.append(f"model {printable(str(details['model']))}")
    said += [name for name in ("paused", "repeat") if details[name]]
    return "defined: " + ", ".join(said)


def _set(settings: Mapping[str, Any]) -> list[str]:
    """What is set of how much of a stream is looked at, and how urgent it is; not what is left to the worker."""
    said = []
    if settings["sample_fps"] is not None:
        said.append(f"{settings['sample_fps']:g} fps")
    if (only := settings["keyframes_only"]) is not None:
        said.append("key frames" if only else "every frame")
    if (most := settings["max_faces"]) is not None:
        said.append(counted(most, "face") if most else "every face")
    if settings["priority"]:
        said.append(f"priority {settings['priority']}")
    return said


def _flat(text: str) -> str:
    return printable(" ".join(text.split()))


_WORDS: dict[str, Callable[[Happening], str]] = {"defined": _definition_words}
