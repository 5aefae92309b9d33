"""Numbers over time, kept as means over equal steps: however fast they come, what is kept and shown stays the same."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Row = tuple[float, ...]


class Buckets:
    """The last `n` steps of `step_s` seconds; each holds the means of `columns` numbers, or nothing.

    A step is known by its index, the whole number of steps since 1970 (or wherever times begin). Times that go back a
    little go into the step they belong to; ones that go back beyond what is kept begin anew, which `generation` tells.
    """

    def __init__(self, n: int, step_s: float, columns: int) -> None:
        self.step_s = step_s
        self.generation = 0
        self.n_added = 0
        self.newest = -1
        self._n = n
        self._sums = np.zeros((n, columns))
        self._counts = np.zeros(n, dtype=np.int32)

    def add(self, time_s: float, values: Sequence[float]) -> None:
        """Count `values` in the step of `time_s`."""
        index = int(time_s // self.step_s)
        if index <= self.newest - self._n:
            self.generation += 1
            self._clear()
        if index > self.newest:
            self._forget_until(index)
        at = index % self._n
        self._sums[at] += values
        self._counts[at] += 1
        self.n_added += 1

    def since(self, index: int) -> list[tuple[int, Row]]:
        """The steps from `index` on that hold something, each with its means, in order. The newest is unfinished."""
        first = max(index, self.newest - self._n + 1, 0)
        found = []
        for step in range(first, self.newest + 1):
            at = step % self._n
            if self._counts[at]:
                found.append((step, tuple((self._sums[at] / self._counts[at]).tolist())))
        return found

    def mean(self, steps: int) -> Row | None:
        """The means over the newest `steps`; None where nothing is in them."""
        places = [step % self._n for step in range(max(0, self.newest - steps + 1), self.newest + 1)]
        total = int(self._counts[places].sum()) if places else 0
        return tuple((self._sums[places].sum(axis=0) / total).tolist()) if total else None

    @property
    def n_bytes(self) -> int:
        """The memory it takes, for as long as it lives."""
        return int(self._sums.nbytes + self._counts.nbytes)

    def _forget_until(self, index: int) -> None:
        if index - self.newest >= self._n:
            self._sums[:] = 0.0
            self._counts[:] = 0
        else:
            places = [step % self._n for step in range(self.newest + 1, index + 1)]
            self._sums[places] = 0.0
            self._counts[places] = 0
        self.newest = index

    def _clear(self) -> None:
        self._sums[:] = 0.0
        self._counts[:] = 0
        self.newest = -1
