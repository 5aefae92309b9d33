"""A page is looked at in a process of its own: what a site makes of yt-dlp, no stream feels.

That process lives for one question. It has a deadline and so much memory, and what comes back is what was found or an
error of a source. It is forked from one that has yt-dlp loaded, since loading it takes seconds of computing: see
`page_process`. What is asked comes over a socket, since anybody on the machine can read a command line.
"""

from __future__ import annotations

import atexit
import importlib.util
import socket
import subprocess
import sys
import threading
import time
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
"""Of data. yt-dlp needs 100 MB; its solver of YouTube's scripts, which is a program of its own, some hundred."""
BEGUN = b"+"
"""Said by a process before anything else: it has taken up the question."""

COMMAND = (sys.executable, "-W", "ignore", "-m", "streamer.sources.page_process")
_LEAVES_WITHIN_S = 5.0
_Found = TypeVar("_Found")


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be looked for: the `video` in the page of `source`, or what it lists.

    `now_s` is the wall clock. The process is ended after `within_s`, and may have `most_bytes` of data.
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
    said = said_to(msgspec.json.encode(question), source.name, within_s)
    try:
        answer = msgspec.json.decode(said, type=Answer)
        found = None if answer.refusal is not None else msgspec.json.decode(answer.found, type=kind)
    except msgspec.MsgspecError as error:
        raise SourceUnsupported(
            f"{source.name} is too much for yt-dlp, whose process died of it: give the address of the video itself."
        ) from error
    if answer.refusal is not None:
        raise _error_of(answer.refusal)
    assert found is not None, "an answer is one of the two"
    return found


def said_to(question: bytes, name: str, within_s: float) -> bytes:
    """What a process says to a question about the page `name`; cut off where it dies. Raises `SourceUnreachable`."""
    until_s = time.monotonic() + within_s
    for _ in range(2):  # the one that forks may just have ended, having had nothing to do
        said, forker = bytearray(), None
        try:
            answers, forker = _forker.connection()
            with answers:
                answers.settimeout(within_s)
                answers.sendall(question)
                answers.shutdown(socket.SHUT_WR)
                _read(answers, until_s, said)
        except TimeoutError as error:
            if not said:
                _forker.end(forker)  # it is stuck
            raise SourceUnreachable(f"{name} was not read within {within_s:g} s: check the address.") from error
        except OSError:  # it is gone, or cannot be started
            pass
        if said:
            return bytes(said).removeprefix(BEGUN)
        _forker.end(forker)
    raise SourceUnreachable(f"no process could be started to look at {name}: it is tried again.")


def _read(answers: socket.socket, until_s: float, said: bytearray) -> None:
    """Put what comes into `said`, to its end. Raises `OSError`."""
    while True:
        answers.settimeout(max(0.001, until_s - time.monotonic()))
        chunk = answers.recv(1024**2)
        if not chunk:
            return
        said += chunk


class _Forker:
    """The process that forks, started when it is needed; any thread may ask for a connection to a new fork of it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def connection(self) -> tuple[socket.socket, subprocess.Popen[bytes]]:
        """What takes a question and gives an answer, and who made it. Raises `OSError`."""
        ours, theirs = socket.socketpair()
        try:
            with theirs, self._lock:
                if self._process is None or self._process.poll() is not None:
                    self._start()
                assert self._control is not None
                assert self._process is not None
                try:
                    socket.send_fds(self._control, [BEGUN], [theirs.fileno()])
                except OSError:
                    self._end(0.0)
                    raise
                return ours, self._process
        except OSError:
            ours.close()
            raise

    def end(self, process: subprocess.Popen[bytes] | None) -> None:
        """Have the next question start another one than this. What it has forked goes on."""
        with self._lock:
            if process is not None and process is self._process:
                self._end(0.0)

    def close(self, timeout_s: float = _LEAVES_WITHIN_S) -> None:
        """Have it end, or end it."""
        with self._lock:
            self._end(timeout_s)

    def _end(self, timeout_s: float) -> None:
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._control = self._process = None

    def _start(self) -> None:
        self._end(0.0)  # one that has ended leaves its socket
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                (*COMMAND, str(theirs.fileno())),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # Ctrl-C is for who asks
            )


_forker = _Forker()
atexit.register(_forker.close)


def _error_of(refusal: Refusal) -> SourceError:
    """As the class that has its cause."""
    kinds = {kind.cause: kind for kind in SourceError.__subclasses__()}
    return kinds.get(refusal.cause, SourceBroke)(refusal.message)
