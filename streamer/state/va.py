"""Valence and arousal: `predicted` by a head that learned them from people, else `derived` from the expressions.

The derived value is the expectation of the expressions' coordinates (`streamer.coordinates`) under the calibrated
probabilities. Its limits: words were rated, not faces; nothing outside valence -0.64..0.81 and arousal -0.27..0.67 can
be reached; and an over-confident network makes it a step function, hence calibrated probabilities only.
"""

from __future__ import annotations

from collections.abc import Sequence

from streamer.coordinates import COORDINATES
from streamer.messages import VaOrigin
from streamer.types import EXPRESSIONS

VALENCE_LIMITS: tuple[float, float] = (-0.64, 0.81)
AROUSAL_LIMITS: tuple[float, float] = (-0.27, 0.67)

_VALENCE = tuple(COORDINATES[name][0] for name in EXPRESSIONS)
_AROUSAL = tuple(COORDINATES[name][1] for name in EXPRESSIONS)


def derived(probs: Sequence[float]) -> tuple[float, float]:
    """(valence, arousal) expected under `probs` (7, calibrated, in the order of EXPRESSIONS, summing to 1)."""
    valence = arousal = 0.0
    for p, v, a in zip(probs, _VALENCE, _AROUSAL, strict=True):
        valence += p * v
        arousal += p * a
    return valence, arousal


def within(value: float) -> float:
    """`value` cut to [-1, 1]: a head with a linear output may leave the scale."""
    return min(1.0, max(-1.0, value))


def origin(trained_on: str | None) -> VaOrigin:
    """What values of an output trained on `trained_on` may be called: `predicted` needs human annotations."""
    return "derived" if trained_on is None else "predicted"
