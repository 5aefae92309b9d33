"""A child process: `python -m streamer.worker.child`, started by the supervisor with a pipe on its standard streams."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from engines.runtime.background import BACKGROUND
from streamer import faults, log
from streamer.clock import SystemClock
from streamer.errors import BusError, ModelError
from streamer.pipeline import Models
from streamer.worker.link import Fatal, Link, LinkClosed, Ready, Start, ToChild
from streamer.worker.loop import Loop

FAULT = "STREAMER_FAULT"
FAULT_ONCE = "STREAMER_FAULT_ONCE"


def main() -> int:
    """Run as a child of the supervisor: its pipe is our standard input and output."""
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, signal.SIG_IGN)  # the supervisor drains us
    _arm(os.environ)
    # Libraries print where they like: the pipe moves to another descriptor and standard output joins standard error.
    pipe = os.dup(1)
    os.dup2(2, 1)
    # Unbuffered: a buffered reader would hold a lock that the interpreter wants when it ends after a failure.
    link = Link(os.fdopen(0, "rb", buffering=0), os.fdopen(pipe, "wb"))
    try:
        start = link.receive(ToChild)  # type: ignore[arg-type]
        assert isinstance(start, Start)
        _prepare_process(start)
        return _work(start, link)
    except LinkClosed:
        return 1
    except Exception:
        log.error("child.broke", exc_info=True)  # the supervisor sees the exit and starts another
        return 1


def _work(start: Start, link: Link) -> int:
    try:
        begun_s = SystemClock().monotonic_s()
        models = Models.open(start.config, Path(start.cache) if start.cache else None, at_once=False)
        loop = Loop(start, link, models)
        load_s = SystemClock().monotonic_s() - begun_s
        gc.freeze()  # what is there now stays: nobody need look through it for garbage again and again
        link.send(Ready(precision=models.precision, device=models.device, load_s=load_s))
        threading.Thread(target=_listen, args=(link, loop), name="link", daemon=True).start()
        if not loop.run():
            return 1
    except (BusError, ModelError) as error:
        link.send(Fatal(cause=error.cause, message=str(error)))
        return 1
    finally:
        BACKGROUND.drop()  # the interpreter would wait for it
    return 0


def _listen(link: Link, loop: Loop) -> None:
    """Take the supervisor's messages until its pipe closes; then end this process at once."""
    try:
        while True:
            loop.tell(link.receive(ToChild))  # type: ignore[arg-type]
    except LinkClosed:
        os._exit(1)  # nobody owns this process any more; what is not committed is redone by its successor


def _arm(environment: Mapping[str, str]) -> None:
    """For tests: die where `STREAMER_FAULT` says (`commit.records:3`; `worker!` before it takes the supervisor along).

    With `STREAMER_FAULT_ONCE`, a path, only the first process that makes the file there is armed.
    """
    spec, once = environment.get(FAULT), environment.get(FAULT_ONCE)
    if spec is None:
        return
    if once is not None:
        try:
            os.close(os.open(once, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            return
    faults.arm(spec.removeprefix("worker!"), with_parent=spec.startswith("worker!"))


def _prepare_process(start: Start) -> None:
    import cv2

    log.configure(start.log_level, start.log_format, child=start.child)
    cv2.setNumThreads(1)  # one process a core


if __name__ == "__main__":
    sys.exit(main())
