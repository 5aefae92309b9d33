"""What a drawn face is made of: filled outlines, from back to front."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from engines.data.synthetic.expression import Floats
from engines.data.synthetic.identity import Colour, Identity

Part = tuple[Floats, float, Colour]
"""Points (n,2) of an outline in face coordinates, its height over the face's plane (below 0: behind), its colour."""

_ARC = np.linspace(0, 2 * np.pi, 28, endpoint=False)
_CIRCLE: Floats = np.stack([np.cos(_ARC), np.sin(_ARC)], 1)
_DISC: Floats = np.stack([np.cos(_ARC[::3]), np.sin(_ARC[::3])], 1)
_ALONG: Floats = np.linspace(-1, 1, 9)
_BELLY: Floats = 1 - _ALONG**2
_SQUARE: Floats = 1 - _ALONG**4
_SHARE: Floats = np.linspace(0, 1, 4)  # of a brow, from the nose outwards
_ARCH: Floats = 0.03 * (1 - (2 * _SHARE - 1) ** 2)
_DOWN: Floats = np.linspace(0, 1, 5)
_FOLD: Floats = (0.20 + 0.04 * np.sin(np.pi * _DOWN)) * _DOWN
_THICK: dict[int, Floats] = {n: 0.45 + 0.55 * (1 - np.linspace(-1, 1, n) ** 2) for n in (4, 9)}
_WHITE: Colour = (244.0, 242.0, 238.0)
_TEETH: Colour = (236.0, 232.0, 222.0)
_DARK: Colour = (58.0, 18.0, 22.0)
_PUPIL: Colour = (16.0, 14.0, 14.0)


@lru_cache(maxsize=512)
def still_parts(who: Identity) -> tuple[list[Part], list[Part]]:
    """What does not move within the face: the parts behind eyes, brows and mouth, and those in front of them."""
    w, skin, hair = who.width, who.skin, who.hair_colour
    shadow = shade(skin, 0.84)
    behind: list[Part] = []
    if who.hair == "long":
        behind.append((_CIRCLE * (w * 1.28, 1.12) + (0, 0.02), -0.35, shade(hair, 0.8)))
        behind.append(
            (np.array([[-w * 1.25, 0], [w * 1.25, 0], [w * 1.22, 1.35], [-w * 1.22, 1.35]]), -0.35, shade(hair, 0.8))
        )
    if who.hair == "curly":
        behind += [
            (_DISC * 0.34 + (1.02 * w * np.cos(a), -0.30 + 0.86 * np.sin(a)), -0.3, shade(hair, 0.85 + 0.1 * (i % 2)))
            for i, a in enumerate(np.linspace(np.pi * 0.95, np.pi * 2.05, 9))
        ]
    neck = np.array([[-0.42 * w, 0.5], [0.42 * w, 0.5], [0.50 * w, 1.5], [-0.50 * w, 1.5]])
    shoulders = np.array([[-0.45, 1.16], [0.45, 1.16], [1.5, 1.42], [1.7, 2.2], [-1.7, 2.2], [-1.5, 1.42]])
    behind += [(shoulders, -0.4, who.clothes), (neck, -0.25, shadow)]
    behind += [(_DISC * (0.11, 0.19) + (side * w * 1.0, 0.02), -0.2, shadow) for side in (-1, 1)]
    outline = _outline(who)
    behind.append((outline, 0.0, skin))
    behind += [
        (_DISC * (0.17, 0.14) + (side * 0.58 * w, 0.26), 0.22, mixed(skin, (226, 96, 92), 0.16)) for side in (-1, 1)
    ]
    behind += _beard(who, outline)
    behind += _hair(who, outline)
    behind += _nose(who)
    return behind, _glasses(who)


def moving_parts(who: Identity, channels: Floats, gaze: Floats) -> list[Part]:
    """Eyes, brows, folds and mouth, with the channels of one moment (9,)."""
    inner, outer, opened, curve, mouth, wide, wrinkle, lip, cheek = (float(one) for one in channels)
    parts = _folds(who, wrinkle, cheek, min(inner, outer))
    for side in (-1.0, 1.0):
        parts += _eye(who, side, opened, gaze)
        parts.append(_brow(who, side, inner, outer))
    return parts + _mouth(who, curve, mouth, wide, lip)


def covering(who: Identity, cover: Floats) -> list[Part]:
    """A hand (cover[3] < 0.5 of its range) or a bar that has come in as far as cover[0], flat before the camera."""
    amount, x, y, kind = (float(one) for one in cover)
    if kind > 0.2:
        at = -2.2 + 2.2 * amount
        bar = np.add([[-1.6, -0.34], [1.6, -0.28], [1.6, 0.34], [-1.6, 0.28]], (at + x, y))
        return [(bar, 0.0, (104.0, 112.0, 122.0)), (bar * (1, 0.2) + (0, y * 0.8 - 0.12), 0.0, (150.0, 158.0, 168.0))]
    low = y + (1.8 - y) * (1 - amount)
    skin, line = shade(who.skin, 0.94), shade(who.skin, 0.72)
    palm: list[Part] = [(_CIRCLE * (0.56, 0.50) + (x, low + 0.30), 0.0, skin)]
    for i, reach in enumerate((0.50, 0.62, 0.60, 0.46)):
        finger = _CIRCLE * (0.155, reach * 0.62) + (x - 0.45 + 0.30 * i, low - 0.16)
        palm += [(finger * (1.0, 1.0) + (0.02, 0.0), 0.0, line), (finger, 0.0, skin)]
    return palm


