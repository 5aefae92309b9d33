"""Whole stretches of video for recurrent training, with where state starts anew."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines.data.randomness import named_rng
from engines.data.sampling import IntArray, video_bounds
from engines.errors import WrongUse


@dataclass(frozen=True)
class Stretches:
    """M stretches of T observations, in time.

    `rows` (M,T) int64; `present` (M,T) is False in the padding behind the end of a video, which repeats the last row
    and counts in no loss; `begins` (M,) says that the stretch starts its video: state (h, c) is zero before it.
    """

    rows: IntArray
    present: NDArray[np.bool_]
    begins: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, chosen: NDArray[np.int64] | slice) -> Stretches:
        """The chosen stretches."""
        return Stretches(self.rows[chosen], self.present[chosen], self.begins[chosen])


def _cut(begin: int, end: int, n_observations: int, offset: int) -> Stretches:
    """One video cut into stretches, the first `offset` rows shorter than the others."""
    starts = np.arange(begin - offset, end, n_observations)
    rows = starts[:, None] + np.arange(n_observations)
    if offset:  # the short first stretch is moved to the front of its row: padding stands behind only
        rows[0] += offset
        stop = np.r_[begin + n_observations - offset, np.full(len(rows) - 1, end)]
        present = rows < np.minimum(stop, end)[:, None]
    else:
        present = rows < end
    last = rows[np.arange(len(rows)), present.sum(1) - 1]
    return Stretches(np.where(present, rows, last[:, None]).astype(np.int64), present, starts + offset == begin)


def stretches_epoch(
    video: NDArray[np.int32], n_observations: int, *, seed: int, epoch: int, carry: bool = False
) -> Stretches:
    """Every row of every video once, in stretches of `n_observations`, shuffled as this epoch has it.

    For training that starts each stretch with no state. Where a video is cut moves from epoch to epoch, so that
    a stretch does not always begin with the same frame. `carry` keeps cuts at multiples of the length.
    """
    if n_observations < 1:
        raise WrongUse("a stretch has at least 1 observation")
    rng = named_rng("stretches", seed, epoch)
    cuts = []
    for begin, end in zip(*video_bounds(video), strict=True):
        offset = 0 if carry else int(rng.integers(min(n_observations, int(end - begin))))
        cuts.append(_cut(int(begin), int(end), n_observations, offset))
    joined = _joined(cuts, n_observations)
    return joined.take(rng.permutation(len(joined)))


def lanes_epoch(
    video: NDArray[np.int32], n_observations: int, n_lanes: int, *, seed: int, epoch: int
) -> Iterator[Stretches]:
    """Steps of `n_lanes` stretches (B,T), for training that carries (h, c) from step to step.

    Lane b of one step goes on where lane b of the step before ended, unless `begins[b]`: then another video starts
    and the state of that lane is zero. Videos are dealt in the order of this epoch, each to the lane that is free
    first. A lane with no video left is absent (`present` False, and `begins` True).
    """
    if n_observations < 1 or n_lanes < 1:
        raise WrongUse("lanes and the observations of a stretch are at least 1 each")
    begins, ends = video_bounds(video)
    order = named_rng("lanes", seed, epoch).permutation(len(begins))
    lanes: list[list[Stretches]] = [[] for _ in range(n_lanes)]
    n_steps = np.zeros(n_lanes, np.int64)
    for v in order:
        lane = int(np.argmin(n_steps))
        cut = _cut(int(begins[v]), int(ends[v]), n_observations, 0)
        lanes[lane].append(cut)
        n_steps[lane] += len(cut)
    joined = [_joined(lane, n_observations) for lane in lanes]
    absent = Stretches(
        np.zeros((1, n_observations), np.int64), np.zeros((1, n_observations), np.bool_), np.ones(1, np.bool_)
    )
    for step in range(int(n_steps.max(initial=0))):
        parts = [lane.take(slice(step, step + 1)) if step < len(lane) else absent for lane in joined]
        yield _joined(parts, n_observations)


def _joined(parts: list[Stretches], n_observations: int) -> Stretches:
    if not parts:
        empty = np.zeros((0, n_observations), np.int64)
        return Stretches(empty, empty.astype(np.bool_), np.zeros(0, np.bool_))
    return Stretches(
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.present for part in parts]),
        np.concatenate([part.begins for part in parts]),
    )
