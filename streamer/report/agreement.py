"""Two analyses of one file against each other: which faces are the same, where labels agree, how values differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamer.report.series import TrackSeries
from streamer.types import EXPRESSIONS

MIN_IOU = 0.5
_BLOCK_ROWS = 50_000
_TICKS = 10_000
"""Media times are compared to a tenth of a millisecond."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Faces that both analyses labelled, in order of time.

    `t_s` (m,); `labels` (m,2) codes of first and second; `valence`, `arousal` (m,2). `n_first`, `n_second`: the
    observations of each analysis; `n_same` those that are the same face in the same frame, labelled or not.
    """

    t_s: Floats
    labels: NDArray[np.int8]
    valence: NDArray[np.float32]
    arousal: NDArray[np.float32]
    n_first: int
    n_second: int
    n_same: int


@dataclass(frozen=True, slots=True)
class Agreement:
    """How two analyses agree on the `n` faces that both labelled.

    `counts` (7,7): the first's label by row, the second's by column. `kappa`: Cohen's (1960), None where chance alone
    would always agree. Differences are second minus first; `ccc`: Lin's concordance correlation (1989), None where a
    value never moves.
    """

    n: int
    counts: NDArray[np.int64]
    share: float | None
    kappa: float | None
    valence_mean: float | None
    arousal_mean: float | None
    valence_abs: float | None
    arousal_abs: float | None
    valence_ccc: float | None
    arousal_ccc: float | None


def pair(first: Sequence[TrackSeries], second: Sequence[TrackSeries]) -> Pairs:
    """The same faces of the same frames: boxes that are each other's best match, with an overlap of `MIN_IOU` or more.

    Frames are the same when their media times are. Tracks are not compared: numbers differ between detectors.
    """
    a, b = _flat(first), _flat(second)
    matches = [_best(*block) for block in _blocks(a, b)]
    at = np.concatenate(matches) if matches else np.zeros((0, 2), np.intp)
    labels = np.stack([a.labels[at[:, 0]], b.labels[at[:, 1]]], axis=1)
    known = (labels >= 0).all(axis=1)
    left, right = at[known, 0], at[known, 1]
    return Pairs(
        t_s=a.ticks[left] / _TICKS,
        labels=labels[known],
        valence=np.stack([a.valence[left], b.valence[right]], axis=1),
        arousal=np.stack([a.arousal[left], b.arousal[right]], axis=1),
        n_first=a.ticks.size,
        n_second=b.ticks.size,
        n_same=len(at),
    )


def agreement(found: Sequence[Pairs]) -> Agreement:
    """The agreement over all of `found` together."""
    labels = np.concatenate([np.zeros((0, 2), np.int8), *(p.labels for p in found)])
    valence = np.concatenate([np.zeros((0, 2), np.float32), *(p.valence for p in found)]).astype(np.float64)
    arousal = np.concatenate([np.zeros((0, 2), np.float32), *(p.arousal for p in found)]).astype(np.float64)
    k = len(EXPRESSIONS)
    counts = np.bincount(labels[:, 0].astype(np.intp) * k + labels[:, 1], minlength=k * k).reshape(k, k)
    n = len(labels)
    if not n:
        return Agreement(0, counts, *(None,) * 8)
    share = float(np.trace(counts)) / n
    chance = float(counts.sum(axis=1) @ counts.sum(axis=0)) / n**2
    dv, da = valence[:, 1] - valence[:, 0], arousal[:, 1] - arousal[:, 0]
    return Agreement(
        n=n,
        counts=counts,
        share=share,
        kappa=(share - chance) / (1 - chance) if chance < 1 else None,
        valence_mean=float(dv.mean()),
        arousal_mean=float(da.mean()),
        valence_abs=float(np.abs(dv).mean()),
        arousal_abs=float(np.abs(da).mean()),
        valence_ccc=_ccc(valence),
        arousal_ccc=_ccc(arousal),
    )


def by_frame(found: Pairs) -> tuple[Floats, NDArray[np.float32], NDArray[np.int8]]:
    """Per frame: its time (f,), the mean differences of valence and arousal (f,2), and 1 where any label differs."""
    if not found.t_s.size:
        return np.zeros(0), np.zeros((0, 2), np.float32), np.zeros(0, np.int8)
    t_s, starts = np.unique(found.t_s, return_index=True)
    sizes = np.diff(np.append(starts, found.t_s.size))
    moved = np.stack(
        [found.valence[:, 1] - found.valence[:, 0], found.arousal[:, 1] - found.arousal[:, 0]], axis=1
    ).astype(np.float64)
    differs = (found.labels[:, 0] != found.labels[:, 1]).astype(np.int8)
    means = np.add.reduceat(moved, starts, axis=0) / sizes[:, None]
    return t_s, means.astype(np.float32), np.maximum.reduceat(differs, starts)


@dataclass(frozen=True, slots=True)
class _Flat:
    """All observations of an analysis in order of time, then of track."""

    ticks: NDArray[np.int64]
    boxes_xyxy: Floats
    labels: NDArray[np.int8]
    valence: NDArray[np.float32]
    arousal: NDArray[np.float32]


_Block = tuple[NDArray[np.intp], NDArray[np.intp], Floats]


def _flat(tracks: Sequence[TrackSeries]) -> _Flat:
    ticks = np.concatenate([np.zeros(0, np.int64), *(np.rint(t.t_s * _TICKS).astype(np.int64) for t in tracks)])
    order = np.argsort(ticks, kind="stable")
    boxes = np.concatenate([np.zeros((0, 4)), *(t.boxes_xywh for t in tracks)]).astype(np.float64)[order]
    boxes[:, 2:] += boxes[:, :2]
    return _Flat(
        ticks=ticks[order],
        boxes_xyxy=boxes,
        labels=np.concatenate([np.zeros(0, np.int8), *(t.labels for t in tracks)])[order],
        valence=np.concatenate([np.zeros(0, np.float32), *(t.valence for t in tracks)])[order],
        arousal=np.concatenate([np.zeros(0, np.float32), *(t.arousal for t in tracks)])[order],
    )


def _blocks(a: _Flat, b: _Flat) -> Iterator[_Block]:
    """Rows of `a` and of `b` that share a frame, with the overlap of their boxes, some frames at a time."""
    low, high = np.searchsorted(b.ticks, a.ticks, "left"), np.searchsorted(b.ticks, a.ticks, "right")
    start = 0
    while start < a.ticks.size:
        end = min(start + _BLOCK_ROWS, a.ticks.size)
        end = int(np.searchsorted(a.ticks, a.ticks[end - 1], "right"))
        counts = (high - low)[start:end]
        left = np.repeat(np.arange(start, end), counts)
        within = np.arange(left.size) - np.repeat(np.cumsum(counts) - counts, counts)
        right = np.repeat(low[start:end], counts) + within
        yield left, right, _iou(a.boxes_xyxy[left], b.boxes_xyxy[right])
        start = end


def _best(left: NDArray[np.intp], right: NDArray[np.intp], iou: Floats) -> NDArray[np.intp]:
    """(m,2) rows that are each other's best, of equals the first, in the order of `left`."""
    close = iou >= MIN_IOU
    left, right, iou = left[close], right[close], iou[close]
    chosen = np.ones(left.size, np.bool_)
    for mine, other in ((left, right), (right, left)):
        order = np.lexsort((other, -iou, mine))
        first = np.ones(order.size, np.bool_)
        first[1:] = mine[order][1:] != mine[order][:-1]
        best = np.zeros(order.size, np.bool_)
        best[order[first]] = True
        chosen &= best
    return np.stack([left[chosen], right[chosen]], axis=1)


def _iou(a: Floats, b: Floats) -> Floats:
    """Overlap of boxes (m,4) with boxes (m,4), from 0 to 1."""
    sides = np.clip(np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2]), 0, None)
    shared = sides[:, 0] * sides[:, 1]
    areas = np.prod(a[:, 2:] - a[:, :2], axis=1) + np.prod(b[:, 2:] - b[:, :2], axis=1)
    overlap: Floats = shared / np.maximum(areas - shared, 1e-12)
    return overlap


def _ccc(values: Floats) -> float | None:
    """Concordance of two columns of `values` (m,2)."""
    means, spread = values.mean(axis=0), values.var(axis=0)
    below = float(spread.sum() + (means[0] - means[1]) ** 2)
    shared = float(((values[:, 0] - means[0]) * (values[:, 1] - means[1])).mean())
    return 2 * shared / below if below > 1e-12 else None
