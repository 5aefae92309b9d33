"""One child of a worker in virtual time: decoder threads, the loop under the real batching policy, the publisher.

Discrete events on one clock. Threads share the child's cores (`SharedProcessor`); which frames go into a batch, which
are dropped and when a batch is due is asked of `streamer.batching.collector.Collector` itself.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count

from streamer.batching.collector import CROWD_FACES, LIVE_QUEUE_FRAMES, Collector
from streamer.config import Config
from streamer.pipeline import SLICE_FACES
from streamer.plan.load import Bill, StreamLoad
from streamer.plan.processor import SharedProcessor

JITTER = 0.1
"""A paced camera's frames come early or late by so much of their distance at most."""
BEHIND_S = 1.0
"""A frame that has waited longer than that for its decoder when the time is over is counted as lost."""
LOSSES = ("queue_full", "late", "behind")
"""Causes of drops that nobody asked for; `sample_rate` and `budget` were."""


@dataclass(frozen=True, slots=True)
class ChildOutcome:
    """What happened after the warm-up, in `seconds` of virtual time.

    `wanted` frames came that were to be analysed, `analysed` were. `cpu_s` is the work of all threads and what the
    child costs by the second, `loop_s` the loop's alone. `dropped` is by cause. `ready_s` are the latencies of analysed
    frames from their arrival to their records, `sent_s` those to the records' acknowledgement (of frames with faces).
    """

    seconds: float
    cores: float
    wanted: int
    analysed: int
    cpu_s: float
    loop_s: float
    batches: int
    dropped: dict[str, int]
    ready_s: tuple[float, ...]
    sent_s: tuple[float, ...]

    @property
    def lost_share(self) -> float:
        """Frames lost, as a share of those wanted."""
        return sum(self.dropped.get(cause, 0) for cause in LOSSES) / self.wanted if self.wanted else 0.0

    @property
    def utilisation(self) -> float:
        """The share of its cores that was used."""
        return self.cpu_s / (self.seconds * self.cores)


@dataclass(slots=True)
class _Frame:
    stream: int
    arrival_s: float
    media_s: float
    faces: int


@dataclass(slots=True)
class _Stream:
    """`packets` wait for the decoder, which is at work on `decoding`."""

    load: StreamLoad
    phase_s: float
    decode_s: float
    resize_s: float
    n: int = 0
    next_s: float = 0.0
    packets: deque[tuple[float, float]] = field(default_factory=deque)
    decoding: tuple[float, float] | None = None
    sampled: int = -1
    searched: int = -1
    faces_now: int = 0


@dataclass(slots=True)
class _Decode:
    stream: int


@dataclass(slots=True)
class _Step:
    """A slice of the loop's present batch."""

    work_s: float


@dataclass(slots=True)
class _Publish:
    arrivals: list[float]


