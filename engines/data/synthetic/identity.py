"""A drawn person: the shape and colours of a face, and how strongly it shows what it feels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np

from engines.data.synthetic.expression import N_CHANNELS, Floats

Colour = tuple[float, float, float]
Hair = Literal["bald", "short", "fringe", "long", "curly"]
Beard = Literal["none", "moustache", "goatee", "full"]
Glasses = Literal["none", "thin", "thick"]
T = TypeVar("T", bound=str)

_SKIN: Floats = np.array(
    [[250, 220, 196], [236, 190, 156], [212, 160, 118], [168, 116, 78], [126, 82, 54], [88, 58, 42]]
)
_HAIR: Floats = np.array(
    [[32, 26, 24], [66, 44, 30], [112, 74, 42], [178, 130, 72], [222, 190, 128], [150, 62, 34], [186, 184, 182]]
)
_IRIS: Floats = np.array([[70, 44, 26], [96, 66, 36], [64, 98, 62], [74, 116, 158], [98, 108, 112]])
_CLOTHES: Floats = np.array(
    [[52, 82, 128], [142, 56, 60], [64, 110, 86], [92, 90, 96], [198, 174, 120], [232, 232, 228], [40, 40, 48]]
)


@dataclass(frozen=True, eq=False)
class Identity:
    """Lengths in half face heights, colours as RGB 0..255; the origin is between nose and eyes, y points down."""

    width: float
    jaw: float
    roundness: float
    chin: float
    skin: Colour
    hair: Hair
    hair_colour: Colour
    hairline: float
    eye_distance: float
    eye_y: float
    eye_width: float
    eye_height: float
    eye_tilt: float
    iris: Colour
    brow_height: float
    brow_tilt: float
    brow_thickness: float
    nose_length: float
    nose_width: float
    mouth_y: float
    mouth_width: float
    lip_thickness: float
    lips: Colour
    glasses: Glasses
    beard: Beard
    clothes: Colour
    strength: Floats
    """(7,) how strongly each expression shows."""
    gain: Floats
    """(9,) how far each channel moves."""
    rest: Floats
    """(9,) the channels at rest: a resting face is not quite neutral."""


def draw_identity(rng: np.random.Generator) -> Identity:
    """A new face; the same generator state gives the same face."""
    tone = rng.uniform(0, len(_SKIN) - 1)
    low = int(tone)
    skin = _SKIN[low] + (tone - low) * (_SKIN[min(low + 1, len(_SKIN) - 1)] - _SKIN[low]) + rng.normal(0, 5, 3)
    hair_colour = _HAIR[rng.choice(len(_HAIR), p=[0.26, 0.22, 0.16, 0.12, 0.08, 0.06, 0.10])] + rng.normal(0, 6, 3)
    beard: Beard = _pick(rng, ("none", "moustache", "goatee", "full"), (0.68, 0.10, 0.08, 0.14))
    return Identity(
        width=rng.uniform(0.66, 0.84),
        jaw=rng.uniform(0.05, 0.34),
        roundness=rng.uniform(0.82, 1.0),
        chin=rng.uniform(0.94, 1.06),
        skin=_colour(skin),
        hair=_pick(rng, ("bald", "short", "fringe", "long", "curly"), (0.08, 0.30, 0.22, 0.24, 0.16)),
        hair_colour=_colour(hair_colour),
        hairline=rng.uniform(-0.68, -0.48),
        eye_distance=rng.uniform(0.29, 0.38),
        eye_y=rng.uniform(-0.16, -0.06),
        eye_width=rng.uniform(0.14, 0.19),
        eye_height=rng.uniform(0.070, 0.100),
        eye_tilt=rng.uniform(-0.12, 0.12),
        iris=_colour(_IRIS[rng.integers(len(_IRIS))] + rng.normal(0, 6, 3)),
        brow_height=rng.uniform(0.19, 0.25),
        brow_tilt=rng.uniform(-0.03, 0.03),
        brow_thickness=rng.uniform(0.022, 0.045),
        nose_length=rng.uniform(0.28, 0.40),
        nose_width=rng.uniform(0.10, 0.17),
        mouth_y=rng.uniform(0.50, 0.58),
        mouth_width=rng.uniform(0.25, 0.33),
        lip_thickness=rng.uniform(0.035, 0.065),
        lips=_colour(0.62 * skin + 0.38 * np.array([176, 44, 62])),
        glasses=_pick(rng, ("none", "thin", "thick"), (0.74, 0.15, 0.11)),
        beard=beard,
        clothes=_colour(_CLOTHES[rng.integers(len(_CLOTHES))] + rng.normal(0, 10, 3)),
        strength=rng.uniform(0.75, 1.2, 7),
        gain=rng.uniform(0.75, 1.2, N_CHANNELS),
        rest=rng.normal(0, 0.06, N_CHANNELS) * np.array([1, 1, 1, 1, 0, 1, 0, 0, 0]),
    )


def _pick(rng: np.random.Generator, names: tuple[T, ...], shares: tuple[float, ...]) -> T:
    return names[int(rng.choice(len(names), p=shares))]


def _colour(values: Floats) -> Colour:
    r, g, b = np.clip(values, 0, 255)
    return float(r), float(g), float(b)
