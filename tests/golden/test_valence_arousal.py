"""The derived valence and arousal, with the published numbers written out."""

from __future__ import annotations

import pytest

from engines.spec import EXPRESSIONS
from streamer.coordinates import COORDINATES
from streamer.state.va import AROUSAL_LIMITS, VALENCE_LIMITS, derived

PUBLISHED = [
    ("Neutral", 0.0, 0.0),
    ("Angry", -0.51, 0.59),
    ("Disgust", -0.60, 0.35),
    ("Fear", -0.64, 0.60),
    ("Happy", 0.81, 0.51),
    ("Sad", -0.63, -0.27),
    ("Surprise", 0.40, 0.67),
]


@pytest.mark.parametrize(("expression", "valence", "arousal"), PUBLISHED)
def test_certainty_is_the_published_point(expression: str, valence: float, arousal: float) -> None:
    certain = [1.0 if name == expression else 0.0 for name in EXPRESSIONS]
    assert derived(certain) == (valence, arousal)


def test_a_mixture_is_the_expectation() -> None:
    valence, arousal = derived([0.1, 0.2, 0.05, 0.05, 0.4, 0.15, 0.05])
    assert valence == pytest.approx(0.0855, abs=1e-12)
    assert arousal == pytest.approx(0.3625, abs=1e-12)


def test_the_limits_are_those_of_the_points() -> None:
    valences, arousals = zip(*COORDINATES.values(), strict=True)
    assert (min(valences), max(valences)) == VALENCE_LIMITS == (-0.64, 0.81)
    assert (min(arousals), max(arousals)) == AROUSAL_LIMITS == (-0.27, 0.67)