class Child:
    """Constructed for one run: `run` may be called once. `cores` are this child's share of the machine's.

    The same `rng` gives the same outcome.
    """

    def __init__(
        self, bill: Bill, loads: Sequence[StreamLoad], config: Config, *, cores: float, rng: random.Random
    ) -> None:
        self._bill = bill
        self._config = config
        self._rng = rng
        costs = bill.costs
        self._cores = cores
        self._standing_s = costs.child_s + len(loads) * costs.stream_s
        self._processor: SharedProcessor[_Decode | _Step | _Publish] = SharedProcessor(
            max(1e-3, cores - self._standing_s)
        )
        self._collector: Collector[int, _Frame] = Collector(
            config.batch.max_frames, config.batch.max_wait_s, config.frames.late_s
        )
        self._streams = []
        for number, load in enumerate(loads):
            phase_s = rng.random() / load.fps
            self._streams.append(_Stream(load, phase_s, bill.decode_s(load), bill.resize_s(load)))
            self._collector.open(number, "live", LIVE_QUEUE_FRAMES)
        self._events: list[tuple[float, int, int]] = []  # time, number, stream or _LOOK
        self._numbers = count()
        self._work: Iterator[float] | None = None
        self._look_s = math.inf
        self._unsent: list[float] = []
        self._unsent_since_s = math.inf
        self._to_publish: deque[_Publish] = deque()
        self._publishing = False
        self._now_s = self._warm_s = 0.0
        self._loop_s = 0.0
        self._counts: Counter[str] = Counter()
        self._ready_s: list[float] = []
        self._sent_s: list[float] = []

    def run(self, duration_s: float, warm_s: float = 2.0) -> ChildOutcome:
        """Let `warm_s + duration_s` pass and say what happened in the last `duration_s`."""
        self._warm_s = warm_s
        end_s = warm_s + duration_s
        for number in range(len(self._streams)):
            self._expect_arrival(number)
        worked_before_s: float | None = None
        while True:
            job_s = self._processor.next_s()
            event_s = self._events[0][0] if self._events else math.inf
            now_s = min(job_s, event_s)
            if worked_before_s is None and now_s >= warm_s:
                self._processor.advance(min(warm_s, now_s))
                worked_before_s = self._processor.worked_s
            if now_s > end_s:
                break
            self._now_s = now_s
            if job_s <= event_s:
                self._done(self._processor.finish(now_s))
            else:
                _, _, what = heapq.heappop(self._events)
                if what == _LOOK:
                    self._look_on_time()
                else:
                    self._arrive(what)
        self._processor.advance(end_s)
        return self._outcome(duration_s, end_s, self._processor.worked_s - (worked_before_s or 0.0))

    def _outcome(self, duration_s: float, end_s: float, worked_s: float) -> ChildOutcome:
        counts = self._counts
        behind = sum(
            arrival_s >= self._warm_s and arrival_s < end_s - BEHIND_S
            for stream in self._streams
            for arrival_s, _ in stream.packets
        )
        dropped = {cause: counts[cause] for cause in ("queue_full", "late", "sample_rate", "budget") if counts[cause]}
        if behind:
            dropped["behind"] = behind
        return ChildOutcome(
            seconds=duration_s,
            cores=self._cores,
            wanted=counts["arrived"] - counts["sample_rate"],
            analysed=counts["analysed"],
            cpu_s=worked_s + self._standing_s * duration_s,
            loop_s=self._loop_s,
            batches=counts["batches"],
            dropped=dropped,
            ready_s=tuple(self._ready_s),
            sent_s=tuple(self._sent_s),
        )

    def _count(self, what: str, arrival_s: float, n: int = 1) -> None:
        if arrival_s >= self._warm_s:
            self._counts[what] += n

    # -- frames come and are decoded --------------------------------------------------------------------------

    def _expect_arrival(self, number: int) -> None:
        stream = self._streams[number]
        period_s = 1 / stream.load.fps
        if stream.load.pattern == "poisson":
            stream.next_s += self._rng.expovariate(stream.load.fps)
            at_s = stream.next_s
        else:
            at_s = stream.phase_s + stream.n * period_s + self._rng.uniform(0, JITTER) * period_s
        heapq.heappush(self._events, (at_s, next(self._numbers), number))

    def _arrive(self, number: int) -> None:
        stream = self._streams[number]
        media_s = stream.n / stream.load.fps
        stream.n += 1
        self._count("arrived", self._now_s)
        stream.packets.append((self._now_s, media_s))
        if stream.decoding is None:
            self._decode(number)
        self._expect_arrival(number)

    def _decode(self, number: int) -> None:
        stream = self._streams[number]
        stream.decoding = stream.packets.popleft()
        self._processor.begin(_Decode(number), stream.decode_s, self._now_s)

    def _decoded(self, number: int) -> None:
        stream = self._streams[number]
        assert stream.decoding is not None, "what was decoded had begun"
        (arrival_s, media_s), stream.decoding = stream.decoding, None
        if stream.packets:
            self._decode(number)
        rate = stream.load.sample_fps
        if rate is not None:
            interval = int(media_s * rate + 1e-9)
            if interval == stream.sampled:
                self._count("sample_rate", arrival_s)
                return
            stream.sampled = interval
        frame = _Frame(number, arrival_s, media_s, self._faces(stream.load.faces, arrival_s))
        dropped = self._collector.offer(number, frame, self._now_s, arrival_s)
        if dropped is not None:
            self._count("queue_full", dropped.arrival_s)
        if self._work is None:
            self._look()

    def _faces(self, mean: float, arrival_s: float) -> int:
        """How many faces a frame shows: whole numbers around the mean."""
        n = int(mean) + (self._rng.random() < mean % 1)
        most = self._config.frames.max_faces
        if most and n > most:
            self._count("budget", arrival_s, n - most)
            return most
        return n

    # -- the loop ---------------------------------------------------------------------------------------------

    def _look_on_time(self) -> None:
        if self._work is None and self._now_s >= self._look_s:
            self._look()

    def _look(self) -> None:
        """The loop has nothing to do: send what is due, take a batch, or wait."""
        self._send_on_time()
        due_in_s = self._collector.due_in_s(self._now_s)
        if due_in_s == 0.0:
            batch = self._collector.take(self._now_s)
            self._count_late()
            if batch:
                self._work = self._analyse([frame for _, frame in batch])
                self._go_on()
                return
            due_in_s = self._collector.due_in_s(self._now_s)
        due_s = min(
            math.inf if due_in_s is None else self._now_s + max(due_in_s, 1e-6),
            self._unsent_since_s + self._config.checkpoint.live_flush_s,
        )
        if due_s < self._look_s or self._look_s <= self._now_s:
            self._look_s = due_s
            if due_s < math.inf:
                heapq.heappush(self._events, (due_s, next(self._numbers), _LOOK))

    def _go_on(self) -> None:
        """The next slice of the batch, or, when it is over, a look at what to do."""
        assert self._work is not None, "a batch is being worked on"
        work_s = next(self._work, None)
        if work_s is None:
            self._work = None
            self._look()
            return
        self._processor.begin(_Step(work_s), work_s, self._now_s)

    def _analyse(self, frames: Sequence[_Frame], *, may_wait: bool = True) -> Iterator[float]:
        """CPU seconds of a batch, slice by slice; what was found is there when the last slice is done."""
        bill, streams = self._bill, self._streams
        crowd = may_wait and len(frames) == 1 and streams[frames[0].stream].faces_now > CROWD_FACES
        front_s = self._front_s(frames)
        n_faces = sum(frame.faces for frame in frames)
        if not crowd:
            yield front_s + bill.faces_s(n_faces)
        else:
            yield front_s
            for at in range(0, n_faces, SLICE_FACES):
                passing = self._collector.take_passing((frames[0].stream,), self._now_s)
                self._count_late()
                if passing:
                    yield from self._analyse([frame for _, frame in passing], may_wait=False)
                self._send_on_time()
                yield bill.faces_s(min(SLICE_FACES, n_faces - at))
        if self._now_s >= self._warm_s:
            self._counts["batches"] += 1
        for frame in frames:
            self._analysed(frame)

    def _front_s(self, frames: Sequence[_Frame]) -> float:
        """Searching and refining, and what every frame costs."""
        bill, searched, refined = self._bill, 0, 0
        work_s = len(frames) * bill.costs.frame_s
        for frame in frames:
            stream = self._streams[frame.stream]
            group = int(frame.media_s / bill.interval_s + 1e-9) if bill.interval_s > 0 else -2
            if group != stream.searched:
                searched += 1
                work_s += stream.resize_s
                stream.searched = -1 if group == -2 else group
            else:
                refined += frame.faces
        if searched:
            work_s += bill.costs.search.call_s(searched)
        if refined:
            work_s += bill.refine_s(refined)
        return work_s

    def _analysed(self, frame: _Frame) -> None:
        stream = self._streams[frame.stream]
        stream.faces_now = frame.faces
        self._collector.expect(frame.stream, frame.faces)
        self._count("analysed", frame.arrival_s)
        if frame.arrival_s >= self._warm_s:
            self._ready_s.append(self._now_s - frame.arrival_s)
        if frame.faces:
            self._unsent += [frame.arrival_s] * frame.faces
            self._unsent_since_s = min(self._unsent_since_s, self._now_s)

    def _count_late(self) -> None:
        for _, frame in self._collector.late():
            self._count("late", frame.arrival_s)

    # -- the publisher ----------------------------------------------------------------------------------------

    def _send_on_time(self) -> None:
        if self._now_s >= self._unsent_since_s + self._config.checkpoint.live_flush_s - 1e-9:
            self._to_publish.append(_Publish(self._unsent))
            self._unsent, self._unsent_since_s = [], math.inf
            if not self._publishing:
                self._publish()

    def _publish(self) -> None:
        costs, batch = self._bill.costs, self._to_publish.popleft()
        self._publishing = True
        self._processor.begin(batch, costs.flush_s + len(batch.arrivals) * costs.record_s, self._now_s)

    def _published(self, batch: _Publish) -> None:
        after_s = self._now_s + self._bill.costs.acknowledge_s
        self._sent_s += [after_s - arrival_s for arrival_s in batch.arrivals if arrival_s >= self._warm_s]
        self._publishing = False
        if self._to_publish:
            self._publish()

    def _done(self, job: _Decode | _Step | _Publish) -> None:
        match job:
            case _Decode():
                self._decoded(job.stream)
            case _Step():
                if self._now_s >= self._warm_s:
                    self._loop_s += job.work_s
                self._go_on()
            case _Publish():
                self._published(job)


_LOOK = -1
