"""Changes to pictures while training that leave their labels as they are.

Drawn from (seed, epoch, index) alone: a run that was killed and resumed sees the same pictures, in any process. All
frames of a block get the same change, as they come from one camera a moment apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from engines.data.frames import UInt8Array
from engines.data.randomness import named_rng

Strength = Literal["off", "light", "strong"]


@dataclass(frozen=True)
class Limits:
    """How far a change may go: shares of the side, degrees, factors around 1, probabilities."""

    turn_deg: float
    shift: float
    scale: float
    light: float
    colour: float
    grey: float
    erase: float
    erase_side: float
    coarse: float
    coarsest: float


LIMITS: dict[Strength, Limits] = {
    "light": Limits(
        turn_deg=5, shift=0.04, scale=0.05, light=0.15, colour=0.15, grey=0.0,
        erase=0.0, erase_side=0.0, coarse=0.1, coarsest=0.6,
    ),
    "strong": Limits(
        turn_deg=15, shift=0.08, scale=0.12, light=0.35, colour=0.4, grey=0.1,
        erase=0.25, erase_side=0.35, coarse=0.3, coarsest=0.3,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Change:
    """One drawn change. Lengths are shares of the picture's side; `coarse` is the share of pixels a side that is left
    (1.0: all); `erase` is (x, y, width, height), or None; `quality` is the JPEG quality, 100 for none.
    """

    flip: bool = False
    turn_deg: float = 0.0
    shift: tuple[float, float] = (0.0, 0.0)
    scale: float = 1.0
    brightness: float = 0.0
    contrast: float = 1.0
    saturation: float = 1.0
    coarse: float = 1.0
    quality: int = 100
    erase: tuple[float, float, float, float] | None = None
    erase_level: int = 0


NO_CHANGE = Change()
_LUMA = (0.299, 0.587, 0.114)


def draw_change(strength: Strength, *, seed: int, epoch: int, index: int) -> Change:
    """The change of picture or block `index` in this epoch; `off` changes nothing."""
    if strength == "off":
        return NO_CHANGE
    limits = LIMITS[strength]
    rng = named_rng("augmentation", seed, epoch, index)
    # every number is drawn whether it is used or not, so that a limit can change without moving the others
    flip, grey, erase, coarse = rng.random(4)
    turn, x, y, scale, light, contrast, saturation = rng.uniform(-1, 1, 7)
    width, height, left, top, coarseness, level, quality = rng.random(7)
    wide, high = (float(limits.erase_side * (0.3 + 0.7 * share)) for share in (width, height))
    box = (float(left * (1 - wide)), float(top * (1 - high)), wide, high)
    is_coarse = coarse < limits.coarse
    return Change(
        flip=bool(flip < 0.5),
        turn_deg=float(turn * limits.turn_deg),
        shift=(float(x * limits.shift), float(y * limits.shift)),
        scale=float(1 + scale * limits.scale),
        brightness=float(light * limits.light * 128),
        contrast=float(1 + contrast * limits.light),
        saturation=0.0 if grey < limits.grey else float(1 + saturation * limits.colour),
        coarse=float(limits.coarsest + (1 - limits.coarsest) * coarseness) if is_coarse else 1.0,
        quality=int(30 + 60 * quality) if is_coarse else 100,
        erase=box if erase < limits.erase else None,
        erase_level=int(level * 255),
    )


def apply_change(change: Change, picture: UInt8Array) -> UInt8Array:
    """A changed copy of one picture (H,W,3) RGB uint8; the same bytes for the same change and picture.

    Loss of detail comes last before erasing, as in a camera: light, then lens and coding.
    """
    if change == NO_CHANGE:
        return picture.copy()
    moved = _moved(change, picture)
    lit = _lit(change, moved)
    coarse = _coarse(change, lit)
    return _erased(change, coarse)


def augment(pictures: UInt8Array, strength: Strength, *, seed: int, epoch: int, index: int) -> UInt8Array:
    """(H,W,3) or (s,H,W,3) pictures, all changed alike, in a new array of the same shape."""
    change = draw_change(strength, seed=seed, epoch=epoch, index=index)
    if pictures.ndim == 3:
        return apply_change(change, pictures)
    return np.stack([apply_change(change, picture) for picture in pictures])


def _moved(change: Change, picture: UInt8Array) -> UInt8Array:
    height, width = picture.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), change.turn_deg, change.scale)
    matrix[:, 2] += (change.shift[0] * width, change.shift[1] * height)
    if change.flip:  # mirror first, then turn: x -> width - 1 - x
        matrix = matrix @ np.array([[-1.0, 0.0, width - 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    warped = cv2.warpAffine(picture, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, dtype=np.uint8)


def _lit(change: Change, picture: UInt8Array) -> UInt8Array:
    """Saturation, then contrast around mid-grey, then brightness: one affine map of (r, g, b), rounded once."""
    mixed = change.saturation * np.eye(3) + (1 - change.saturation) * np.tile(_LUMA, (3, 1))
    offset = np.full((3, 1), 128 + change.brightness - 128 * change.contrast)
    return np.asarray(cv2.transform(picture, np.hstack([change.contrast * mixed, offset])), dtype=np.uint8)


def _coarse(change: Change, picture: UInt8Array) -> UInt8Array:
    height, width = picture.shape[:2]
    if change.coarse < 1:
        small = (max(1, round(width * change.coarse)), max(1, round(height * change.coarse)))
        shrunk = cv2.resize(picture, small, interpolation=cv2.INTER_AREA)
        picture = np.asarray(cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
    if change.quality < 100:
        _, coded = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, change.quality])
        decoded = cv2.imdecode(coded, cv2.IMREAD_COLOR)
        assert decoded is not None, "what was coded a line above can be decoded"
        picture = np.ascontiguousarray(decoded[..., ::-1], dtype=np.uint8)
    return picture


def _erased(change: Change, picture: UInt8Array) -> UInt8Array:
    if change.erase is None:
        return picture
    height, width = picture.shape[:2]
    left, top, wide, high = change.erase
    x, y = int(left * width), int(top * height)
    picture[y : y + max(1, int(high * height)), x : x + max(1, int(wide * width))] = change.erase_level
    return picture