def shade(colour: Colour, by: float) -> Colour:
    """The colour made darker (below 1) or lighter."""
    return (min(colour[0] * by, 255.0), min(colour[1] * by, 255.0), min(colour[2] * by, 255.0))


def mixed(a: Colour, b: Colour, share: float) -> Colour:
    """`a` with `share` of `b` in it."""
    return (a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1]), a[2] + share * (b[2] - a[2]))


def _outline(who: Identity) -> Floats:
    x, y = _CIRCLE[:, 0], _CIRCLE[:, 1]
    x = np.sign(x) * np.abs(x) ** who.roundness
    x = who.width * x * (1 - who.jaw * np.clip(y, 0, 1) ** 2)
    return np.stack([x, np.where(y > 0, who.chin, 0.94) * y], 1)


def _hair(who: Identity, outline: Floats) -> list[Part]:
    if who.hair == "bald":
        return []
    top = outline[outline[:, 1] < who.hairline + 0.22] * (1.06, 1.10)
    top = top[np.argsort(top[:, 0])]
    if len(top) < 3:
        return []
    x = 0.92 * np.linspace(top[-1, 0], top[0, 0], 9)
    depth = {"short": 0.06, "curly": 0.05, "long": 0.16, "fringe": -0.10}[who.hair]
    line = who.hairline + 0.02 - depth * (1 - (x / who.width) ** 2)
    if who.hair == "fringe":
        line = np.maximum(line, who.hairline + 0.10)
    return [(np.concatenate([top, np.stack([x, line], 1)]), 0.05, who.hair_colour)]


def _beard(who: Identity, outline: Floats) -> list[Part]:
    colour = mixed(who.hair_colour, who.skin, 0.22)
    parts: list[Part] = []
    if who.beard == "full":
        low = outline[outline[:, 1] > 0.22] * (1.0, 1.04)
        low = low[np.argsort(low[:, 0])]
        x = np.linspace(low[-1, 0], low[0, 0], 9)
        parts.append((np.concatenate([low, np.stack([x, 0.20 + 0.16 * (1 - (x / who.width) ** 2)], 1)]), 0.10, colour))
    if who.beard == "goatee":
        parts.append((_DISC * (0.24, 0.20) + (0, 0.80), 0.16, colour))
    if who.beard in ("full", "goatee", "moustache"):
        line = ribbon(_ALONG * who.mouth_width * 1.05, who.mouth_y - 0.105 + 0.05 * _ALONG**2, 0.05)
        parts.append((line, 0.30, colour))
    return parts


def _nose(who: Identity) -> list[Part]:
    w, low = who.nose_width, who.eye_y + who.nose_length
    side = np.array([[0.02, who.eye_y + 0.02], [0.07 * w / 0.12, low - 0.03], [0.0, low + 0.01], [-0.02, low - 0.06]])
    under = ribbon(_ALONG * w, low + 0.025 * _BELLY - 0.01, 0.028)
    return [(side, 0.45, shade(who.skin, 0.90)), (under, 0.42, shade(who.skin, 0.70))]


def _glasses(who: Identity) -> list[Part]:
    if who.glasses == "none":
        return []
    half, colour = (0.020, (70.0, 70.0, 78.0)) if who.glasses == "thin" else (0.038, (34.0, 28.0, 30.0))
    parts: list[Part] = []
    for side in (-1, 1):
        ring = _CIRCLE * (who.eye_width * 1.30, 0.165) + (side * who.eye_distance, who.eye_y + 0.02)
        inside = _CIRCLE * (who.eye_width * 1.30 - half, 0.165 - half) + (side * who.eye_distance, who.eye_y + 0.02)
        # A ring as one outline that goes round outside and back inside.
        parts.append((np.concatenate([ring, ring[:1], inside[:1], inside[::-1]]), 0.34, colour))
    bridge = ribbon(_ALONG * (who.eye_distance - who.eye_width * 1.28), who.eye_y - 0.04 * _BELLY, half * 0.8)
    return [*parts, (bridge, 0.40, colour)]


