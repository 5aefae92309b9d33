"""Made-up scenes for tracking: faces that cross, hide, come, go and grow, and what a detector would see of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from streamer.faces.boxes import suppress
from streamer.types import Detections

F64 = NDArray[np.float64]
Kind = Literal["crossing", "meeting", "hiding", "coming_and_going", "crowd", "zoom"]

KINDS: tuple[Kind, ...] = ("crossing", "meeting", "hiding", "coming_and_going", "crowd", "zoom")
WIDTH_PX, HEIGHT_PX = 1280.0, 720.0
DURATION_S = 8.0
FINE_S = 0.01
"""Step at which paths are computed; frames are read off them at their own times."""

P_DETECT, P_WEAK = 0.94, 0.08
"""A face is found with this probability; of those found, so many only with a weak score (0.35 to 0.5)."""
JITTER, SIZE_JITTER, GRAIN_PX = 0.035, 0.04, 1.0
"""Spread of detected centres in face sizes, and of sides in their logarithm; and, for both, that many pixels at the
detector's scale, which is what small faces suffer from."""
DETECTOR_SCALE = 0.4
FALSE_PER_FRAME = 0.03
HIDDEN_SHARE = 0.5
"""A face of which this share is covered is neither found nor asked for."""
POINTS = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])


@dataclass(frozen=True, slots=True)
class Scene:
    """Frame times (F,) in seconds, with jitter; per frame the true faces (numbers, boxes (n,4)) and the detections."""

    kind: Kind
    times_s: F64
    truth: list[tuple[NDArray[np.int64], F64]]
    detections: list[Detections]


@dataclass(slots=True)
class _Face:
    """Centres (S,2) and side (S,) in pixels at each fine step; `hidden` where something stands before it."""

    centre: F64
    side: F64
    hidden: NDArray[np.bool_]


def make(kind: Kind, rng: np.random.Generator) -> Scene:
    """One scene of the kind; the same generator state gives the same scene."""
    fps = rng.uniform(10, 30)
    gaps = rng.uniform(0.7, 1.3, int(DURATION_S * fps) + 1) / fps
    times_s = np.cumsum(gaps) - gaps[0]
    times_s = times_s[times_s < DURATION_S]
    faces = _MAKERS[kind](rng)
    truth: list[tuple[NDArray[np.int64], F64]] = []
    detections: list[Detections] = []
    for time_s in times_s:
        boxes, hidden = _at(faces, int(time_s / FINE_S))
        covered = _covered(boxes)
        in_picture = _share_inside(boxes) > HIDDEN_SHARE
        visible = np.flatnonzero(~hidden & (covered < HIDDEN_SHARE) & in_picture)
        truth.append((visible.astype(np.int64), boxes[visible]))
        detections.append(_detect(boxes[visible], covered[visible], rng))
    return Scene(kind, times_s, truth, detections)


def _steps() -> F64:
    return np.arange(0, DURATION_S, FINE_S)


def _face(centre: F64, side: F64 | float, sway: float, rng: np.random.Generator) -> _Face:
    """A path with the small, slow swaying of a head added; `sway` in face sizes."""
    t = _steps()
    sides = np.broadcast_to(np.asarray(side, np.float64), t.shape).copy()
    for axis in range(2):
        period_s, phase = rng.uniform(0.8, 2.5), rng.uniform(0, 2 * np.pi)
        centre[:, axis] += sway * sides * np.sin(2 * np.pi * t / period_s + phase) * (0.5 if axis else 1.0)
    return _Face(centre, sides, np.zeros(t.shape, np.bool_))


def _line(start: tuple[float, float], speed: tuple[float, float]) -> F64:
    t = _steps()
    return np.stack([start[0] + speed[0] * t, start[1] + speed[1] * t], axis=1)


def _crossing(rng: np.random.Generator) -> list[_Face]:
    """Two faces pass each other, one before the other."""
    faces = []
    middle_s, y = DURATION_S / 2, rng.uniform(200, 500)
    for direction in (1, -1):
        side = rng.uniform(60, 140)
        speed = direction * side * rng.uniform(0.8, 2.0)
        start = (WIDTH_PX / 2 - speed * middle_s, y + rng.uniform(-0.3, 0.3) * side)
        faces.append(_face(_line(start, (speed, 0)), side, 0.05, rng))
    return faces


def _meeting(rng: np.random.Generator) -> list[_Face]:
    """Two faces come close, the nearer covering part of the other, and part again the way they came."""
    t, y = _steps(), rng.uniform(250, 450)
    closeness = np.exp(-(((t - DURATION_S / 2) / rng.uniform(0.6, 1.5)) ** 2))
    faces = []
    side = rng.uniform(80, 140)
    for direction in (-1, 1):
        own = side * rng.uniform(0.8, 1.25)
        x = WIDTH_PX / 2 + direction * side * (2.0 - closeness * rng.uniform(1.5, 1.8))
        faces.append(_face(np.stack([x, np.full_like(t, y + rng.uniform(-0.2, 0.2) * own)], axis=1), own, 0.04, rng))
    return faces


def _hiding(rng: np.random.Generator) -> list[_Face]:
    """Faces walk or stand, and something hides each of them for 0.2 to 0.8 s, twice."""
    faces = []
    for i in range(3):
        side = rng.uniform(60, 110)
        speed = rng.uniform(-1.0, 1.0) * side
        start = (WIDTH_PX / 2 - speed * DURATION_S / 2, 140 + 220 * i)
        face = _face(_line(start, (speed, rng.uniform(-0.1, 0.1) * side)), side, 0.1, rng)
        for from_s in (rng.uniform(1, 3), rng.uniform(4.5, 6.5)):
            first, last = from_s, from_s + rng.uniform(0.2, 0.8)
            face.hidden |= (_steps() >= first) & (_steps() < last)
        faces.append(face)
    return faces


