"""Simulated tracks: expressions played by a face, seen through an expression network that errs as real ones do.

What one observation's log-probs are made of: the network's class-conditional means (`confusion`), mixed by the shares
of the expressions in the face; a bias of this person, for every expression its own; noise correlated in time, simulated
or blocks of real residual tracks; episodes of turned heads and covered faces, during which the evidence is flattened
and pushed somewhere; more noise on small faces; and a little noise of the single frame. Observations come at 5 to 30 a
second with some missing and with gaps. Nothing of any size is independent from frame to frame: smoothing such noise
away is no achievement.

Two simulators with nothing but this module's structure in common: TRAINING is for training and tuning, JUDGING for
judging alone. They differ in dwell times, correlation, rates, confusion and in the family of the noise.
"""

from __future__ import annotations

from typing import Literal

import msgspec
import numpy as np

from engines.spec import N_PROBS
from engines.temporal.confusion import MEANS, PHOTOGRAPHS, log_means, perturbed
from engines.temporal.residuals import ResidualTracks
from engines.temporal.scripts import Dwell, expressions_shown, played
from engines.temporal.sequences import Floats, Labels, Sequences, softmax

Range = tuple[float, float]
NoiseFamily = Literal["ornstein-uhlenbeck", "telegraph"]
_SLACK = 1.6
"""Frames simulated for each observation kept, so that missing ones never run a track dry."""
_BEFORE_S = 40.0
"""How long a face has been showing expressions when it is first seen, so that a track begins with any as often as it is
seen in the middle of one: most often with Neutral."""


