"""A page is looked at in a process of its own: what a site makes of yt-dlp, no stream feels.

That process lives for one question. It has a deadline and so much memory; what it is asked comes on its standard input,
since anybody on the machine can read a command line; what comes back is what was found, or an error of a source. It is
`streamer.sources.page_process`.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from typing import Literal, TypeVar

import msgspec

from streamer.config import ConnectSettings
from streamer.errors import SourceBroke, SourceError, SourceUnreachable, SourceUnsupported
from streamer.source import Source

VIDEO_WITHIN_S = 50.0
"""Below what the watch allows the thread that waits for it: that is not left behind for a site that is slow."""
LIST_WITHIN_S = 600.0
"""A channel has thousands of videos, on pages of a hundred."""
MOST_BYTES = 1024**3
"""Of data. yt-dlp needs 50 MB; its solver of YouTube's scripts, which is a program of its own, some hundred."""

COMMAND = (sys.executable, "-W", "ignore", "-m", "streamer.sources.page_process")
_Found = TypeVar("_Found")


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be looked for: the `video` in the page of `source`, or what it lists.

    `now_s` is the wall clock. The process ends itself a little after `within_s`, should nobody be left who would.
    """

    about: Literal["video", "list"]
    source: Source
    connect: ConnectSettings
    now_s: float = 0.0
    guarded: bool = False
    within_s: float
    most_bytes: int


class Refusal(msgspec.Struct, frozen=True):
    """A `SourceError`."""

    cause: str
    message: str


class Answer(msgspec.Struct, frozen=True):
    """What was found, or why nothing was."""

    found: msgspec.Raw = msgspec.Raw(b"null")
    refusal: Refusal | None = None


def asked(
    about: Literal["video", "list"],
    source: Source,
    connect: ConnectSettings,
    kind: type[_Found],
    *,
    now_s: float = 0.0,
    guarded: bool = False,
) -> _Found:
    """What a process of its own finds in the page of `source`. Blocks for as long as that takes.

    Raises the `SourceError` that it ends with, `SourceUnsupported` where yt-dlp is not installed or the process dies of
    the page, `SourceUnreachable` where it is not done in time or cannot be started.
    """
    if importlib.util.find_spec("yt_dlp") is None:
        raise SourceUnsupported(
            f"{source.name} is a page, which needs yt-dlp to be read: pip install 'affect-streamer[youtube]'."
        )
    within_s = VIDEO_WITHIN_S if about == "video" else LIST_WITHIN_S
    question = Question(
        about=about,
        source=source,
        connect=connect,
        now_s=now_s,
        guarded=guarded,
        within_s=within_s,
        most_bytes=MOST_BYTES,
    )
    said, exit_code = said_to(msgspec.json.encode(question), source.name, within_s)
    try:
        answer = msgspec.json.decode(said, type=Answer)
        found = None if answer.refusal is not None else msgspec.json.decode(answer.found, type=kind)
    except msgspec.MsgspecError as error:
        raise SourceUnsupported(
            f"{source.name} is too much for yt-dlp, whose process ended ({exit_code}): give the video's address."
        ) from error
    if answer.refusal is not None:
        raise _error_of(answer.refusal)
    assert found is not None, "an answer is one of the two"
    return found


def said_to(question: bytes, name: str, within_s: float) -> tuple[bytes, int]:
    """What a process says to a question about the page `name`, and its exit code. Raises `SourceUnreachable`."""
    try:
        process = subprocess.Popen(
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # it may start programs of its own, which are to end with it
        )
    except OSError as error:
        raise SourceUnreachable(
            f"no process could be started to look at {name} ({error.strerror}): it is tried again."
        ) from error
    with process:
        try:
            said, _ = process.communicate(question, within_s)
        except subprocess.TimeoutExpired as error:
            raise SourceUnreachable(f"{name} was not read within {within_s:g} s: check the address.") from error
        finally:
            _end(process)
    return said, process.returncode


def _end(process: subprocess.Popen[bytes]) -> None:
    """Whatever is left of it, and of what it started."""
    if not hasattr(os, "killpg"):
        process.kill()
        return
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # nothing is left (macOS says the latter of what has just ended)
        pass


def _error_of(refusal: Refusal) -> SourceError:
    """As the class that has its cause."""
    kinds = {kind.cause: kind for kind in SourceError.__subclasses__()}
    return kinds.get(refusal.cause, SourceBroke)(refusal.message)
