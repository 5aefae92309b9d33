"""Observations gathered into one compact series per track: some 90 bytes an observation, whatever the run's length."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamer.messages import Observation, VaOrigin
from streamer.types import EXPRESSIONS

UNLABELLED = -1
_N_NUMBERS = len(EXPRESSIONS) + 3 + 4
_CODE = {name: code for code, name in enumerate(EXPRESSIONS)}


class TrackKey(NamedTuple):
    """Which face: a track's number is unique within its stream, run and epoch."""

    run: str
    stream: str
    epoch: int
    number: int


@dataclass(frozen=True, slots=True)
class TrackSeries:
    """One face over media time, `n` observations in order of time, each once.

    `t_s` (n,) seconds; `probs` (n,7); `valence`, `arousal`, `confidence` (n,); `boxes_xywh` (n,4) fractions of the
    frame; `labels` (n,) indices into EXPRESSIONS or UNLABELLED; `low` (n,) true where the quality was low; `step_s`
    the usual distance of two observations.
    """

    key: TrackKey
    va_origin: VaOrigin
    t_s: NDArray[np.float64]
    probs: NDArray[np.float32]
    valence: NDArray[np.float32]
    arousal: NDArray[np.float32]
    confidence: NDArray[np.float32]
    boxes_xywh: NDArray[np.float32]
    labels: NDArray[np.int8]
    low: NDArray[np.bool_]
    step_s: float

    @property
    def n(self) -> int:
        """How many observations."""
        return int(self.t_s.size)

    @property
    def trusted(self) -> NDArray[np.intp]:
        """Indices of the observations that are not of low quality; all, when there are no others."""
        good = np.flatnonzero(~self.low)
        return good if good.size else np.arange(self.n)

    @property
    def gap_s(self) -> float:
        """Two observations further apart than this have a hole between them: the face was not seen."""
        return max(0.5, 4 * self.step_s)


@dataclass(slots=True)
class _Columns:
    va_origin: VaOrigin
    t_s: array[float] = field(default_factory=lambda: array("d"))
    numbers: array[float] = field(default_factory=lambda: array("f"))
    labels: array[int] = field(default_factory=lambda: array("b"))
    low: array[int] = field(default_factory=lambda: array("b"))


def gather(observations: Iterable[Observation]) -> dict[TrackKey, TrackSeries]:
    """One series per track, in the order of runs, streams, epochs and numbers.

    A record that came twice has the same track and media time as its first and is left out.
    """
    columns: dict[TrackKey, _Columns] = {}
    for o in observations:
        key = TrackKey(o.run, o.stream, o.track.epoch, o.track.number)
        into = columns.get(key)
        if into is None:
            into = columns[key] = _Columns(o.va_origin)
        into.t_s.append(o.media_time_s)
        into.numbers.extend(o.probs)
        into.numbers.extend((o.valence, o.arousal, o.confidence))
        into.numbers.extend(o.box_xywh)
        into.labels.append(UNLABELLED if o.label is None else _CODE.get(o.label, UNLABELLED))
        into.low.append(o.quality == "low")
    return {key: _series(key, columns[key]) for key in sorted(columns)}


def _series(key: TrackKey, columns: _Columns) -> TrackSeries:
    t_s, order = np.unique(np.array(columns.t_s, np.float64), return_index=True)
    numbers = np.array(columns.numbers, np.float32).reshape(-1, _N_NUMBERS)[order]
    return TrackSeries(
        key=key,
        va_origin=columns.va_origin,
        t_s=t_s,
        probs=numbers[:, :7],
        valence=numbers[:, 7],
        arousal=numbers[:, 8],
        confidence=numbers[:, 9],
        boxes_xywh=numbers[:, 10:14],
        labels=np.array(columns.labels, np.int8)[order],
        low=np.array(columns.low, np.bool_)[order],
        step_s=float(np.median(np.diff(t_s))) if t_s.size > 1 else 0.0,
    )


def shares(labels: NDArray[np.int8]) -> tuple[float, ...]:
    """Fractions of `labels` per expression, unlabelled last (8 numbers, summing to 1; zeros when there are none)."""
    counts = np.bincount(np.where(labels < 0, len(EXPRESSIONS), labels), minlength=len(EXPRESSIONS) + 1)
    return tuple(float(c) / labels.size for c in counts) if labels.size else (0.0,) * (len(EXPRESSIONS) + 1)
