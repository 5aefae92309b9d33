"""Fewer points that show the same picture: a page holds about 2,000 a trace, however long the run was."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MAX_POINTS = 2000

Indices = NDArray[np.intp]


class Interval(NamedTuple):
    """A time from `start_s` to `end_s` in which one code held."""

    start_s: float
    end_s: float
    code: int


def extremes(y: NDArray[np.float32], max_points: int = MAX_POINTS) -> Indices:
    """Indices of the first and last value and of the least and greatest of each bucket, in order.

    At most `max_points` (>= 4) of them; every index when `y` is no longer than that.
    """
    if y.size <= max_points:
        return np.arange(y.size)
    edges = np.linspace(0, y.size, (max_points - 2) // 2 + 1).astype(int)
    picked = {0, y.size - 1}
    for start, end in pairwise(edges.tolist()):
        picked.add(start + int(y[start:end].argmin()))
        picked.add(start + int(y[start:end].argmax()))
    return np.array(sorted(picked))


def evenly(n: int, max_points: int = MAX_POINTS) -> Indices:
    """Indices of at most `max_points` of `n` values, evenly spread, the first and last among them."""
    return np.arange(n) if n <= max_points else np.linspace(0, n - 1, max_points).round().astype(int)


def bucket_means(
    t_s: NDArray[np.float64], values: NDArray[np.float32], max_points: int = MAX_POINTS
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Times (m,) and values (m, k) averaged over buckets of neighbours, m <= `max_points`.

    A mean of probabilities still sums to one, which picking extremes would break.
    """
    if t_s.size <= max_points:
        return t_s, values
    starts = np.linspace(0, t_s.size, max_points + 1).astype(int)[:-1]
    sizes = np.diff(np.append(starts, t_s.size))
    means = np.add.reduceat(values.astype(np.float64), starts, axis=0) / sizes[:, None]
    return np.add.reduceat(t_s, starts) / sizes, means.astype(np.float32)


def pieces(t_s: NDArray[np.float64], gap_s: float) -> list[slice]:
    """The stretches of `t_s` (ascending) without a hole longer than `gap_s`."""
    cuts = [0, *(np.flatnonzero(np.diff(t_s) > gap_s) + 1).tolist(), t_s.size]
    return [slice(a, b) for a, b in pairwise(cuts) if b > a]


def intervals(t_s: NDArray[np.float64], codes: NDArray[np.int8], step_s: float, gap_s: float) -> list[Interval]:
    """Stretches of equal code. Each lasts until the next begins, or `step_s` after its last value before a hole."""
    found: list[Interval] = []
    for piece in pieces(t_s, gap_s):
        t, c = t_s[piece], codes[piece]
        starts = [0, *(np.flatnonzero(np.diff(c)) + 1).tolist()]
        ends = [float(t[k]) for k in starts[1:]] + [float(t[-1]) + step_s]
        found += [Interval(float(t[k]), end, int(c[k])) for k, end in zip(starts, ends, strict=True)]
    return found


def fewer_intervals(found: list[Interval], max_intervals: int) -> list[Interval]:
    """At most `max_intervals`, by giving each of as many equal slices of time to the code that filled most of it.

    Slices that nothing touches stay empty.
    """
    if len(found) <= max_intervals:
        return found
    start_s, end_s = found[0].start_s, found[-1].end_s
    width_s = (end_s - start_s) / max_intervals
    filled: list[dict[int, float]] = [{} for _ in range(max_intervals)]
    for interval in found:
        first = min(max_intervals - 1, int((interval.start_s - start_s) / width_s))
        last = min(max_intervals - 1, int((interval.end_s - start_s) / width_s))
        for k in range(first, last + 1):
            low_s, high_s = start_s + k * width_s, start_s + (k + 1) * width_s
            overlap_s = min(interval.end_s, high_s) - max(interval.start_s, low_s)
            if overlap_s > 0:
                filled[k][interval.code] = filled[k].get(interval.code, 0.0) + overlap_s
    merged: list[Interval] = []
    for k, by_code in enumerate(filled):
        if not by_code:
            continue
        code = max(by_code, key=lambda c: by_code[c])
        low_s, high_s = start_s + k * width_s, start_s + (k + 1) * width_s
        if merged and merged[-1].code == code and abs(merged[-1].end_s - low_s) < width_s / 2:
            merged[-1] = Interval(merged[-1].start_s, high_s, code)
        else:
            merged.append(Interval(low_s, high_s, code))
    return merged
