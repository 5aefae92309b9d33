"""What happens in a drawn video, moment by moment: expressions come and go, the head moves, things get in the way.

Everything is a smooth function of time, so that a video is the same whatever its frame rate. Annotations follow the
expression alone; a lapse changes the picture and never the label.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.data.synthetic.config import SyntheticConfig
from engines.data.synthetic.expression import (
    AROUSAL_SHOWS,
    COORDINATES,
    MOVEMENTS,
    N_CHANNELS,
    VALENCE_SHOWS,
    Floats,
)
from engines.data.synthetic.identity import Identity
from engines.spec import N_PROBS

LAPSES = ("blur", "dark", "turn", "talk", "cover")
LAPSE_RATE_HZ = 0.18
"""How often each kind of lapse begins at noise 1: with the default lengths nearly half of all frames lie in one."""
_RAMP_S = 0.12


@dataclass(frozen=True)
class Timeline:
    """One video of F frames: what is true of it, and what is to be drawn."""

    expression: NDArray[np.int64]
    valence: NDArray[np.float32]
    arousal: NDArray[np.float32]
    channels: Floats
    """(F,9) of the face, the identity's own way in it, talking included."""
    pose: Floats
    """(F,6): roll, yaw, pitch in radians; shift right and down in parts of the side; scale."""
    gaze: Floats
    """(F,2) of the pupils in parts of the eye's width."""
    light: Floats
    """(F,3): gain, and how much brighter the right and the lower edge are."""
    blur: Floats
    """(F,) 0..1."""
    cover: Floats
    """(F,4): how far the hand or bar has come 0..1, where it stands (x, y), and which it is (below 0.5 a hand)."""
    background: NDArray[np.uint8]
    """(4,4,3) colours, the same for the whole video."""


def draw_timeline(
    config: SyntheticConfig, identity: Identity, rng: np.random.Generator, n_frames: int, fps: float
) -> Timeline:
    """The timeline of `n_frames` frames, `fps` a second; the same generator state gives the same one."""
    t = np.arange(n_frames) / fps
    expression, shares = _expressions(config, rng, t)  # (F,), (F,7)
    deviation = 0.13 * np.stack([_wander(rng, t, 2.0, 8.0), _wander(rng, t, 2.0, 8.0)], 1)  # (F,2)
    affect = np.clip(shares @ COORDINATES + deviation, -1, 1)

    shown: Floats = (shares * identity.strength) @ MOVEMENTS * identity.gain + identity.rest
    shown = shown + np.outer(deviation[:, 0], VALENCE_SHOWS) * 2.2 + np.outer(deviation[:, 1], AROUSAL_SHOWS) * 2.2
    lapse = {kind: _lapses(config, rng, t) for kind in LAPSES}
    depth = {kind: found[0] for kind, found in lapse.items()}
    shown = _talk(rng, t, shown, depth["talk"])
    shown[:, 2] -= 1.6 * _blinks(rng, t)

    turn = depth["turn"]
    pose = np.stack(
        [
            0.10 * _wander(rng, t, 1.5, 6.0) + rng.normal(0, 0.04),
            0.22 * _wander(rng, t, 1.5, 6.0) + turn * lapse["turn"][1][:, 0] * 1.15,
            0.10 * _wander(rng, t, 1.5, 6.0) + turn * lapse["turn"][1][:, 1] * 0.45,
            0.022 * _wander(rng, t, 1.0, 4.0),
            0.022 * _wander(rng, t, 1.0, 4.0),
            rng.uniform(0.93, 1.08) * (1 + 0.04 * _wander(rng, t, 2.0, 6.0)),
        ],
        1,
    )
    gain = rng.uniform(0.78, 1.12) * (1 + 0.06 * _wander(rng, t, 2.0, 8.0))
    light = np.stack(
        [
            gain * (1 - 0.86 * depth["dark"]),
            rng.uniform(-0.35, 0.35) + 0.1 * _wander(rng, t, 3.0, 9.0),
            np.full(n_frames, rng.uniform(-0.25, 0.15)),
        ],
        1,
    )
    where = lapse["cover"][1]
    cover = np.column_stack([depth["cover"], 0.25 * where[:, 0], np.where(where[:, 1] > 0, 0.5, -0.1), where[:, 2]])
    background = rng.uniform(70, 210) + rng.normal(0, 22, 3) + rng.normal(0, 14, (4, 4, 3))
    return Timeline(
        expression=expression,
        valence=affect[:, 0].astype(np.float32),
        arousal=affect[:, 1].astype(np.float32),
        channels=shown,
        pose=pose,
        gaze=0.25 * np.stack([_wander(rng, t, 0.8, 3.0), 0.5 * _wander(rng, t, 0.8, 3.0)], 1),
        light=light,
        blur=depth["blur"],
        cover=cover,
        background=np.clip(background, 0, 255).astype(np.uint8),
    )


