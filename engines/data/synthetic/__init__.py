"""Procedurally drawn faces with known expression, valence and arousal: for development and CI, never evidence.

What is measured on these drawings says whether code learns what it should from data made to be learnt from. It says
nothing about people, about photographs, or about how well any model reads either.
"""

from engines.data.synthetic.config import SPLITS, Split, SyntheticConfig
from engines.data.synthetic.frames import DrawnPictures, drawn_in_memory, shuffled_rows, synthetic_frames
from engines.data.synthetic.sheet import contact_sheet

__all__ = [
    "SPLITS",
    "DrawnPictures",
    "Split",
    "SyntheticConfig",
    "contact_sheet",
    "drawn_in_memory",
    "shuffled_rows",
    "synthetic_frames",
]
