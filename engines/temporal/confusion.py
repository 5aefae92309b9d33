"""How the default expression network errs, as class-conditional means of its temperature-scaled probabilities.

Published of it are two numbers on 269 labelled photographs, 0.67 accuracy and 0.55 macro-F1, and that Disgust and Fear
are weak. MEANS is a guess consistent with them: which expressions are taken for which follows what is generally
reported of such networks (Fear for Surprise, Disgust for Angry and Sad, the weak ones for Neutral), and the sizes were
set so that single observations drawn as the simulators draw them, without pose and gaps and with the classes as often
as in PHOTOGRAPHS, score what the network scored. `tests/engines/temporal` holds that.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engines.spec import N_PROBS

Floats = NDArray[np.float32]

MEANS: tuple[tuple[float, ...], ...] = (
    # Neutral Angry Disgust Fear Happy Sad Surprise
    (0.789, 0.045, 0.009, 0.011, 0.030, 0.089, 0.027),
    (0.144, 0.653, 0.055, 0.019, 0.019, 0.088, 0.022),
    (0.169, 0.339, 0.190, 0.026, 0.098, 0.148, 0.030),
    (0.144, 0.067, 0.022, 0.171, 0.026, 0.171, 0.399),
    (0.031, 0.007, 0.007, 0.005, 0.932, 0.009, 0.009),
    (0.188, 0.057, 0.022, 0.032, 0.018, 0.668, 0.015),
    (0.047, 0.014, 0.006, 0.068, 0.029, 0.017, 0.819),
)
"""Row: the expression shown at its height; column: the mean calibrated probability of each (rows sum to 1)."""
PHOTOGRAPHS: tuple[float, ...] = (0.24, 0.13, 0.06, 0.07, 0.25, 0.14, 0.11)
"""How often each expression is supposed to occur among labelled photographs."""


def log_means(means: tuple[tuple[float, ...], ...] = MEANS) -> Floats:
    """(7,7) natural logarithms of the means, rows normalised."""
    table = np.asarray(means, np.float64)
    assert table.shape == (N_PROBS, N_PROBS)
    return np.asarray(np.log(table / table.sum(1, keepdims=True)), np.float32)


def perturbed(
    means: tuple[tuple[float, ...], ...], sd: float, rng: np.random.Generator
) -> tuple[tuple[float, ...], ...]:
    """The means of a network that errs otherwise: normal noise of `sd` on their logarithms."""
    table = np.exp(log_means(means) + rng.normal(0.0, sd, (N_PROBS, N_PROBS)))
    return tuple(tuple(float(value) for value in row / row.sum()) for row in table)
