"""What a watched child notes of its live frames, and the figures that come of it: times of one monotonic clock."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec

from streamer.errors import StreamerError

STAGES = ("decode", "queue", "inference", "linger", "publish")
"""Arrival, picture waiting, taken by the loop, records made, given to the bus, acknowledged: the ways between them."""


class FrameMark(msgspec.Struct, array_like=True):
    """When a frame of `work` was where; None where it never came to."""

    work: str
    arrived_s: float
    waiting_s: float
    taken_s: float | None = None
    analysed_s: float | None = None
    given_s: float | None = None
    acknowledged_s: float | None = None


class Sample(msgspec.Struct, array_like=True):
    """Counted since the child's start: its CPU seconds, frames decoded, drops by cause.

    `publish_s` of the CPU seconds went into encoding records and bringing them to the bus.
    """

    at_s: float
    cpu_s: float
    decoded: int
    dropped: dict[str, int]
    publish_s: float = 0.0


class ChildMarks(msgspec.Struct):
    """Everything one child noted. `batches`: when a batch was taken, and of how many frames."""

    frames: list[FrameMark] = []
    samples: list[Sample] = []
    batches: list[tuple[float, int]] = []

    def write(self, path: Path) -> None:
        """Keep it in a file."""
        path.write_bytes(msgspec.msgpack.encode(self))

    @staticmethod
    def read(path: Path) -> ChildMarks:
        """What `write` kept."""
        return msgspec.msgpack.decode(path.read_bytes(), type=ChildMarks)


Window = tuple[float, float]
"""From a moment up to, and without, another."""


def within(frames: Iterable[FrameMark], window: Window) -> list[FrameMark]:
    """The frames that arrived in it."""
    return [one for one in frames if window[0] <= one.arrived_s < window[1]]


def latencies_s(frames: Iterable[FrameMark]) -> list[float]:
    """From arrival to acknowledgement, of those that were acknowledged."""
    return [one.acknowledged_s - one.arrived_s for one in frames if one.acknowledged_s is not None]


def stages_s(frames: Iterable[FrameMark]) -> dict[str, list[float]]:
    """What each of `STAGES` took, of the frames that went through all of them."""
    found: dict[str, list[float]] = {stage: [] for stage in STAGES}
    for one in frames:
        times = (
            one.arrived_s,
            one.waiting_s,
            one.taken_s,
            one.analysed_s,
            one.given_s,
            one.acknowledged_s,
        )
        if None in times:
            continue
        for stage, begun_s, ended_s in zip(STAGES, times, times[1:], strict=False):
            assert begun_s is not None
            assert ended_s is not None
            found[stage].append(ended_s - begun_s)
    return found


def cpu_s(samples: Sequence[Sample], window: Window) -> float:
    """CPU seconds in the window, in a straight line between samples. Raises `StreamerError` where they do not reach."""
    return _at(samples, window[1], lambda one: one.cpu_s) - _at(samples, window[0], lambda one: one.cpu_s)


def publish_s(samples: Sequence[Sample], window: Window) -> float:
    """The same of encoding and publishing alone."""
    return _at(samples, window[1], lambda one: one.publish_s) - _at(samples, window[0], lambda one: one.publish_s)


def dropped(samples: Sequence[Sample], window: Window) -> Counter[str]:
    """Drops by cause between the last samples up to each end of the window: as exact as samples are close."""
    before, after = _last(samples, window[0]), _last(samples, window[1])
    causes = Counter(after.dropped)
    causes.subtract(before.dropped)
    return +causes


def spread(values: Sequence[float]) -> dict[str, float]:
    """Percentiles (the smallest value that so many do not exceed), largest and number; nothing for none."""
    if not values:
        return {}
    ordered = sorted(values)
    shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
    found: dict[str, float] = {
        name: ordered[max(0, math.ceil(share * len(ordered)) - 1)] for name, share in shares.items()
    }
    return {**found, "max": ordered[-1], "n": len(ordered)}


def _last(samples: Sequence[Sample], at_s: float) -> Sample:
    before = [one for one in samples if one.at_s <= at_s]
    if not before:
        raise StreamerError("a worker process was measured before it had begun: let it warm up for longer")
    return before[-1]


def _at(samples: Sequence[Sample], at_s: float, value: Callable[[Sample], float]) -> float:
    before = _last(samples, at_s)
    after = next((one for one in samples if one.at_s > at_s), None)
    if after is None:
        if at_s - before.at_s > 0.5:
            raise StreamerError("a worker process ended, or hung, before the measurement did: look at its log")
        return value(before)
    share = (at_s - before.at_s) / (after.at_s - before.at_s)
    return value(before) + share * (value(after) - value(before))
