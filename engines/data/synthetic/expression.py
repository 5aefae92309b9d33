"""What each expression does to a drawn face, and where it lies in valence and arousal."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

CHANNELS = (
    "brow_inner", "brow_outer", "eye_open", "mouth_curve", "mouth_open", "mouth_width", "nose_wrinkle", "upper_lip",
    "cheek",
)  # fmt: skip
"""The movements of a drawn face; 0 is at rest. Brows and curve are positive upwards, eyes and mouth when opened."""
N_CHANNELS = len(CHANNELS)

MOVEMENTS: Floats = np.array(
    [
        # brow in, out, eyes, curve, open, width, nose, lip, cheek
        [0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00],  # Neutral
        [-1.00, 0.35, -0.35, -0.55, 0.10, -0.20, 0.25, 0.10, 0.00],  # Angry
        [-0.60, -0.10, -0.55, -0.45, 0.15, 0.00, 1.00, 1.00, 0.55],  # Disgust
        [1.00, 0.20, 0.80, -0.45, 0.35, 0.45, 0.00, 0.00, 0.00],  # Fear
        [0.05, 0.10, -0.40, 1.00, 0.30, 0.55, 0.00, 0.15, 1.00],  # Happy
        [0.80, -0.45, -0.40, -0.90, 0.00, -0.15, 0.00, 0.00, 0.10],  # Sad
        [1.10, 1.10, 1.00, 0.05, 1.00, -0.45, 0.00, 0.00, 0.00],  # Surprise
    ]
)
"""(7,9): the channels of each expression at full intensity, in the order of EXPRESSIONS."""

COORDINATES: Floats = np.array(
    [[0.0, 0.0], [-0.51, 0.59], [-0.60, 0.35], [-0.64, 0.60], [0.81, 0.51], [-0.63, -0.27], [0.40, 0.67]]
)
"""(7,2) valence and arousal at full intensity: Russell and Mehrabian (1977) as cited in public sources. They rated
words, not faces; Neutral at the origin is a convention."""

VALENCE_SHOWS: Floats = np.array([0.0, 0.2, 0.0, 0.9, 0.0, 0.2, -0.1, 0.0, 0.3])
AROUSAL_SHOWS: Floats = np.array([0.3, 0.3, 0.9, 0.0, 0.3, 0.0, 0.0, 0.0, 0.0])
"""(9,) how a deviation of valence, or of arousal, from the expression's own shows in the channels."""
