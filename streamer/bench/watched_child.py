"""A child that notes when each live frame is where: that of `streamer run`, with a look at the seams between stages.

A file's frames arrive when their turn is, also where the decoder comes too late for it: a machine that falls behind
cannot hide that by having frames arrive later.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import psutil

from streamer.batching.exchange import Exchange
from streamer.bench.marks import ChildMarks, FrameMark, Sample
from streamer.decode.decoder import Decoder
from streamer.decode.pacing import FilePace, Pace
from streamer.types import Frame
from streamer.worker import child
from streamer.worker.connection import Connection
from streamer.worker.lane import Lane
from streamer.worker.latency import Arrival, Latencies
from streamer.worker.loop import Loop
from streamer.worker.outbox import Outbox

FOLDER = "STREAMER_BENCH_MARKS"
"""The variable that names the folder of the marks: a file for each child."""
_PUBLISHERS = ("publisher ", "spool")
_CLIENTS = "-network-thread"
_Method = TypeVar("_Method", bound=Callable[..., Any])


class Watch:
    """The marks, filled by wrapped methods: decoder threads begin one, the loop and the publisher go on with it."""

    def __init__(self) -> None:
        self.marks = ChildMarks()
        self._frames: dict[tuple[str, float], FrameMark] = {}

    def put(self, _: Any, connection: Connection, frame: Frame, *__: Any) -> None:
        """A decoder thread offers a frame."""
        mark = FrameMark(connection.work, frame.arrival_s, time.monotonic())
        self._frames[mark.work, mark.arrived_s] = mark
        self.marks.frames.append(mark)

    def took(self, taken: Sequence[tuple[Connection, Frame]]) -> None:
        """The loop takes a batch."""
        now_s = time.monotonic()
        if taken:
            self.marks.batches.append((now_s, len(taken)))
        for connection, frame in taken:
            if (mark := self._frames.get((connection.work, frame.arrival_s))) is not None:
                mark.taken_s = now_s

    def analysed(self, _: Outbox, lane: Lane, __: Any, arrival_s: float | None = None, ___: Any = None) -> None:
        """A frame's records are made, if there are any."""
        if arrival_s is not None and (mark := self._frames.get((lane.work, arrival_s))) is not None:
            mark.analysed_s = time.monotonic()

    def given(self, _: Latencies, __: int, arrivals: Sequence[Arrival]) -> None:
        """Records go to the bus."""
        now_s = time.monotonic()
        for arrival in arrivals:
            if (mark := self._frames.get((arrival.work, arrival.at_s))) is not None:
                mark.given_s = now_s

    def acknowledged(self, _: Latencies, arrivals: Sequence[Arrival], now_s: float) -> None:
        """The bus has them."""
        for arrival in arrivals:
            if (mark := self._frames.pop((arrival.work, arrival.at_s), None)) is not None:
                mark.acknowledged_s = now_s

    def ticked(self, loop: Loop) -> None:
        """A second has passed."""
        dropped: Counter[str] = Counter()
        decoded = 0
        for lane in loop._lanes.values():
            counters = lane.count()
            decoded += counters.decoded
            dropped.update(counters.dropped)
        spent = time.process_time(), loop._times.seconds.get("encode", 0.0) + publishing_s()
        self.marks.samples.append(Sample(time.monotonic(), spent[0], decoded, dict(dropped), spent[1]))


def publishing_s() -> float:
    """CPU seconds of the threads that bring records to the bus, those of the client for Kafka included."""
    ours = {
        thread.native_id
        for thread in threading.enumerate()
        if thread.name.startswith(_PUBLISHERS) or thread.name.endswith(_CLIENTS)
    }
    return sum(one.user_time + one.system_time for one in psutil.Process().threads() if one.id in ours)


def before(method: _Method, note: Callable[..., None]) -> _Method:
    """The method, with `note` called first with the same arguments."""

    @functools.wraps(method)
    def noted(*arguments: Any, **named: Any) -> Any:
        note(*arguments, **named)
        return method(*arguments, **named)

    return noted  # type: ignore[return-value]


def install(watch: Watch) -> None:
    """Put the watch into this process, which must not have begun."""
    patch: dict[tuple[type[Any], str], Callable[..., None]] = {
        (Exchange, "put"): watch.put,
        (Outbox, "add"): watch.analysed,
        (Latencies, "given"): watch.given,
        (Latencies, "_count"): watch.acknowledged,
        (Loop, "_tick"): watch.ticked,
    }
    for (owner, name), note in patch.items():
        setattr(owner, name, before(getattr(owner, name), note))
    take, take_passing, paced = Exchange.take, Exchange.take_passing, Decoder._paced

    def taking(exchange: Any, *arguments: Any, **named: Any) -> Any:
        batch, finished = take(exchange, *arguments, **named)
        watch.took(batch)
        return batch, finished

    def taking_passing(exchange: Any, *arguments: Any, **named: Any) -> Any:
        batch = take_passing(exchange, *arguments, **named)
        watch.took(batch)
        return batch

    def on_its_turn(decoder: Decoder, pace: Pace, media_time_s: float) -> float:
        now_s = paced(decoder, pace, media_time_s)
        return min(now_s, pace.due_s(media_time_s, now_s)) if isinstance(pace, FilePace) else now_s

    for owner, name, method in (
        (Exchange, "take", taking),
        (Exchange, "take_passing", taking_passing),
        (Decoder, "_paced", on_its_turn),
    ):
        setattr(owner, name, method)


def main() -> int:
    """Be a child, and leave the marks behind."""
    watch = Watch()
    install(watch)
    code = child.main()
    watch.marks.write(Path(os.environ[FOLDER]) / f"{os.getpid()}.marks")
    return code


if __name__ == "__main__":
    sys.exit(main())
