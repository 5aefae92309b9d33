"""A hand: `python -m streamer.worker.hand`, a process that looks at a file's frames for a child, on a core to spare.

It knows nothing of streams: frames come in memory that both share, and what the networks say of them goes back.
"""

from __future__ import annotations

import mmap
import os
import signal
import sys
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from streamer import log
from streamer.clock import SystemClock
from streamer.errors import ModelError
from streamer.pipeline import Models, Pipeline, StageTimes
from streamer.pixels.packing import unpack
from streamer.types import Frame, UInt8Array
from streamer.worker.hand_link import Begin, HandReady, Look, Prepare, Seen, SentFrame, ToHand, sent
from streamer.worker.link import Link, LinkClosed


def main() -> int:
    """Look at what is asked until nobody asks any more: our pipe is our standard input and output."""
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, signal.SIG_IGN)  # whoever asks drains, and closes the pipe
    pipe = os.dup(1)
    os.dup2(2, 1)
    link = Link(os.fdopen(0, "rb", buffering=0), os.fdopen(pipe, "wb"))
    try:
        begin = link.receive(ToHand)  # type: ignore[arg-type]
        assert isinstance(begin, Begin)
        log.configure(begin.log_level, begin.log_format, child=begin.child)
        cv2.setNumThreads(1)  # one process a core
        _work(begin, link)
    except LinkClosed:
        return 0
    except ModelError as error:
        log.warning("hand.no_models", reason=str(error))
        return 1
    except Exception:
        log.error("hand.broke", exc_info=True)  # the child sees the exit and goes on alone
        return 1
    return 0


def _work(begin: Begin, link: Link) -> None:
    times, clock = StageTimes(), SystemClock()
    models = Models.open(begin.config, Path(begin.cache) if begin.cache else None)
    pipeline = Pipeline(models, begin.config, times)
    memory: UInt8Array = np.zeros(0, np.uint8)
    link.send(HandReady())
    while True:
        asked = link.receive(ToHand)  # type: ignore[arg-type]
        match asked:
            case Prepare():
                pipeline.prepare((asked.width, asked.height))
                link.send(HandReady())
            case Look():
                begun_s = clock.monotonic_s()
                if asked.n_bytes > len(memory):
                    memory = np.frombuffer(mmap.mmap(begin.memory, asked.n_bytes, prot=mmap.PROT_READ), np.uint8)
                times.seconds.clear()
                frames = [_frame(one, memory, index) for index, one in enumerate(asked.frames)]
                answers = tuple(sent(one) for one in pipeline.look(frames))
                link.send(Seen(sights=answers, wall_s=clock.monotonic_s() - begun_s, stage_s=dict(times.seconds)))


def _frame(one: SentFrame, memory: UInt8Array, index: int) -> Frame:
    picture = unpack(one.picture, memory)
    return Frame("", index, one.segment, index, Fraction(1), one.media_time_s, None, "none", 0.0, picture)


if __name__ == "__main__":
    sys.exit(main())