def _eye(who: Identity, side: float, opened: float, gaze: Floats) -> list[Part]:
    half = who.eye_height * _within(1 + 0.75 * opened, 0.10, 2.0)
    tilt = (who.eye_tilt * side * who.eye_width) * _ALONG
    x = side * who.eye_distance + _ALONG * who.eye_width
    upper, lower = who.eye_y - half * _BELLY + tilt, who.eye_y + 0.75 * half * _BELLY + tilt
    parts: list[Part] = [(between(x, upper, lower), 0.2, _WHITE)]
    at = np.array((side * who.eye_distance + gaze[0] * who.eye_width, who.eye_y + gaze[1] * 0.1))
    for radius, colour in ((0.085, who.iris), (0.040, _PUPIL)):
        disc = _DISC * radius + at
        belly = 1 - ((disc[:, 0] - side * who.eye_distance) / who.eye_width) ** 2
        lean = who.eye_tilt * side * (disc[:, 0] - side * who.eye_distance)
        # The lids hide what of the iris lies beyond them.
        disc[:, 1] = np.minimum(
            np.maximum(disc[:, 1], who.eye_y - half * belly + lean), who.eye_y + 0.75 * half * belly + lean
        )
        parts.append((disc, 0.2, colour))
    return [*parts, (ribbon(x, upper, 0.022), 0.22, shade(who.skin, 0.36))]


def _brow(who: Identity, side: float, inner: float, outer: float) -> Part:
    up_inner, up_outer = 0.105 * _within(inner, -1.3, 1.6), 0.10 * _within(outer, -1.3, 1.6)
    y = who.eye_y - who.brow_height - up_inner - (up_outer - up_inner - who.brow_tilt) * _SHARE - _ARCH
    x = side * (who.eye_distance + (2.15 * _SHARE - 1.05) * who.eye_width + 0.03 * min(inner, 0.0) * (1 - _SHARE))
    return ribbon(x, y, who.brow_thickness), 0.24, shade(who.hair_colour, 0.8)


def _folds(who: Identity, wrinkle: float, cheek: float, raised: float) -> list[Part]:
    dark = shade(who.skin, 0.66)
    parts: list[Part] = []
    if wrinkle > 0.1:
        colour = mixed(who.skin, dark, min(wrinkle, 1.0))
        for row in range(2):
            y = who.eye_y + 0.03 + 0.075 * row
            parts.append((ribbon(_ALONG * 0.105, y + 0.03 * _BELLY, 0.020), 0.42, colour))
    if cheek > 0.1:
        colour = mixed(who.skin, dark, 0.8 * min(cheek, 1.0))
        down = who.eye_y + who.nose_length - 0.05 + 0.26 * _DOWN
        for side in (-1.0, 1.0):
            line = between(side * (who.nose_width + 0.03 + _FOLD), down - 0.008, down + 0.008)
            parts.append((line + np.repeat([(-0.012, 0.0), (0.012, 0.0)], len(down), 0), 0.3, colour))
    if raised > 0.3 and who.hair != "fringe":
        colour = mixed(who.skin, dark, min(raised, 1.0) * 0.7)
        for row in range(2):
            y = who.eye_y - who.brow_height - 0.20 - 0.075 * row
            parts.append((ribbon(_ALONG * 0.30, y - 0.015 * _BELLY, 0.014), 0.18, colour))
    return parts


def _mouth(who: Identity, curve: float, opened: float, wide: float, lip: float) -> list[Part]:
    x = _ALONG * (who.mouth_width * _within(1 + 0.38 * wide, 0.5, 1.7))
    gap, bend = 0.155 * _within(opened, 0, 1.3), 0.125 * _within(curve, -1.3, 1.3)
    lifted = 0.055 * _within(lip, 0, 1.3)
    corners = who.mouth_y - bend * _ALONG**2 + 0.45 * bend  # corners go up as the middle goes down
    # A lifted lip bares the teeth over its whole width.
    upper = corners - 0.35 * gap * _BELLY - lifted * _SQUARE
    lower = corners + 1.05 * gap * _BELLY + 0.35 * lifted * _SQUARE
    thick = who.lip_thickness * (0.30 + 0.70 * _BELLY)
    parts: list[Part] = [(between(x * 1.05, upper - thick, lower + 1.15 * thick), 0.3, who.lips)]
    if gap + lifted <= 0.02:
        return [*parts, (ribbon(x, (upper + lower) / 2, 0.016), 0.3, mixed(who.lips, _DARK, 0.75))]
    parts.append((between(x, upper, lower), 0.3, _DARK))
    teeth = np.minimum(upper + 0.055 + 0.5 * lifted, lower)
    return [*parts, (between(0.92 * x, upper, teeth), 0.3, _TEETH)]


def ribbon(x: Floats, y: Floats, half: float) -> Floats:
    """A line as an outline, thickest in the middle; of 4 or 9 points."""
    thick = half * _THICK[len(x)]
    return between(x, y - thick, y + thick)


def between(x: Floats, upper: Floats, lower: Floats) -> Floats:
    """The outline (2n,2) of what lies between two curves over the same x (n,)."""
    n = len(x)
    outline = np.empty((2 * n, 2))
    outline[:n, 0], outline[:n, 1] = x, upper
    outline[n:, 0], outline[n:, 1] = x[::-1], lower[::-1]
    return outline


def _within(x: float, least: float, most: float) -> float:
    return min(max(x, least), most)