def _expressions(config: SyntheticConfig, rng: np.random.Generator, t: Floats) -> tuple[NDArray[np.int64], Floats]:
    """The expression at each moment (F,), and how strongly each of the seven is there (F,7).

    All seven come equally often, in a new order each time round and never one twice in a row. An expression rises
    over the change before it, reaches its height on the way, and falls from there.
    """
    begins = [-float(rng.uniform(0, config.dwell_s[0]))]
    while begins[-1] < t[-1] + 1:
        begins.append(begins[-1] + float(rng.uniform(*config.dwell_s)))
    n = len(begins) - 1
    kinds: list[int] = []
    while len(kinds) < n:
        again = [int(one) for one in rng.permutation(N_PROBS)]
        if kinds and kinds[-1] == again[0]:
            again.reverse()
        kinds += again
    change = rng.uniform(0.12, 0.30, n + 1)
    height, apex, ends = rng.uniform(0.75, 1.0, n), rng.uniform(0.3, 0.7, n), rng.uniform(0.6, 0.85, (n, 2))
    shares = np.zeros((len(t), N_PROBS))
    for i in range(n):
        here = _step((t - begins[i]) / change[i]) * (1 - _step((t - begins[i + 1]) / change[i + 1]))
        along = np.clip((t - begins[i]) / (begins[i + 1] - begins[i]), 0, 1)
        bump = np.interp(along, [0, apex[i], 1], [ends[i, 0], 1, ends[i, 1]])
        shares[:, kinds[i]] += height[i] * here * bump
    now = np.searchsorted(begins, t, side="right") - 1
    return np.array(kinds, np.int64)[now], shares


def _lapses(config: SyntheticConfig, rng: np.random.Generator, t: Floats) -> tuple[Floats, Floats]:
    """How deep in a lapse of one kind each moment is (F,), 0..1, and three numbers of that lapse (F,3) in -1..1."""
    length = float(t[-1]) + 2
    n = int(rng.poisson(LAPSE_RATE_HZ * config.noise * length))
    depth, about = np.zeros(len(t)), np.zeros((len(t), 3))
    for begin in rng.uniform(-1, length - 1, n):
        lasts, deep, kind = rng.uniform(*config.lapse_s), rng.uniform(0.7, 1.0), rng.uniform(-1, 1, 3)
        kind[0] = np.sign(kind[0]) * (0.6 + 0.4 * abs(kind[0]))
        here = deep * np.clip(np.minimum(t - begin, begin + lasts - t) / _RAMP_S + 0.5, 0, 1)
        deeper = here > depth
        depth[deeper], about[deeper] = here[deeper], kind
    return depth, about


def _talk(rng: np.random.Generator, t: Floats, channels: Floats, depth: Floats) -> Floats:
    """The channels while a face talks: mouth and brows move by themselves and hide what they would show."""
    slow, fast = (0.25, 0.7), (0.15, 0.4)
    moves = np.zeros_like(channels)
    moves[:, 4] = 0.45 + 0.55 * _wander(rng, t, *fast)
    moves[:, 5] = 0.7 * _wander(rng, t, *fast)
    moves[:, 3] = 0.9 * _wander(rng, t, *slow)
    moves[:, 0] = 0.8 * _wander(rng, t, *slow)
    moves[:, 1] = 0.8 * _wander(rng, t, *slow)
    moves[:, 2] = 0.5 * _wander(rng, t, *slow)
    kept = 1 - depth[:, None] * np.array([0.7, 0.7, 0.5, 0.9, 1.0, 1.0, 0.5, 0.9, 0.4])[:N_CHANNELS]
    mixed: Floats = channels * kept + moves * depth[:, None]
    return mixed


def _blinks(rng: np.random.Generator, t: Floats) -> Floats:
    closed = np.zeros(len(t))
    for at in rng.uniform(t[0], t[-1] + 1e-9, int(rng.poisson(0.3 * (t[-1] - t[0] + 1)))):
        closed = np.maximum(closed, np.clip(1.3 - np.abs(t - at) / 0.08, 0, 1))
    return closed


def _wander(rng: np.random.Generator, t: Floats, shortest_s: float, longest_s: float) -> Floats:
    """(F,) of mean 0 and deviation about 1: four waves with periods between the two, in random phase."""
    period, phase = rng.uniform(shortest_s, longest_s, 4), rng.uniform(0, 2 * np.pi, 4)
    waves: Floats = np.sin(2 * np.pi * t[:, None] / period + phase).sum(1) / np.sqrt(2)
    return waves


def _step(x: Any) -> Floats:
    """0 below -1, 1 above 1, smooth between."""
    y = np.clip((x + 1) / 2, 0, 1)
    smooth: Floats = y * y * (3 - 2 * y)
    return smooth
