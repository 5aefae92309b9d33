"""What a crowd does to the frames of quiet streams in one loop, on a clock that only the loop's own CPU time moves.

The real pipeline and the real batching policy, without the machine: whatever else runs on it takes wall time from a
process, but (caches aside) no CPU time. Frames arrive on the made-up clock at their stream's rate; each step moves it
on by the CPU seconds it took; records leave at the next flush. So the figures are those of a process that has a core to
itself.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from streamer.batching.collector import CROWD_FACES, Collector
from streamer.clock import SystemClock
from streamer.config import Config
from streamer.decode import open_source
from streamer.faces.track import Tracker
from streamer.pipeline import Models, Pipeline, StageTimes, StreamState
from streamer.sources import parse
from streamer.state.actor import StreamActor
from streamer.state.records import StreamContext
from streamer.types import Counters, Frame

LIVE_QUEUE_FRAMES = 2
WAVERING = 0.8
"""By how much of the time between two frames one may be late."""
_KEPT_FRAMES = 48


@dataclass(slots=True)
class Lane:
    """One stream: its pictures, over and over, each `every_s` from `first_s` on, give or take (`random`).

    Real sources waver; streams that kept step with each other and with the flush would measure how they met.
    """

    state: StreamState
    frames: Sequence[Frame]
    every_s: float
    first_s: float
    random: random.Random
    n_offered: int = 0
    dropped: int = 0
    latencies_s: list[float] = field(default_factory=list)

    next_s: float = 0.0

    def __post_init__(self) -> None:
        self._plan_next()

    def _plan_next(self) -> None:
        wavering_s = self.random.uniform(0.0, WAVERING * self.every_s)
        self.next_s = self.first_s + self.n_offered * self.every_s + wavering_s

    def next_frame(self) -> Frame:
        """The frame that arrives at `next_s`."""
        n, at_s = self.n_offered, self.next_s
        self.n_offered += 1
        self._plan_next()
        return replace(self.frames[n % len(self.frames)], index=n, pts=n, media_time_s=n * self.every_s, arrival_s=at_s)


class MadeUpLoop:
    """A child's loop on a clock of its own. With `passing` others go by in the middle of a crowd."""

    def __init__(self, models: Models, config: Config, lanes: Sequence[Lane], *, passing: bool) -> None:
        self._pipeline = Pipeline(models, config, StageTimes())
        self._collector: Collector[int, Frame] = Collector(config.batch.max_frames, config.batch.max_wait_s)
        self._lanes = lanes
        self._passing = passing
        self._flush_s = config.checkpoint.live_flush_s
        self._waiting: list[tuple[Lane, float]] = []
        self._since_s: float | None = None
        self._now_s = self._cpu_s = 0.0
        for number in range(len(lanes)):
            self._collector.open(number, "live", LIVE_QUEUE_FRAMES)

    def run(self, until_s: float) -> None:
        """Let that much time pass."""
        while self._now_s < until_s:
            self._arrive()
            due_s = self._collector.due_in_s(self._now_s)
            if due_s == 0.0:
                self._step(self._collector.take(self._now_s), passing=self._passing)
            else:
                nexts = [lane.next_s for lane in self._lanes]
                nexts += [self._now_s + due_s] if due_s is not None else []
                nexts += [self._since_s + self._flush_s] if self._since_s is not None else []
                self._now_s = max(self._now_s + 1e-6, min(nexts))
            self._flush()

    def _arrive(self) -> None:
        while (number := min(range(len(self._lanes)), key=lambda n: self._lanes[n].next_s)) is not None:
            lane = self._lanes[number]
            at_s = lane.next_s
            if at_s > self._now_s:
                return
            lane.dropped += self._collector.offer(number, lane.next_frame(), at_s) is not None

    def _step(self, taken: Sequence[tuple[int, Frame]], *, passing: bool) -> None:
        crowd = len(taken) == 1 and self._lanes[taken[0][0]].state.faces_now > CROWD_FACES
        self._cpu_s = time.thread_time()
        self._pipeline.step(
            [(self._lanes[number].state, frame) for number, frame in taken],
            between=(lambda: self._let_pass(taken[0][0])) if crowd and passing else None,
        )
        self._advance()
        for number, frame in taken:
            self._waiting.append((self._lanes[number], frame.arrival_s))
            self._collector.expect(number, self._lanes[number].state.faces_now)
        if self._since_s is None:
            self._since_s = self._now_s

    def _let_pass(self, crowd: int) -> None:
        self._advance()
        self._arrive()
        others = self._collector.take_passing((crowd,), self._now_s)
        if others:
            self._step(others, passing=False)
        self._flush()
        self._cpu_s = time.thread_time()

    def _advance(self) -> None:
        now_s = time.thread_time()
        self._now_s += now_s - self._cpu_s
        self._cpu_s = now_s

    def _flush(self) -> None:
        if self._since_s is not None and self._now_s >= self._since_s + self._flush_s:
            for lane, arrival_s in self._waiting:
                lane.latencies_s.append(self._now_s - arrival_s)
            self._waiting, self._since_s = [], None


def latencies_s(
    models: Models,
    config: Config,
    quiet: Path,
    crowd: Path | None,
    *,
    n_quiet: int,
    fps: int,
    lasts_s: float,
    passing: bool,
) -> tuple[list[float], int, list[float], int]:
    """Latencies and drops of the quiet streams, then of the crowd, where there is one."""
    pictures = _frames(quiet, config)
    lanes = [_lane(models, config, pictures, fps, number / n_quiet / fps, number) for number in range(n_quiet)]
    if crowd is not None:
        lanes.append(_lane(models, config, _frames(crowd, config), fps, 0.5 / n_quiet / fps, n_quiet))
    for lane in lanes:
        models.detector.prepare(lane.frames[0].picture.width, lane.frames[0].picture.height)
    MadeUpLoop(models, config, lanes, passing=passing).run(lasts_s)
    still = [one for lane in lanes[:n_quiet] for one in lane.latencies_s]
    others = [one for lane in lanes[n_quiet:] for one in lane.latencies_s]
    return still, sum(lane.dropped for lane in lanes[:n_quiet]), others, sum(lane.dropped for lane in lanes[n_quiet:])


def _frames(clip: Path, config: Config) -> list[Frame]:
    [source] = parse(str(clip), "archive")
    with open_source(source, config.decode, SystemClock()) as decoder:
        return list(islice(decoder, _KEPT_FRAMES))


def _lane(models: Models, config: Config, frames: Sequence[Frame], fps: int, first_s: float, number: int) -> Lane:
    counters = Counters()
    context = StreamContext(str(number), "bench", "bench", models.model_id, models.precision, "live")
    actor = StreamActor(context, config.state, models.head.needs, counters)
    return Lane(StreamState(Tracker(config.track), actor, counters), frames, 1 / fps, first_s, random.Random(number))  # noqa: S311
