"""How a box moves: a constant-velocity Kalman filter over continuous time.

A state is (centre x, centre y, log width, log height), each with its own velocity and filtered apart, so a covariance
is three numbers. Noise is given in face sizes and seconds: the same settings hold for near and far faces and for
every frame rate. Velocities die away slowly, so that a face out of sight does not run off for ever.

Plain numbers instead of arrays: a frame has few faces, and for few faces they cost a fifth of numpy's calls.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Position = tuple[float, float, float, float]
"""Centre x and y in pixels, logarithms of width and height in pixels."""

FINE_FACE_PX = 40.0
"""Faces smaller than this at the detector's scale are measured worse in proportion: the error is then no longer a
share of the face but about 2 px, half a cell of the detector's finest map."""


class Measured(NamedTuple):
    """A detected box; `noise` is how many times worse than `NOISE` says it is measured."""

    position: Position
    noise: float


@dataclass(frozen=True, slots=True)
class Noise:
    """What is thought of one coordinate, in face sizes for centres and in logarithms for sides.

    `measured_sd`: spread of a detector's boxes around the face. `start_velocity_sd`: of a new track's velocity, per
    second. `acceleration`: the variance that a velocity gains in a second. `life_s`: the time in which a velocity
    falls to 1/e when nothing is seen.
    """

    measured_sd: float
    start_velocity_sd: float
    acceleration: float
    life_s: float


NOISE = (
    Noise(measured_sd=0.05, start_velocity_sd=1.5, acceleration=3.0, life_s=2.0),
    Noise(measured_sd=0.05, start_velocity_sd=1.0, acceleration=2.0, life_s=2.0),
    Noise(measured_sd=0.075, start_velocity_sd=0.5, acceleration=0.1, life_s=0.5),
    Noise(measured_sd=0.075, start_velocity_sd=0.5, acceleration=0.1, life_s=0.5),
)
"""For centre x, centre y, log width, log height. On made-up scenes half or double of any of these changes little."""

N_VALUES = 5
"""Numbers per coordinate: position, velocity, and the covariance's position, cross and velocity parts."""


class Motion:
    """One track's state: for each of the four coordinates [position, velocity, p_pp, p_pv, p_vv]."""

    __slots__ = ("state",)

    def __init__(self, state: list[list[float]]) -> None:
        self.state = state

    @staticmethod
    def starting(measured: Measured) -> Motion:
        """A track that begins here with its velocity unknown."""
        variances = _variances(measured)
        scales = _scales(measured.position)
        return Motion(
            [
                [at, 0.0, variance, 0.0, (noise.start_velocity_sd * scale) ** 2]
                for at, variance, noise, scale in zip(measured.position, variances, NOISE, scales, strict=True)
            ]
        )

    @property
    def position(self) -> Position:
        """Where it is thought to be."""
        x, y, width, height = self.state
        return x[0], y[0], width[0], height[0]

    def predict(self, dt_s: float) -> None:
        """Move on by `dt_s` >= 0 seconds."""
        if dt_s <= 0:
            return
        for values, noise, scale in zip(self.state, NOISE, _scales(self.position), strict=True):
            at, velocity, pp, pv, vv = values
            life = noise.life_s
            keep = math.exp(-dt_s / life)
            reach = life * (1 - keep)  # seconds of the present velocity that count
            power = noise.acceleration * scale * scale
            # Integrals of a velocity that forgets itself and is kicked all the time: any division of the time into
            # steps gives the same sum, so a frame more or less in between changes nothing.
            values[0] = at + reach * velocity
            values[1] = keep * velocity
            values[2] = pp + reach * (2 * pv + reach * vv)
            values[2] += power * life * life * (dt_s - 2 * reach + life * (1 - keep * keep) / 2)
            values[3] = keep * (pv + reach * vv) + power * reach * reach / 2
            values[4] = keep * keep * vv + power * life * (1 - keep * keep) / 2

    def variances(self, measured: Measured) -> Position:
        """Variance of such a measurement around the predicted position, per coordinate."""
        x, y, width, height = self.state
        at_x, at_y, at_width, at_height = _variances(measured)
        return x[2] + at_x, y[2] + at_y, width[2] + at_width, height[2] + at_height

    def correct(self, measured: Measured) -> None:
        """Take in a measured position."""
        for values, seen_at, variance in zip(self.state, measured.position, self.variances(measured), strict=True):
            at, velocity, pp, pv, vv = values
            gain, velocity_gain = pp / variance, pv / variance
            values[0] = at + gain * (seen_at - at)
            values[1] = velocity + velocity_gain * (seen_at - at)
            values[2] = (1 - gain) * pp
            values[3] = (1 - gain) * pv
            values[4] = vv - velocity_gain * pv


def measured_of(boxes_xyxy: NDArray[np.floating], face_px: NDArray[np.floating]) -> list[Measured]:
    """Boxes (n,4) with their sizes (n,) at the detector's scale; sides below a hundredth of a pixel count as that."""
    return [
        Measured(
            ((x0 + x1) / 2, (y0 + y1) / 2, math.log(max(x1 - x0, 0.01)), math.log(max(y1 - y0, 0.01))),
            FINE_FACE_PX / min(max(px, 1.0), FINE_FACE_PX),
        )
        for (x0, y0, x1, y1), px in zip(boxes_xyxy.tolist(), face_px.tolist(), strict=True)
    ]


def box_of(position: Position) -> tuple[float, float, float, float]:
    """The box (x0, y0, x1, y1) of a position."""
    x, y, log_width, log_height = position
    half_width, half_height = math.exp(log_width) / 2, math.exp(log_height) / 2
    return x - half_width, y - half_height, x + half_width, y + half_height


def size_of(position: Sequence[float]) -> float:
    """The face size in pixels: the geometric mean of the sides."""
    return math.exp((position[2] + position[3]) / 2)


def _scales(position: Position) -> Position:
    """Pixels that a face size has in each coordinate; logarithms have no pixels."""
    size = size_of(position)
    return size, size, 1.0, 1.0


def _variances(measured: Measured) -> Position:
    """Variance of the measurement itself, per coordinate."""
    sx, sy, sw, sh = _scales(measured.position)
    x, y, width, height = NOISE
    return (
        (x.measured_sd * measured.noise * sx) ** 2,
        (y.measured_sd * measured.noise * sy) ** 2,
        (width.measured_sd * measured.noise * sw) ** 2,
        (height.measured_sd * measured.noise * sh) ** 2,
    )
