"""Where the seven expressions lie in valence and arousal.

Russell and Mehrabian (1977, J. Research in Personality 11:273-294), as cited in public sources, rated emotion words
for pleasure and arousal. They rated words, not faces; Neutral at the origin is a convention.
"""

from __future__ import annotations

COORDINATES: dict[str, tuple[float, float]] = {
    "Neutral": (0.0, 0.0),
    "Angry": (-0.51, 0.59),
    "Disgust": (-0.60, 0.35),
    "Fear": (-0.64, 0.60),
    "Happy": (0.81, 0.51),
    "Sad": (-0.63, -0.27),
    "Surprise": (0.40, 0.67),
}
"""(valence, arousal) by expression, in the order of EXPRESSIONS."""
