"""Cores shared by threads, in virtual time: pure, exact, no slices."""

from __future__ import annotations

import heapq
import math
from itertools import count
from typing import Generic, TypeVar

Job = TypeVar("Job")


class SharedProcessor(Generic[Job]):
    """`cores` cores that all working threads share evenly, none of them faster than one core.

    All threads gain at the same rate, so the order in which they finish is known when they begin: what each has gained
    since ever is one number for all, and a job ends when that number has risen by its work.
    """

    def __init__(self, cores: float) -> None:
        if cores <= 0:
            raise ValueError(f"a processor has more than {cores} cores")
        self._cores = cores
        self._now_s = 0.0
        self._gained_s = 0.0
        self._numbers = count()
        self._jobs: list[tuple[float, int, Job]] = []
        self.worked_s = 0.0
        """CPU seconds of work done until the last `advance`."""

    def begin(self, job: Job, work_s: float, now_s: float) -> None:
        """A thread works from now on for `work_s` CPU seconds."""
        self.advance(now_s)
        heapq.heappush(self._jobs, (self._gained_s + work_s, next(self._numbers), job))

    def next_s(self) -> float:
        """When the next job is done if nothing else begins; infinity where none is at work."""
        if not self._jobs:
            return math.inf
        return self._now_s + max(0.0, self._jobs[0][0] - self._gained_s) / self._rate

    def finish(self, now_s: float) -> Job:
        """The job that is done at `now_s`, which is what `next_s` said."""
        self.advance(now_s)
        ends, _, job = heapq.heappop(self._jobs)
        self._gained_s = max(self._gained_s, ends)
        return job

    def advance(self, now_s: float) -> None:
        """Let time pass."""
        passed_s = now_s - self._now_s
        if passed_s > 0:
            self._gained_s += passed_s * self._rate
            self.worked_s += passed_s * self._rate * len(self._jobs)
            self._now_s = now_s

    @property
    def _rate(self) -> float:
        return min(1.0, self._cores / len(self._jobs)) if self._jobs else 1.0
