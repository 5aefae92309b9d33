"""Which pictures a training step sees: blocks that end with the current frame, and the order of an epoch.

Everything here works on rows of an `AnnotatedFrames` and is a pure function of its arguments: epoch e of a seed is
the same after a restart.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.data.frames import AnnotatedFrames
from engines.data.randomness import named_rng
from engines.errors import BadData, WrongUse
from engines.spec import EXPRESSIONS, N_PROBS

IntArray = NDArray[np.int64]


def video_bounds(video: NDArray[np.int32]) -> tuple[IntArray, IntArray]:
    """(V,) first row and (V,) one past the last row of every video, for `video` (N,) with a video's rows together."""
    if len(video) == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    begins = np.flatnonzero(np.r_[True, video[1:] != video[:-1]])
    return begins.astype(np.int64), np.r_[begins[1:], len(video)].astype(np.int64)


def first_rows(video: NDArray[np.int32]) -> IntArray:
    """(N,) the row where each row's video begins, for `video` (N,) with the rows of a video together."""
    begins, ends = video_bounds(video)
    return np.repeat(begins, ends - begins)


def block_indices(first_row: IntArray, rows: NDArray[Any], window: int, stride: int = 1) -> IntArray:
    """(B,s) rows of the blocks that end with `rows` (B,), oldest first; `first_row` comes from `first_rows`.

    A block is row k, k - stride, ... back to k - (s-1) stride (paper, section II.A). Where the video has not that
    many, the oldest there is stands in front, repeated. Rows are observations: a frame without a face is no row, as
    in the stream. Never a row after k, never one of another video.
    """
    if window < 1 or stride < 1:
        raise WrongUse("a block has a window of at least 1 observation and a stride of at least 1")
    current = np.asarray(rows, dtype=np.int64)
    n_before = (current - first_row[current]) // stride
    back = np.minimum(np.arange(window - 1, -1, -1), n_before[:, None])
    blocks: IntArray = current[:, None] - back * stride
    return blocks


def shuffled_epoch(rows: IntArray, *, seed: int, epoch: int) -> IntArray:
    """(N,) the given rows, each once, in the order of this epoch."""
    return named_rng("shuffled", seed, epoch).permutation(np.asarray(rows, dtype=np.int64))


def balanced_epoch(
    expression: NDArray[np.int64], *, seed: int, epoch: int, n: int | None = None, per_class: tuple[int, ...] = ()
) -> IntArray:
    """(n,) rows with an expression, every class as often as another: the paper's balanced emotion sampling.

    Any k x C rows that follow one another from a multiple of C (C classes are present) have each class k times, so a
    batch is balanced whenever it is a multiple of C. A class is drawn without repetition until all of it was seen,
    then shuffled anew. `n` is the number of rows with an expression where it is left out. `per_class` weights the
    classes by whole numbers instead of evenly (C is then their sum), in the order of EXPRESSIONS.
    Raises `BadData` when no row has an expression.
    """
    weights = per_class or (1,) * N_PROBS
    if len(weights) != N_PROBS or min(weights) < 0:
        raise WrongUse(f"per_class has {N_PROBS} whole numbers from 0, in the order {', '.join(EXPRESSIONS)}")
    by_class = [np.flatnonzero(expression == c) for c in range(N_PROBS)]
    slots = np.repeat(np.arange(N_PROBS), [w if len(rows) else 0 for w, rows in zip(weights, by_class, strict=True)])
    if len(slots) == 0:
        raise BadData("no picture of the set has an expression to balance by: choose another order")
    n_rows = sum(len(rows) for rows in by_class) if n is None else n
    n_rounds = -(-n_rows // len(slots))
    rng = named_rng("balanced", seed, epoch)
    order = rng.permuted(np.tile(slots, (n_rounds, 1)), axis=1).reshape(-1)
    drawn = np.empty(len(order), np.int64)
    for c in np.unique(order):
        places = np.flatnonzero(order == c)
        n_times = -(-len(places) // len(by_class[c]))
        drawn[places] = np.concatenate([rng.permutation(by_class[c]) for _ in range(n_times)])[: len(places)]
    return drawn[:n_rows]


def class_counts(expression: NDArray[np.int64]) -> IntArray:
    """(7,) how many rows have each expression."""
    return np.bincount(expression[expression >= 0], minlength=N_PROBS)[:N_PROBS].astype(np.int64)


def logit_adjustment(frames: AnnotatedFrames, strength: float = 1.0) -> NDArray[np.float32]:
    """(7,) strength x log prior of each expression in the set: added to the logits while training.

    Menon et al. 2021, "Long-tail learning via logit adjustment" (arXiv 2007.07314), equation 10. Half a count is
    added to each class, so that one that never occurs keeps a finite prior. Not to be joined with balanced sampling,
    which makes the priors the same already.
    """
    counts = class_counts(frames.expression)
    if counts.sum() == 0:
        raise BadData(f"{frames.name}: no picture has an expression, so there are no priors to adjust logits by")
    smoothed = counts + 0.5
    return np.asarray(strength * np.log(smoothed / smoothed.sum()), dtype=np.float32)
