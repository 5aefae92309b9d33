"""`python -m streamer.sources.page_process FD`: forks a process for each question about a page.

Started by `page_asking`, which sends over the socket FD one end of another for each question. This process has yt-dlp
loaded and looks at nothing itself; everything that a site can do to yt-dlp ends with a fork. It ends when nobody holds
the other end of FD any more, or has asked anything for a while.
"""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import select
import signal
import socket
import sys
from typing import Any

import msgspec

from streamer.errors import SourceBroke, SourceError, SourceUnsupported
from streamer.sources.page_asking import BEGUN, Answer, Question, Refusal
from streamer.sources.pages import find_video
from streamer.sources.playlists import find_listed

IDLE_S = 300.0
ENDS_AFTER_S = 1.0
"""So long after the deadline a fork ends: who asked has gone."""
_MOST_ANSWER_BYTES = 32 * 1024**2


def main(control: socket.socket) -> None:
    """Fork for each question, until there are none."""
    signal.signal(signal.SIGCHLD, lambda *_: _bury())
    _warm_up()
    while select.select([control], [], [], IDLE_S)[0]:
        said, connections, _, _ = socket.recv_fds(control, 1, 1)
        if not said:
            return
        for connection in connections:
            with contextlib.suppress(OSError):  # no room for a process: who asked sees the connection close
                if os.fork() == 0:
                    control.close()
                    _serve(connection)
            os.close(connection)


def answer(question: Question) -> bytes:
    """What was found, or why nothing was: an `Answer` as JSON."""
    name = question.source.name
    try:
        said = msgspec.json.encode(Answer(found=msgspec.Raw(msgspec.json.encode(_found(question)))))
    except SourceError as error:
        return _refused(error)
    except MemoryError:
        pass  # what took it is freed behind this clause
    except Exception as error:
        return _refused(SourceBroke(f"{name} could not be looked at ({type(error).__name__}): report it."))
    else:
        if len(said) <= _MOST_ANSWER_BYTES:
            return said
        return _refused(SourceUnsupported(f"{name} lists more than can be read at once: give parts of it."))
    most = question.most_bytes // 1024**2
    return _refused(SourceUnsupported(f"{name} takes more than {most} MB to read: give the address of the video."))


def _serve(connection: int) -> None:
    """Answer one question, and end. Never returns."""
    try:
        os.setsid()  # what it starts is ended with it
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        with socket.socket(fileno=connection) as answers:
            answers.sendall(BEGUN)
            asked = bytearray()
            while chunk := answers.recv(65536):
                asked += chunk
            question = msgspec.json.decode(asked, type=Question)
            _bound(question)
            answers.sendall(answer(question))
    finally:
        os._exit(0)


def _found(question: Question) -> Any:
    source, connect = question.source, question.connect
    if question.about == "video":
        return find_video(source, connect, question.now_s, guarded=question.guarded)
    return find_listed(source, connect)


def _refused(error: SourceError) -> bytes:
    return msgspec.json.encode(Answer(refusal=Refusal(error.cause, str(error))))


def _bound(question: Question) -> None:
    """Hold this fork, and what it starts, to what the question allows."""
    # Not the address space: the solver of YouTube's scripts reserves much more of it than it uses.
    for what, most in ((resource.RLIMIT_DATA, question.most_bytes), (resource.RLIMIT_CORE, 0)):
        allowed = resource.getrlimit(what)[1]
        bound = most if allowed == resource.RLIM_INFINITY else min(most, allowed)
        resource.setrlimit(what, (bound, bound))
    signal.setitimer(signal.ITIMER_REAL, question.within_s + ENDS_AFTER_S)  # its signal ends it, whatever it is at


def _bury() -> None:
    """Of forks that have ended: end what they started, and forget them."""
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(ended.si_pid, signal.SIGKILL)  # its number is nobody else's before the next line
            os.waitpid(ended.si_pid, 0)


def _warm_up() -> None:
    """Load yt-dlp with all that it knows of sites, which is most of what a question would cost."""
    import yt_dlp

    for extractor in yt_dlp.extractor.gen_extractor_classes():
        with contextlib.suppress(Exception):  # one that is broken is its site's matter
            extractor.suitable("https://example.invalid/")
            _ = extractor.extract_from_webpage  # what is asked of all of them about a page of an unknown site
    gc.freeze()


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
