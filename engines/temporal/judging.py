"""How a temporal answer is judged: by its labels, its probabilities, and what it does around true changes."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from engines.metrics import accuracy, challenge_score, macro_f1
from engines.temporal.sequences import Floats, Labels, Sequences, log_probs


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """One answer on one set of tracks.

    `score` is the challenge's, 0.67 `macro_f1` + 0.33 `accuracy`; `nll` the mean negative logarithm of the true
    label's probability; `changes_per_min` how often the answer's label changes in a minute of observed time (for the
    truth see `true_changes_per_min`). Of the true changes within a track `missed` is the share whose new expression
    is never named while it lasts, and `delay` the median number of observations until it first is, of those named
    (0: at once).
    """

    score: float
    macro_f1: float
    accuracy: float
    nll: float
    changes_per_min: float
    true_changes_per_min: float
    missed: float
    delay: float


@dataclass(frozen=True)
class Change:
    """A true change in track `track`: the label is `label` from observation `begin` to before `end`."""

    track: int
    begin: int
    end: int
    label: int


def changes_of(labels: Labels) -> list[Change]:
    """Every true change within the tracks (N,T); the beginning of a track is none."""
    found = []
    for i, row in enumerate(labels):
        begins = (np.flatnonzero(np.diff(row)) + 1).tolist()
        for begin, end in itertools.pairwise([*begins, len(row)]):
            found.append(Change(i, begin, end, int(row[begin])))
    return found


def delays_of(answered: Labels, changes: list[Change]) -> NDArray[np.float64]:
    """Observations until each change is first named, infinite where it never is while it lasts."""
    delays = np.full(len(changes), np.inf)
    for k, change in enumerate(changes):
        named = np.flatnonzero(answered[change.track, change.begin : change.end] == change.label)
        if len(named):
            delays[k] = named[0]
    return delays


def judge(answers: Floats, tracks: Sequences) -> Figures:
    """The figures of answers (N,T,7) to tracks."""
    labels, answered = tracks.labels, answers.argmax(-1)
    f1, right = macro_f1(labels.ravel(), answered.ravel()), accuracy(labels.ravel(), answered.ravel())
    true = np.take_along_axis(log_probs(answers), labels[..., None], -1)
    delays = delays_of(answered, changes_of(labels))
    named = np.isfinite(delays)
    minutes = float(tracks.gap_s.sum()) / 60.0
    return Figures(
        score=challenge_score(f1, right),
        macro_f1=f1,
        accuracy=right,
        nll=float(-true.mean()),
        changes_per_min=float((np.diff(answered, axis=1) != 0).sum()) / minutes,
        true_changes_per_min=float((np.diff(labels, axis=1) != 0).sum()) / minutes,
        missed=float(1.0 - named.mean()) if len(delays) else 0.0,
        delay=float(np.median(delays[named])) if named.any() else 0.0,
    )
