"""Rolling STAT: minimum, maximum and mean over the last s observations of a track (paper, section II.C).

The answer depends on the last s rows alone: not on the rows before them, on the order of additions, or on a restore.
Minimum and maximum come from two stacks of running extremes. The mean is a running sum of integers: each row is
counted in units of 2**-k, chosen so that no sum of s rows can pass 2**53, and then float64 adds and subtracts
without any rounding. Time is O(W) per observation, whatever s; the price is a unit of 2**-30 at s = 128, finer than
float32 knows any number above 0.01, and the bound LARGEST on what a row may hold.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engines.spec import N_PROBS, StatKind, row_width
from streamer.errors import NotFinite
from streamer.types import FloatArray

LARGEST = 65504.0
"""The largest absolute value of a row: that of half precision, in which live snapshots keep features."""


class Ring:
    """The last s rows of one track, in time order, and their STAT.

    A row is `[features D, probs 7]`, or the probs alone. Before there are s rows the oldest is repeated in front, so
    the mean weights it. `stage` looks one row ahead and `commit` makes it the newest: an observation whose inference
    fails leaves no trace. Arrays handed out are views, good until the next `stage`.
    """

    def __init__(self, window: int, kind: StatKind, n_features: int = 0) -> None:
        self.window = window
        self.kind: StatKind = kind
        self.width = row_width(kind, n_features)
        self.n_features = self.width - N_PROBS
        # Slack behind the block, so that rows move to the front once in many observations.
        self._rows = np.zeros((window + max(8, window // 4), self.width), np.float32)
        self._end = 0  # one past the newest committed row; 0 while there is none
        self._staged = False
        self._unit = 2.0 ** (53 - 16 - (window - 1).bit_length())
        self._sum = np.zeros(self.width, np.float64)
        self._next_sum = np.zeros(self.width, np.float64)
        self._with_extremes = kind in ("probs", "min_max_mean")
        if self._with_extremes:
            # _older_*[i]: extremes of rows i..s-1 as they stood at the last turn; _newer_*: of the rows since.
            self._older_min = np.zeros((window, self.width), np.float32)
            self._older_max = np.zeros((window, self.width), np.float32)
            self._newer_min = np.zeros(self.width, np.float32)
            self._newer_max = np.zeros(self.width, np.float32)
        self._n_newer = 0

    def __len__(self) -> int:
        return self.window if self._end else 0

    def rows(self) -> FloatArray:
        """The committed block (s,W), oldest first; (0,W) before the first row."""
        return self._rows[max(0, self._end - self.window) : self._end]

    def block(self) -> FloatArray:
        """The probs of the block that ends with the staged row, (s,7), oldest first."""
        assert self._staged, "block() is asked for between stage() and commit()"
        end = self._end + 1 if self._end else self.window
        return self._rows[end - self.window : end, self.n_features :]

    def stage(self, features: FloatArray, probs: FloatArray, out: FloatArray) -> None:
        """Write STAT of the block that would end with this row into `out` (S,), without keeping the row.

        Raises `NotFinite` for NaN, infinity or anything beyond LARGEST; the ring is then as before.
        """
        if self._end == len(self._rows):
            self._rows[: self.window] = self._rows[self._end - self.window :]
            self._end = self.window
        row = self._rows[self._end]
        if self.n_features:
            row[: self.n_features] = features
        row[self.n_features :] = probs
        self._staged = False
        # Written so that NaN fails the comparison.
        if not (np.minimum.reduce(row) >= -LARGEST and np.maximum.reduce(row) <= LARGEST):
            raise NotFinite("an embedding holds NaN, infinity or a number beyond half precision: it is not kept")
        self._staged = True
        if self._end == 0:
            self._rows[1 : self.window] = row
        if self.kind == "none":
            return
        mean = out[-self.width :]
        self._add(row, mean)
        if self._with_extremes:
            self._extend(row, out[: self.width], out[self.width : 2 * self.width])

    def commit(self) -> None:
        """Keep the staged row."""
        assert self._staged, "commit() needs a staged row"
        self._staged = False
        first = self._end == 0
        self._end = self.window if first else self._end + 1
        if self.kind == "none":
            return
        self._sum, self._next_sum = self._next_sum, self._sum
        if not self._with_extremes:
            return
        row = self._rows[self._end - 1]
        if self._n_newer == 0:
            self._newer_min[:] = row
            self._newer_max[:] = row
        else:
            np.minimum(self._newer_min, row, out=self._newer_min)
            np.maximum(self._newer_max, row, out=self._newer_max)
        self._n_newer += 1
        if first or self._n_newer == self.window:
            self._turn()

    def restore(self, rows: FloatArray) -> None:
        """Become a ring whose committed block is `rows` (s,W)."""
        self._rows[: self.window] = rows
        self._end = self.window
        self._staged = False
        np.sum(np.rint(np.asarray(rows, np.float64) * self._unit), axis=0, out=self._sum)
        if self._with_extremes:
            self._turn()

    def _add(self, row: FloatArray, mean: NDArray[np.float32]) -> None:
        counted = self._next_sum
        np.multiply(row, self._unit, out=counted, dtype=np.float64)
        np.rint(counted, out=counted)
        if self._end == 0:
            counted *= self.window
        else:
            leaving = np.multiply(self._rows[self._end - self.window], self._unit, dtype=np.float64)
            np.rint(leaving, out=leaving)
            counted -= leaving
            counted += self._sum
        # One rounding in the division, one on the way to float32.
        np.divide(counted, self._unit * self.window, out=mean, casting="same_kind")

    def _extend(self, row: FloatArray, low: FloatArray, high: FloatArray) -> None:
        if self._end == 0:
            low[:] = row
            high[:] = row
            return
        if self._n_newer:
            np.minimum(self._newer_min, row, out=low)
            np.maximum(self._newer_max, row, out=high)
        else:
            low[:] = row
            high[:] = row
        kept = self._n_newer + 1  # so many of the older rows have left the block
        if kept < self.window:
            np.minimum(low, self._older_min[kept], out=low)
            np.maximum(high, self._older_max[kept], out=high)

    def _turn(self) -> None:
        rows, low, high = self.rows(), self._older_min, self._older_max
        low[-1] = high[-1] = rows[-1]
        # Row by row is ten times faster than `accumulate` over reversed rows, which is not vectorised.
        for i in range(self.window - 2, -1, -1):
            np.minimum(low[i + 1], rows[i], out=low[i])
            np.maximum(high[i + 1], rows[i], out=high[i])
        self._n_newer = 0
