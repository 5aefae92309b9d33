"""What a page asks to be done, from its message to a sentence that answers it."""

from __future__ import annotations

from typing import Literal

import msgspec

from streamer.errors import StreamerError, UsageError
from streamer.messages import JOB_OVER, StreamDefinition
from streamer.source import redacted
from streamer.web.changes import Changes
from streamer.web.model import Model


class Act(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A message from a page, which may be anything: it is checked here."""

    what: Literal["add", "pause", "resume", "remove", "cancel"]
    stream: str = ""
    source: str = ""
    sample_fps: float | None = None
    max_faces: int | None = None
    priority: int = 0
    repeat: bool = False
    paused: bool = False
    batch: str = ""
    job: str = ""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Whether it was done, and a sentence without secrets."""

    what: str
    ok: bool
    text: str


def done(message: object, model: Model, changes: Changes) -> Answer:
    """Do what a page asks. Blocks while the bus is written to; raises nothing."""
    try:
        act = msgspec.convert(message, Act)
    except msgspec.ValidationError as error:
        what = str(message.get("what", "")) if isinstance(message, dict) else ""
        return Answer(what=what, ok=False, text=f"That cannot be meant: {redacted(str(error))}.")
    try:
        return Answer(what=act.what, ok=True, text=_done(act, model, changes))
    except StreamerError as error:
        text = redacted(str(error))
        return Answer(what=act.what, ok=False, text=text[:1].upper() + text[1:].rstrip(".") + ".")


def _done(act: Act, model: Model, changes: Changes) -> str:
    if act.what == "cancel":
        return _cancelled(act, model, changes)
    if not model.has_fleet():
        raise UsageError("no worker of a fleet is on this bus: streams cannot be changed from here.")
    match act.what:
        case "add":
            changes.add(
                StreamDefinition(
                    stream=act.stream,
                    source=act.source,
                    sample_fps=act.sample_fps,
                    max_faces=act.max_faces,
                    priority=act.priority,
                    repeat=act.repeat,
                    paused=act.paused,
                )
            )
            return f"{act.stream} is added: a worker takes it up as soon as one has room."
        case "remove":
            changes.remove(act.stream)
            return f"{act.stream} is removed."
        case _:
            changes.pause(act.stream, act.what == "pause")
            return f"{act.stream} is to be {'paused' if act.what == 'pause' else 'watched again'}."


def _cancelled(act: Act, model: Model, changes: Changes) -> str:
    with model.lock:
        jobs = model.wanted.board.jobs().values()
        meant = [job for job in jobs if job.status.job == act.job or (not act.job and job.status.batch == act.batch)]
    if not meant:
        raise UsageError(f"there is no job or batch {act.job or act.batch} on this bus.")
    n = changes.cancel([job for job in meant if job.status.state not in JOB_OVER])
    return f"{n} job{'' if n == 1 else 's'} to be cancelled." if n else "All of it is over already."
