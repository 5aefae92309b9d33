"""Plain filters over a track's probabilities, time-aware and recurrent: what a trained head has to beat.

Each carries two vectors of 7 from observation to observation, zero before a track's first, and looks at the seconds
since the last one instead of counting frames. `step` is the reference in numpy; `filter_onnx` writes the same
arithmetic as a graph, so that whichever is best runs where a trained head would.

Any of them may work on remapped probabilities: softmax(weights @ log-probs + bias), fitted frame by frame on the
training simulator. That much a trained head knows without looking at time at all, so it may not be what it wins by.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol

import msgspec
import numpy as np

from engines.spec import N_PROBS
from engines.temporal.sequences import Floats, Sequences, log_probs, softmax

REMAPPED = ", remapped"
"""How the name of a filter behind a remap ends."""
LEAD = np.float32(1e-4)
"""By how much a held label leads in the probabilities that are answered for it."""


class Remap(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A map of one frame's probabilities: `weights` (7,7) and `bias` (7,)."""

    weights: tuple[tuple[float, ...], ...]
    bias: tuple[float, ...]

    def of(self, probs: Floats) -> Floats:
        """(...,7) remapped."""
        return softmax(log_probs(probs) @ np.asarray(self.weights, np.float32).T + np.asarray(self.bias, np.float32))


class Filter(Protocol):
    """A filter over rows of different tracks; `step` takes what `remap` made of the probabilities, if there is one."""

    @property
    def remap(self) -> Remap | None:
        """What the probabilities go through first."""

    @property
    def name(self) -> str:
        """What tables and records call it."""

    @abstractmethod
    def step(self, probs: Floats, gap_s: Floats, h: Floats, c: Floats) -> tuple[Floats, Floats, Floats]:
        """The answer (B,7) and the new state (B,7) twice, from probs (B,7), gap_s (B,) and the state."""


class Bare(msgspec.Struct, frozen=True, kw_only=True, tag="bare"):
    """What the network alone says."""

    remap: Remap | None = None

    @property
    def name(self) -> str:
        return _named("bare", self.remap)

    def step(self, probs: Floats, gap_s: Floats, h: Floats, c: Floats) -> tuple[Floats, Floats, Floats]:
        return probs, h, c


class Ema(msgspec.Struct, frozen=True, kw_only=True, tag="ema"):
    """An exponential moving average: after `tau_s` seconds the past has 1/e of the weight. h: the average; c: 1 once
    there is one."""

    tau_s: float
    remap: Remap | None = None

    @property
    def name(self) -> str:
        return _named("ema", self.remap)

    def step(self, probs: Floats, gap_s: Floats, h: Floats, c: Floats) -> tuple[Floats, Floats, Floats]:
        kept = c * np.exp(-gap_s / np.float32(self.tau_s))[:, None]
        average = probs + kept * (h - probs)
        return average, average, np.ones_like(c)


class Hysteresis(msgspec.Struct, frozen=True, kw_only=True, tag="hysteresis"):
    """The same average, but its label changes only when another leads by `margin`. h: the average; c: one-hot, the
    label held. Where the label held does not lead, the answer lifts it to just above what does."""

    tau_s: float
    margin: float
    remap: Remap | None = None

    @property
    def name(self) -> str:
        return _named("ema-hysteresis", self.remap)

    def step(self, probs: Floats, gap_s: Floats, h: Floats, c: Floats) -> tuple[Floats, Floats, Floats]:
        begun = c.sum(1, keepdims=True)
        kept = begun * np.exp(-gap_s / np.float32(self.tau_s))[:, None]
        average = probs + kept * (h - probs)
        highest = average.max(1, keepdims=True)
        held = (c * average).sum(1, keepdims=True)
        # The first observation has no label to hold; `held` is 0 then, and the margin must not keep it so.
        changes = highest > held + begun * np.float32(self.margin)
        leading = np.eye(N_PROBS, dtype=np.float32)[average.argmax(1)]
        label = np.where(changes, leading, c)
        lift = highest - (label * average).sum(1, keepdims=True) + LEAD
        lifted = average + label * lift
        return lifted / lifted.sum(1, keepdims=True), average, label


class Hmm(msgspec.Struct, frozen=True, kw_only=True, tag="hmm"):
    """The forward pass of a hidden Markov model. h: the probability of each expression; c: 1 once there is one.

    Between observations an expression ends with rate 1/`dwell_s` and any follows, by `prior`. An observation speaks
    for expression k by probs[k] / prior[k], raised to `first_trust` for a track's first and after that to a power that
    grows with the seconds since the last one up to `trust` at `renewal_s`: what comes sooner says partly the same
    again, since noise is correlated.
    """

    dwell_s: float
    trust: float
    renewal_s: float
    prior: tuple[float, ...]
    first_trust: float = 0.5
    remap: Remap | None = None

    @property
    def name(self) -> str:
        return _named("hmm", self.remap)

    def step(self, probs: Floats, gap_s: Floats, h: Floats, c: Floats) -> tuple[Floats, Floats, Floats]:
        prior = np.asarray(self.prior, np.float32)
        stays = c * np.exp(-gap_s / np.float32(self.dwell_s))[:, None]
        expected = prior + stays * (h - prior)
        fresh = np.minimum(gap_s / np.float32(self.renewal_s), np.float32(1))[:, None] * np.float32(self.trust)
        power = np.float32(self.first_trust) + c * (fresh - np.float32(self.first_trust))
        speaks = log_probs(probs) - np.log(prior)
        odds = expected * np.exp(power * (speaks - speaks.max(1, keepdims=True)))
        posterior = odds / odds.sum(1, keepdims=True)
        return posterior, posterior, np.ones_like(c)


AnyFilter = Bare | Ema | Hysteresis | Hmm


def _named(name: str, remap: Remap | None) -> str:
    return name if remap is None else name + REMAPPED


def run_filter(one: Filter, tracks: Sequences) -> Floats:
    """(N,T,7) the filter's answers over whole tracks."""
    n, steps = tracks.labels.shape
    h = c = np.zeros((n, N_PROBS), np.float32)
    probs = tracks.probs if one.remap is None else one.remap.of(tracks.probs)
    answers = np.empty_like(probs)
    for t in range(steps):
        answers[:, t], h, c = one.step(probs[:, t], tracks.gap_s[:, t], h, c)
    return answers
