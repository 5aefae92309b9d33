"""What goes into a temporal head and comes out of it, and how one failing row is kept from costing the others."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines.errors import EngineError
from engines.spec import N_PROBS, ContextName, HeadSpec, StatKind
from streamer.types import DropCause, FloatArray


@dataclass(frozen=True, slots=True)
class HeadNeeds:
    """What a head reads, and so what a track must remember for it.

    `window` None means the configured one. `context` names what else it reads of each observation, in this order.
    `keeps_rows` says whether a ring is kept at all.
    """

    stat: StatKind = "none"
    windowed: bool = False
    window: int | None = None
    n_features: int = 0
    hidden: int = 0
    valence_arousal_trained_on: str | None = None
    context: tuple[ContextName, ...] = ()

    @property
    def keeps_rows(self) -> bool:
        """Whether the head looks back over a block."""
        return self.windowed or self.stat != "none"

    @staticmethod
    def of(spec: HeadSpec) -> HeadNeeds:
        """What the head that `spec` describes reads."""
        return HeadNeeds(
            spec.stat,
            spec.windowed,
            spec.window,
            spec.n_features,
            spec.hidden,
            spec.valence_arousal_trained_on,
            spec.context,
        )


@dataclass(frozen=True, slots=True)
class HeadBatch:
    """Rows for a head: `probs` (B,7) and what its HeadNeeds name. The arrays are the batch's own."""

    probs: FloatArray
    features: FloatArray | None = None
    stat: FloatArray | None = None
    block: FloatArray | None = None
    h: FloatArray | None = None
    c: FloatArray | None = None
    context: FloatArray | None = None

    def __len__(self) -> int:
        return int(self.probs.shape[0])

    def row(self, i: int) -> HeadBatch:
        """Row `i` as a batch of one."""
        one = slice(i, i + 1)
        return HeadBatch(
            self.probs[one],
            None if self.features is None else self.features[one],
            None if self.stat is None else self.stat[one],
            None if self.block is None else self.block[one],
            None if self.h is None else self.h[one],
            None if self.c is None else self.c[one],
            None if self.context is None else self.context[one],
        )


@dataclass(frozen=True, slots=True)
class HeadOutput:
    """Answers: `probs` (B,7); `valence`, `arousal` (B,) when the head has them; `h`, `c` (B,hidden) of after.

    `causes`, when not empty, names for each row why it has no answer (None: it has one).
    """

    probs: FloatArray
    valence: FloatArray | None = None
    arousal: FloatArray | None = None
    h: FloatArray | None = None
    c: FloatArray | None = None
    causes: tuple[DropCause | None, ...] = ()

    def rows(self, start: int, stop: int) -> HeadOutput:
        """Rows `start` to `stop`, as views."""
        part = slice(start, stop)
        return HeadOutput(
            self.probs[part],
            None if self.valence is None else self.valence[part],
            None if self.arousal is None else self.arousal[part],
            None if self.h is None else self.h[part],
            None if self.c is None else self.c[part],
            self.causes[part],
        )


Infer = Callable[[HeadBatch], HeadOutput]


def infer_all(infer: Infer, batches: Sequence[HeadBatch]) -> list[HeadOutput]:
    """The answers of `infer` for each batch, from one call over all of them.

    A row that fails, or whose answer is not finite, is tried once more alone; if it fails again its cause is in
    `causes` and the rest is unaffected. `EngineError` is such a failure; any other error is raised.
    """
    sizes = [len(batch) for batch in batches]
    if not sum(sizes):
        return [HeadOutput(batch.probs) for batch in batches]
    whole = _joined([batch for batch in batches if len(batch)])
    output = _checked(infer, whole)
    ends = np.cumsum(sizes).tolist()
    return [output.rows(end - size, end) for size, end in zip(sizes, ends, strict=True)]


def _checked(infer: Infer, whole: HeadBatch) -> HeadOutput:
    try:
        output = infer(whole)
        if _sums_are_finite(output):
            return output
        bad = np.flatnonzero(~_finite(output))
        if not len(bad):
            return output
    except EngineError:
        output, bad = _nothing(whole), np.arange(len(whole))
    # One poisonous row must not cost its neighbours: each bad row again, alone.
    causes: list[DropCause | None] = [None] * len(whole)
    singles: dict[int, HeadOutput] = {}
    for i in bad.tolist():
        try:
            single = infer(whole.row(i))
        except EngineError:
            causes[i] = "engine_error"
            continue
        if _finite(single)[0]:
            singles[i] = single
        else:
            causes[i] = "not_finite"
    return _mended(output, singles, tuple(causes))


def _mended(output: HeadOutput, singles: dict[int, HeadOutput], causes: tuple[DropCause | None, ...]) -> HeadOutput:
    def column(name: str) -> FloatArray | None:
        whole: FloatArray | None = getattr(output, name)
        if whole is None and singles:
            like: FloatArray | None = getattr(next(iter(singles.values())), name)
            whole = None if like is None else np.zeros((len(causes), *like.shape[1:]), np.float32)
        if whole is None:
            return None
        whole = np.nan_to_num(whole, posinf=0.0, neginf=0.0)
        for i, single in singles.items():
            part: FloatArray | None = getattr(single, name)
            assert part is not None, "a head answers the same outputs for every batch"
            whole[i] = part[0]
        return whole

    probs = column("probs")
    assert probs is not None
    return HeadOutput(probs, column("valence"), column("arousal"), column("h"), column("c"), causes)


def _nothing(batch: HeadBatch) -> HeadOutput:
    return HeadOutput(np.zeros((len(batch), N_PROBS), np.float32), h=batch.h, c=batch.c)


def _sums_are_finite(output: HeadOutput) -> bool:
    """Whether every number is finite, told in a fifth of the time: a sum is finite only when all its parts are."""
    columns = (output.probs, output.valence, output.arousal, output.h, output.c)
    with np.errstate(over="ignore", invalid="ignore"):  # infinities of both signs, or numbers of no sense: looked into
        return math.isfinite(sum(float(np.add.reduce(column, axis=None)) for column in columns if column is not None))


def _finite(output: HeadOutput) -> NDArray[np.bool_]:
    """(B,) whether every number of the row's answer is finite."""
    fine: NDArray[np.bool_] = np.ones(len(output.probs), np.bool_)
    for column in (output.probs, output.valence, output.arousal, output.h, output.c):
        if column is not None:
            fine &= np.isfinite(column.reshape(len(column), -1)).all(axis=1)
    return fine


def _joined(batches: Sequence[HeadBatch]) -> HeadBatch:
    if len(batches) == 1:
        return batches[0]

    def column(name: str) -> FloatArray | None:
        parts = [part for batch in batches if (part := getattr(batch, name)) is not None]
        return np.concatenate(parts) if parts else None

    probs = column("probs")
    assert probs is not None
    return HeadBatch(probs, *(column(name) for name in ("features", "stat", "block", "h", "c", "context")))