class Simulator(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a simulator; a range is drawn from anew for every track (log-uniformly for rates and times).

    `weights` are the odds of the expressions. `bias_sd`, `noise_sd` and `frame_sd` are natural logarithms of
    probabilities: of the person's bias, of the noise with correlation time `correlation_s`, and of what is drawn anew
    for every frame. `real_share` is the share of tracks whose noise is a block of a real residual track. Episodes come
    `episodes_hz` times a second and last `episode_s`; they push the evidence by `episode_sd` and flatten it by up to
    `episode_flattening`. `missing` is the share of single observations missing; `gaps_hz`, `gap_s` are of longer gaps.
    """

    name: str
    means: tuple[tuple[float, ...], ...] = MEANS
    weights: tuple[float, ...] = PHOTOGRAPHS
    rates_hz: Range = (5.0, 30.0)
    dwell: Dwell = "lognormal"
    neutral_s: Range = (2.0, 10.0)
    other_s: Range = (1.5, 6.0)
    spread: float = 0.6
    shortest_s: float = 0.5
    fade_s: Range = (0.1, 0.5)
    intensity: Range = (0.6, 1.0)
    through_neutral: float = 0.5
    bias_sd: Range = (0.9, 1.9)
    noise: NoiseFamily = "ornstein-uhlenbeck"
    noise_sd: Range = (0.4, 1.1)
    correlation_s: Range = (0.1, 1.5)
    frame_sd: Range = (0.02, 0.2)
    real_share: float = 0.5
    episodes_hz: Range = (0.03, 0.25)
    episode_s: Range = (0.5, 3.0)
    episode_sd: float = 0.9
    episode_flattening: float = 0.6
    covered_share: float = 0.3
    face_px: Range = (20.0, 160.0)
    missing: Range = (0.0, 0.1)
    gaps_hz: Range = (0.0, 0.05)
    gap_s: Range = (0.2, 3.0)


TRAINING = Simulator(name="training")
JUDGING = Simulator(
    name="judging",
    means=perturbed(MEANS, 0.5, np.random.default_rng(20)),
    weights=(0.30, 0.10, 0.08, 0.08, 0.20, 0.12, 0.12),
    rates_hz=(8.0, 25.0),
    dwell="gamma",
    neutral_s=(4.0, 12.0),
    other_s=(2.0, 5.0),
    spread=0.5,
    shortest_s=0.6,
    fade_s=(0.15, 0.4),
    intensity=(0.55, 1.0),
    through_neutral=0.65,
    bias_sd=(1.2, 1.6),
    noise="telegraph",
    noise_sd=(0.5, 1.0),
    correlation_s=(0.3, 2.5),
    frame_sd=(0.05, 0.15),
    real_share=0.0,
    episodes_hz=(0.05, 0.2),
    episode_s=(0.8, 2.5),
    episode_sd=1.0,
    episode_flattening=0.5,
    covered_share=0.4,
    face_px=(24.0, 120.0),
    missing=(0.0, 0.15),
    gaps_hz=(0.01, 0.08),
    gap_s=(0.3, 2.0),
)
PHOTOGRAPH_LIKE = msgspec.structs.replace(
    TRAINING,
    name="photographs",
    intensity=(0.9, 1.0),
    episodes_hz=(0.0, 0.0),
    missing=(0.0, 0.0),
    gaps_hz=(0.0, 0.0),
    real_share=0.0,
    face_px=(60.0, 160.0),
)
"""Faces at the height of an expression, frontal and large: what the published figures of the network are about."""


def simulate(
    settings: Simulator, n: int, steps: int, rng: np.random.Generator, residuals: ResidualTracks | None = None
) -> Sequences:
    """`n` tracks of `steps` observations. `residuals` are needed where `real_share` is above 0."""
    frames = max(2, int(steps * _SLACK))
    rate_hz = _drawn(settings.rates_hz, n, rng)
    times_s = np.arange(frames, dtype=np.float32)[None] / rate_hz[:, None]
    labels, shares = _shown(settings, times_s, rng)
    means = log_means(settings.means)[None] + _drawn(settings.bias_sd, n, rng)[:, None, None] * rng.normal(
        0.0, 1.0, (n, N_PROBS, N_PROBS)
    )
    evidence = np.einsum("ntk,nkj->ntj", shares, means.astype(np.float32))
    pose = _Pose(settings, times_s, rng)
    noise = _noise(settings, rate_hz, frames, rng, residuals) * (1 + (14.0 / pose.face_px) ** 2)[..., None]
    evidence = evidence * (1 - settings.episode_flattening * pose.strength)[..., None] + pose.push + noise
    evidence += _drawn(settings.frame_sd, n, rng)[:, None, None] * rng.standard_normal(evidence.shape, np.float32)
    kept = _kept(settings, times_s, steps, rng)
    at_s = np.take_along_axis(times_s, kept, 1)
    context = pose.context(rng)
    context[..., 0] = 0.0
    context = np.take_along_axis(context, kept[..., None], 1)
    context[:, 1:, 0] = np.diff(at_s, axis=1)
    probs = softmax(np.take_along_axis(evidence, kept[..., None], 1))
    return Sequences(probs, context.astype(np.float32), np.take_along_axis(labels, kept, 1))


def _drawn(between: Range, n: int, rng: np.random.Generator) -> Floats:
    """Log-uniform where both ends are above 0, else uniform."""
    low, high = between
    if low > 0:
        return np.exp(rng.uniform(np.log(low), np.log(high), n)).astype(np.float32)
    return rng.uniform(low, high, n).astype(np.float32)


def _shown(settings: Simulator, times_s: Floats, rng: np.random.Generator) -> tuple[Labels, Floats]:
    weights = np.asarray(settings.weights, np.float32)
    labels = np.empty(times_s.shape, np.int64)
    shares = np.empty((*times_s.shape, N_PROBS), np.float32)
    neutral_s, other_s = _drawn(settings.neutral_s, len(times_s), rng), _drawn(settings.other_s, len(times_s), rng)
    for i, own_s in enumerate(times_s):
        begins_s, shown = expressions_shown(
            _BEFORE_S + float(own_s[-1]) + 1.0,
            kind=settings.dwell,
            neutral_s=float(neutral_s[i]),
            other_s=float(other_s[i]),
            spread=settings.spread,
            shortest_s=settings.shortest_s,
            through_neutral=settings.through_neutral,
            weights=weights / weights.sum(),
            rng=rng,
        )
        begins_s -= _BEFORE_S
        intensity = _drawn(settings.intensity, len(shown), rng)
        fade_s = _drawn(settings.fade_s, len(shown), rng)
        labels[i], shares[i] = played(own_s, begins_s, shown, intensity, fade_s)
    return labels, shares


def _noise(
    settings: Simulator, rate_hz: Floats, frames: int, rng: np.random.Generator, residuals: ResidualTracks | None
) -> Floats:
    """(N,frames,7) noise that is correlated in time, of the settings' size."""
    n = len(rate_hz)
    made = _telegraph if settings.noise == "telegraph" else _ornstein_uhlenbeck
    kept = np.exp(-1.0 / (rate_hz * _drawn(settings.correlation_s, n, rng)))[:, None]
    noise = made(kept, frames, rng) * _drawn(settings.noise_sd, n, rng)[:, None, None]
    if settings.real_share:
        assert residuals is not None, f"the simulator {settings.name} takes blocks of real residual tracks"
        for i in np.flatnonzero(rng.random(n) < settings.real_share):
            noise[i] = residuals.block(frames, float(rate_hz[i]), rng)
    return noise


def _ornstein_uhlenbeck(kept: Floats, frames: int, rng: np.random.Generator) -> Floats:
    noise = rng.standard_normal((frames, len(kept), N_PROBS), np.float32)  # time first: the loop runs over it
    noise[1:] *= np.sqrt(1 - kept**2)
    for t in range(1, frames):
        noise[t] += kept * noise[t - 1]
    return noise.swapaxes(0, 1)


def _telegraph(kept: Floats, frames: int, rng: np.random.Generator) -> Floats:
    """Levels held for a time, then all drawn anew from a heavy-tailed law: jumps, which the other family has not."""
    levels = rng.standard_t(4, (len(kept), frames, N_PROBS)) / np.sqrt(2.0)  # unit variance
    jumps = rng.random((len(kept), frames)) >= kept
    jumps[:, 0] = True
    newest = np.maximum.accumulate(np.where(jumps, np.arange(frames)[None], 0), 1)
    return np.take_along_axis(levels, newest[..., None], 1).astype(np.float32)


def _kept(settings: Simulator, times_s: Floats, steps: int, rng: np.random.Generator) -> Labels:
    """(N,steps) the frames in which the face was observed, in order."""
    n, frames = times_s.shape
    gone = rng.random((n, frames)) < _drawn(settings.missing, n, rng)[:, None]
    gaps_hz = _drawn(settings.gaps_hz, n, rng)
    for i in range(n):
        for begin_s in rng.uniform(0.0, times_s[i, -1], rng.poisson(gaps_hz[i] * times_s[i, -1])):
            length_s = float(_drawn(settings.gap_s, 1, rng)[0])
            gone[i] |= (times_s[i] >= begin_s) & (times_s[i] < begin_s + length_s)
        seen = np.flatnonzero(~gone[i])
        if len(seen) < steps:  # more gaps than slack: the last frames are all seen
            missing = np.flatnonzero(gone[i])
            gone[i, missing[len(seen) - steps :]] = False
    return np.stack([np.flatnonzero(~row)[:steps] for row in gone])


class _Pose:
    """Pose and size of each face over time, and what they do to the evidence."""

    def __init__(self, settings: Simulator, times_s: Floats, rng: np.random.Generator) -> None:
        n, frames = times_s.shape
        self.strength = np.zeros((n, frames), np.float32)
        self.push = np.zeros((n, frames, N_PROBS), np.float32)
        self._yaw = np.repeat(rng.normal(0.0, 8.0, (n, 1)), frames, 1)
        self._roll = np.repeat(rng.normal(0.0, 4.0, (n, 1)), frames, 1)
        self._score = np.repeat(rng.uniform(0.8, 0.95, (n, 1)), frames, 1)
        step_s = np.maximum(times_s[:, 1:2], 1e-3)
        kept = np.exp(-step_s / 1.0)
        sway = _ornstein_uhlenbeck(kept, frames, rng)
        self._yaw += 5.0 * sway[..., 0]
        self._roll += 3.0 * sway[..., 1]
        size = _drawn(settings.face_px, n, rng)[:, None] * np.exp(0.08 * sway[..., 2])
        self.face_px = size.astype(np.float32)
        self._score -= 0.25 * (16.0 / self.face_px) ** 2
        episodes_hz = _drawn(settings.episodes_hz, n, rng)
        for i in range(n):
            for begin_s in rng.uniform(-1.0, times_s[i, -1], rng.poisson(episodes_hz[i] * (times_s[i, -1] + 1.0))):
                self._add(settings, i, times_s[i], float(begin_s), rng)

    def _add(self, settings: Simulator, i: int, times_s: Floats, begin_s: float, rng: np.random.Generator) -> None:
        length_s = float(rng.uniform(*settings.episode_s))
        inside = slice(*np.searchsorted(times_s, [begin_s, begin_s + length_s]).tolist())
        times_s = times_s[inside]
        # In and out of it within a quarter of its time each, at most 0.3 s.
        ramp_s = min(0.3, length_s / 4)
        rise = ((times_s - begin_s) / ramp_s).clip(0, 1) * ((begin_s + length_s - times_s) / ramp_s).clip(0, 1)
        how_far = float(rng.uniform(0.4, 1.0))
        if rng.random() < settings.covered_share:  # a hand, hair, a cup: no pose tells of it
            self._score[i, inside] -= 0.2 * rise * rng.random()
        else:
            self._yaw[i, inside] += rise * how_far * 60.0 * rng.choice([-1.0, 1.0])
            self._roll[i, inside] += rise * how_far * rng.normal(0.0, 15.0)
            self._score[i, inside] -= 0.15 * rise * how_far
        self.strength[i, inside] = np.maximum(self.strength[i, inside], rise * how_far)
        push = rng.normal(0.0, settings.episode_sd, N_PROBS).astype(np.float32)
        self.push[i, inside] += (rise * how_far)[:, None] * push

    def context(self, rng: np.random.Generator) -> Floats:
        """(N,frames,5) as a head is told, the gap left 0: proxies are noisy, as real ones are."""
        shape = self._yaw.shape
        return np.stack(
            [
                np.zeros(shape),
                (self._score + rng.normal(0.0, 0.02, shape)).clip(0.35, 0.99),
                self.face_px,
                self._roll + rng.normal(0.0, 1.5, shape),
                (self._yaw + rng.normal(0.0, 3.0, shape)).clip(-89.0, 89.0),
            ],
            -1,
        ).astype(np.float32)
