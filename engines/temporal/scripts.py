"""What a face shows over time: expressions that dwell, fade into each other and differ in intensity."""

from __future__ import annotations

from typing import Literal

import numpy as np

from engines.spec import N_PROBS
from engines.temporal.sequences import Floats, Labels

NEUTRAL = 0
Dwell = Literal["lognormal", "gamma"]


def dwell_times(
    kind: Dwell, median_s: float, spread: float, shortest_s: float, n: int, rng: np.random.Generator
) -> Floats:
    """`n` dwell times in seconds; `spread` is the standard deviation of their logarithm, 1/sqrt(shape) of a gamma."""
    if kind == "lognormal":
        drawn = median_s * np.exp(rng.normal(0.0, spread, n))
    else:
        shape = 1.0 / spread**2
        drawn = rng.gamma(shape, median_s / shape, n)  # its mean: near enough to a median for what it is used for
    return np.asarray(np.maximum(shortest_s, drawn), np.float32)


def expressions_shown(
    duration_s: float,
    *,
    kind: Dwell,
    neutral_s: float,
    other_s: float,
    spread: float,
    shortest_s: float,
    through_neutral: float,
    weights: Floats,
    rng: np.random.Generator,
) -> tuple[Floats, Labels]:
    """A semi-Markov chain: times (K,) at which an expression begins, the first at 0, and which (K,) follow each other.

    `weights` (7,) are the odds of each expression where the chain is free; after one that is not neutral the chain
    goes through Neutral with probability `through_neutral`.
    """
    begins, shown, at_s = [0.0], [int(rng.choice(N_PROBS, p=weights))], 0.0
    while True:
        now = shown[-1]
        dwell = dwell_times(kind, neutral_s if now == NEUTRAL else other_s, spread, shortest_s, 1, rng)
        at_s += float(dwell[0])
        if at_s >= duration_s:
            return np.asarray(begins, np.float32), np.asarray(shown, np.int64)
        if now != NEUTRAL and rng.random() < through_neutral:
            following = NEUTRAL
        else:
            odds = weights.astype(np.float64).copy()
            odds[now] = 0.0
            following = int(rng.choice(N_PROBS, p=odds / odds.sum()))
        begins.append(at_s)
        shown.append(following)


def played(
    times_s: Floats, begins_s: Floats, shown: Labels, intensity: Floats, fade_s: Floats
) -> tuple[Labels, Floats]:
    """Labels (T,) and the share of each expression in the face (T,7) at `times_s`.

    An expression fades into the next over `fade_s` (K,) around the change, half of each at the change itself, which
    is where the label changes. At its height an expression has the share `intensity` (K,), the rest is neutral.
    """
    at = np.searchsorted(begins_s, times_s, side="right") - 1  # which segment
    share = np.zeros((len(times_s), N_PROBS), np.float32)
    rows = np.arange(len(times_s))

    def add(segment: Labels, weight: Floats) -> None:
        held = intensity[segment]
        np.add.at(share, (rows, shown[segment]), weight * held)
        np.add.at(share, (rows, np.full(len(rows), NEUTRAL)), weight * (1 - held))

    last = len(begins_s) - 1
    following = np.minimum(at + 1, last)
    # Shares that already belong to the one to come, and that are still the one before's.
    to_come = np.where(at < last, 0.5 - (begins_s[following] - times_s) / fade_s[following], 0.0).clip(0, 0.5)
    gone = np.where(at > 0, 0.5 - (times_s - begins_s[at]) / fade_s[at], 0.0).clip(0, 0.5)
    add(at, (1 - to_come - gone).astype(np.float32))
    add(following, to_come.astype(np.float32))
    add(np.maximum(at - 1, 0), gone.astype(np.float32))
    return shown[at], share