def _coming_and_going(rng: np.random.Generator) -> list[_Face]:
    """Faces enter at the sides one after the other and walk through."""
    faces = []
    for i in range(4):
        side = rng.uniform(60, 120)
        direction = rng.choice([-1, 1])
        speed = direction * side * rng.uniform(1.5, 3.0)
        enters_s = i * 1.5 + rng.uniform(0, 1)
        edge = -side if direction > 0 else WIDTH_PX + side
        faces.append(_face(_line((edge - speed * enters_s, 100 + 170 * i), (speed, 0)), side, 0.06, rng))
    return faces


def _crowd(rng: np.random.Generator) -> list[_Face]:
    """Six faces wander among each other, changing speed and direction all the time."""
    faces, n = [], len(_steps())
    for _ in range(6):
        side = rng.uniform(50, 110)
        velocity = np.empty((n, 2))
        velocity[0] = rng.normal(0, 0.7, 2)
        kicks = rng.normal(0, 1, (n, 2)) * 0.7 * np.sqrt(2 * FINE_S / 1.5)
        for k in range(1, n):  # velocities forget themselves within 1.5 s
            velocity[k] = velocity[k - 1] * (1 - FINE_S / 1.5) + kicks[k]
        start = np.array([rng.uniform(200, WIDTH_PX - 200), rng.uniform(150, HEIGHT_PX - 150)])
        centre = start + np.cumsum(velocity * side * FINE_S, axis=0) * np.array([1.0, 0.5])
        low, high = np.array([side, side]), np.array([WIDTH_PX - side, HEIGHT_PX - side])
        centre = low + np.abs((centre - low) % (2 * (high - low)) - (high - low))  # turned back at the walls
        faces.append(_face(centre, side, 0.05, rng))
    return faces


def _zoom(rng: np.random.Generator) -> list[_Face]:
    """Two faces come nearer or go away, to 2 or 3 times the size."""
    t, faces = _steps(), []
    for x in (WIDTH_PX * 0.3, WIDTH_PX * 0.7):
        ratio = rng.uniform(2, 3) ** rng.choice([-1, 1])
        side = rng.uniform(70, 110) * ratio ** (0.5 - 0.5 * np.cos(np.pi * t / DURATION_S) - 0.5)
        centre = np.stack([np.full_like(t, x), np.full_like(t, HEIGHT_PX / 2)], axis=1)
        faces.append(_face(centre, side, 0.15, rng))
    return faces


_MAKERS: dict[Kind, Callable[[np.random.Generator], list[_Face]]] = {
    "crossing": _crossing,
    "meeting": _meeting,
    "hiding": _hiding,
    "coming_and_going": _coming_and_going,
    "crowd": _crowd,
    "zoom": _zoom,
}


def _at(faces: list[_Face], step: int) -> tuple[F64, NDArray[np.bool_]]:
    centre = np.array([face.centre[step] for face in faces])
    half = np.array([[face.side[step] / 2, face.side[step] * 0.6] for face in faces])
    return np.concatenate([centre - half, centre + half], axis=1), np.array([face.hidden[step] for face in faces])


def _covered(boxes: F64) -> F64:
    """Share of each box that a nearer (larger) face covers, counting the worst one."""
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    inner = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:]) - np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    shared = np.prod(np.maximum(inner, 0), axis=2) * (area[None] > area[:, None])
    result: F64 = shared.max(axis=1) / area
    return result


def _share_inside(boxes: F64) -> F64:
    cut = np.clip(boxes, 0, [WIDTH_PX, HEIGHT_PX, WIDTH_PX, HEIGHT_PX])
    whole = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    result: F64 = (cut[:, 2] - cut[:, 0]) * (cut[:, 3] - cut[:, 1]) / whole
    return result


def _detect(boxes: F64, covered: F64, rng: np.random.Generator) -> Detections:
    """What a detector says of visible faces: some missed, all jittered, doubles removed, some things that are none."""
    n = len(boxes)
    found = rng.random(n) < P_DETECT * (1 - 0.5 * covered)
    size = np.sqrt((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))
    grain = (GRAIN_PX / (size * DETECTOR_SCALE))[:, None]
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2 + rng.normal(0, 1, (n, 2)) * np.hypot(JITTER, grain) * size[:, None]
    half = (boxes[:, 2:] - boxes[:, :2]) / 2 * np.exp(rng.normal(0, 1, (n, 2)) * np.hypot(SIZE_JITTER, grain))
    scores = np.where(rng.random(n) < P_WEAK, rng.uniform(0.35, 0.5, n), rng.uniform(0.6, 0.95, n) - 0.3 * covered)
    n_false = int(rng.poisson(FALSE_PER_FRAME))
    at, side = rng.uniform([0, 0], [WIDTH_PX, HEIGHT_PX], (n_false, 2)), rng.uniform(30, 120, (n_false, 1))
    all_boxes = np.concatenate(
        [np.concatenate([centre - half, centre + half], axis=1)[found], np.hstack([at, at + side])]
    )
    all_scores = np.concatenate([scores[found], rng.uniform(0.35, 0.65, n_false)])
    kept = suppress(all_boxes, all_scores, 0.3, 64)
    out, sides = all_boxes[kept], (all_boxes[:, 2:] - all_boxes[:, :2])[kept]
    points = out[:, None, :2] + POINTS * sides[:, None]
    return Detections(
        out.astype(np.float32),
        points.astype(np.float32),
        all_scores[kept].astype(np.float32),
        (sides.min(axis=1) * DETECTOR_SCALE).astype(np.float32),
    )
