"""Annotated pictures, whatever data set they come from: what readers give, what sampling and training take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

UInt8Array = NDArray[np.uint8]
NOT_ANNOTATED = -1
"""The expression of a picture without one; its valence and arousal are NaN when they were not rated."""


class Pictures(Protocol):
    """The crops of a set, read one at a time and from any process (a `Pictures` can be pickled)."""

    def __len__(self) -> int: ...

    def read(self, index: int, side_px: int) -> UInt8Array:
        """Crop `index` as (side_px,side_px,3) RGB. Raises `BadData`, naming the file, when it cannot be read."""


@dataclass(frozen=True)
class AnnotatedFrames:
    """N pictures, video by video and frame by frame within each; a still picture is a video of one frame.

    `video` (N,) int32 is an index into `videos`; `frame` (N,) int32 is the frame's number as the data set counts it:
    it rises within a video and may have holes, where no face was found. `expression` (N,) int64 in the order of
    EXPRESSIONS, NOT_ANNOTATED where there is none; `valence`, `arousal` (N,) float32, NaN where not rated. Pictures
    without any annotation stay in: they are the past that others look back on.
    """

    name: str
    pictures: Pictures
    videos: tuple[str, ...]
    video: NDArray[np.int32]
    frame: NDArray[np.int32]
    expression: NDArray[np.int64]
    valence: NDArray[np.float32]
    arousal: NDArray[np.float32]

    def __post_init__(self) -> None:
        lengths = {len(column) for column in (self.video, self.frame, self.expression, self.valence, self.arousal)}
        assert lengths == {len(self.pictures)}, f"{self.name}: the columns have {sorted(lengths)} rows"
        assert (np.diff(self.video) >= 0).all(), f"{self.name}: the pictures of a video stand together"

    def __len__(self) -> int:
        return len(self.video)

    @property
    def annotated(self) -> NDArray[np.bool_]:
        """(N,) whether a picture has an expression, or valence and arousal."""
        found: NDArray[Any] = (self.expression >= 0) | (np.isfinite(self.valence) & np.isfinite(self.arousal))
        return found
