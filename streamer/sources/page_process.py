"""`python -m streamer.sources.page_process`: one question on standard input, one answer on standard output.

Started by `page_asking`, for one page. Everything that a site can do to yt-dlp ends here.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import msgspec

from streamer.errors import SourceBroke, SourceError, SourceUnsupported
from streamer.sources.page_asking import Answer, Question, Refusal
from streamer.sources.pages import find_video
from streamer.sources.playlists import find_listed

ENDS_AFTER_S = 10.0
"""So long after the deadline it ends by itself: who asked has gone."""
_MOST_ANSWER_BYTES = 32 * 1024**2


def main() -> None:
    """Answer, and end."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what anything prints is no answer
    question = msgspec.json.decode(sys.stdin.buffer.read(), type=Question)
    _bound(question)
    with answers:
        answers.write(answer(question))


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


def _found(question: Question) -> Any:
    source, connect = question.source, question.connect
    if question.about == "video":
        return find_video(source, connect, question.now_s, guarded=question.guarded)
    return find_listed(source, connect)


def _refused(error: SourceError) -> bytes:
    return msgspec.json.encode(Answer(refusal=Refusal(error.cause, str(error))))


def _bound(question: Question) -> None:
    """Hold this process, and what it starts, to what the question allows, where the system can."""
    try:
        import resource  # not on Windows
    except ImportError:
        return
    # Not the address space: the solver of YouTube's scripts reserves much more of it than it uses.
    for what, most in ((resource.RLIMIT_DATA, question.most_bytes), (resource.RLIMIT_CORE, 0)):
        allowed = resource.getrlimit(what)[1]
        bound = most if allowed == resource.RLIM_INFINITY else min(most, allowed)
        resource.setrlimit(what, (bound, bound))
    signal.setitimer(signal.ITIMER_REAL, question.within_s + ENDS_AFTER_S)  # its signal ends the process


if __name__ == "__main__":
    main()
