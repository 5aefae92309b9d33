"""The rows of the overview: what is shown of each stream, as plain values."""

from __future__ import annotations

from typing import Any

from streamer.bus.topics import partition_of
from streamer.source import redacted
from streamer.web.model import Model
from streamer.web.streams import StreamLife

Row = dict[str, Any]


def rows(model: Model) -> dict[str, Row]:
    """A row of each stream by its name, without its spark lines."""
    with model.lock:
        now_s = model.clock.wall_s()
        owners = owners_of(model)
        n = model.names.streams.partitions
        return {name: row(life, now_s, owners.get(partition_of(name, n))) for name, life in model.streams.items()}


def owner_of(model: Model, stream: str) -> str | None:
    """The worker in whose partition the stream lies."""
    return owners_of(model).get(partition_of(stream, model.names.streams.partitions))


def owners_of(model: Model) -> dict[int, str]:
    """Who owns which partition."""
    return {partition: member.name for member in model.workers().members for partition in member.partitions}


def row(life: StreamLife, now_s: float, worker: str | None) -> Row:
    """One stream. Seconds and probabilities are rounded to what can be seen, so that little changes."""
    status, wanted = life.status, life.definition
    present = life.present(now_s)
    dominant = life.dominant(now_s)
    mean = life.spark.mean(1) if present else None
    dropped = status.dropped if status is not None else {}
    return {
        "state": life.state(now_s),
        "note": note(life),
        "age_s": _age(life.frame_age_s(now_s)) if status is not None and status.state == "live" else None,
        "faces": len(present),
        "label": dominant[0] if dominant else None,
        "p": round(dominant[1], 2) if dominant else None,
        "low": bool(present) and dominant is None,
        "valence": round(mean[0], 2) if mean else None,
        "arousal": round(mean[1], 2) if mean else None,
        "fps": None if life.fps is None else round(life.fps, 1),
        "dropped": sum(dropped.values()),
        "drops": dict(sorted(dropped.items())),
        "worker": worker if wanted is not None else None,
        "defined": wanted is not None,
        "paused": wanted is not None and wanted.paused,
        "source": redacted(wanted.source) if wanted is not None else None,
    }


def note(life: StreamLife) -> str | None:
    """What is wrong or special with a stream, in a sentence without secrets."""
    if life.rejected is not None:
        return f"The newest definition was rejected: {life.rejected}"
    status, wanted = life.status, life.definition
    if status is None:
        return None if wanted is None or wanted.paused else "No worker has told anything of it lately."
    if wanted is not None and wanted.paused and status.state != "paused":
        return "It is to be paused."
    told = status.message or (status.cause.replace("_", " ") if status.cause else None)
    return redacted(told) if told else None


def sparks(model: Model, since: dict[str, int]) -> dict[str, list[list[float | int]]]:
    """By stream, the finished steps of its spark line that are newer than `since`, which is moved on.

    Each is [index of the step, valence, arousal]. A step that is not newer than those before begins the line anew.
    """
    found: dict[str, list[list[float | int]]] = {}
    with model.lock:
        for name, life in model.streams.items():
            if since.get(name, -1) > life.spark.newest:
                del since[name]  # the source's clock was set back
            new = [step for step in life.spark.since(since.get(name, -1) + 1) if step[0] < life.spark.newest]
            if new:
                since[name] = new[-1][0]
                found[name] = [[index, round(values[0], 2), round(values[1], 2)] for index, values in new]
        for name in [name for name in since if name not in model.streams]:
            del since[name]
    return found


def _age(age_s: float | None) -> float | None:
    if age_s is None:
        return None
    return round(age_s, 1) if age_s < 10 else float(round(age_s))
