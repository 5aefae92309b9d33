"""Small sets in memory, and pictures drawn for tests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from engines.data import NOT_ANNOTATED, AnnotatedFrames
from engines.data.frames import UInt8Array


@dataclass(frozen=True)
class Numbered:
    """N pictures; picture i has the value i in its red channel."""

    n: int

    def __len__(self) -> int:
        return self.n

    def read(self, index: int, side_px: int) -> UInt8Array:
        picture = np.zeros((side_px, side_px, 3), np.uint8)
        picture[..., 0] = index
        return picture


def frames_of(lengths: list[int], expression: list[int] | None = None, name: str = "made") -> AnnotatedFrames:
    """Videos of the given lengths, one expression a row (none where left out)."""
    n = sum(lengths)
    labels = np.full(n, NOT_ANNOTATED, np.int64) if expression is None else np.array(expression, np.int64)
    return AnnotatedFrames(
        name=name,
        pictures=Numbered(n),
        videos=tuple(f"v{i}" for i in range(len(lengths))),
        video=np.repeat(np.arange(len(lengths)), lengths).astype(np.int32),
        frame=np.concatenate([np.arange(1, length + 1) for length in lengths] or [np.zeros(0, np.int64)]).astype(
            np.int32
        ),
        expression=labels,
        valence=np.full(n, np.nan, np.float32),
        arousal=np.full(n, np.nan, np.float32),
    )


def drawn(number: int, side_px: int = 24) -> UInt8Array:
    """A picture that is told from others: a disc on a ramp, RGB, red above blue."""
    ramp = np.linspace(40, 120, side_px, dtype=np.uint8)
    picture = np.stack(
        [np.tile(ramp + 80, (side_px, 1)), np.tile(ramp, (side_px, 1)), np.tile(ramp - 20, (side_px, 1))], -1
    )
    centre = (side_px // 4 + number % (side_px // 2), side_px // 2)
    return np.asarray(cv2.circle(np.ascontiguousarray(picture), centre, side_px // 6, (230, 200, 20), -1), np.uint8)


def write_picture(path: Path, number: int, side_px: int = 24) -> None:
    """Write `drawn(number)` to `path`, making its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), drawn(number, side_px)[..., ::-1])
