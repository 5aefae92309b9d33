"""Sets of single pictures as AnnotatedFrames, and what their readers share."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines.data.frames import AnnotatedFrames
from engines.data.pictures import FilePictures
from engines.errors import BadData


class Folder:
    """Which files there are under a folder: every subfolder is listed once, not asked about file by file."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._listed: dict[str, frozenset[str]] = {}

    def __contains__(self, name: str) -> bool:
        parent, _, file = name.rpartition("/")
        if parent not in self._listed:
            self._listed[parent] = names_in(self.root / parent)
        return file in self._listed[parent]


def names_in(folder: Path) -> frozenset[str]:
    """The names in a folder; none when it is not there. Raises `BadData` when it may not be read."""
    try:
        with os.scandir(folder) as entries:
            return frozenset(entry.name for entry in entries)
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a damaged list names a folder with a NUL
        return frozenset()
    except OSError as error:
        raise BadData(f"{folder} cannot be read: {error.strerror}") from error


def still_frames(
    name: str,
    root: Path,
    names: Sequence[str],
    expression: Sequence[int],
    valence_arousal: Sequence[tuple[float, float]] | None = None,
    boxes_xyxy: Sequence[tuple[int, int, int, int]] | None = None,
) -> AnnotatedFrames:
    """N files under `root`, each a video of one frame named after it. Without `valence_arousal` none was rated."""
    n = len(names)
    rated = np.full((n, 2), np.nan) if valence_arousal is None else np.array(valence_arousal).reshape(n, 2)
    boxes: NDArray[np.int32] | None = None if boxes_xyxy is None else np.array(boxes_xyxy, np.int32).reshape(n, 4)
    return AnnotatedFrames(
        name=name,
        pictures=FilePictures(root, tuple(names), boxes),
        videos=tuple(names),
        video=np.arange(n, dtype=np.int32),
        frame=np.ones(n, np.int32),
        expression=np.array(expression, np.int64).reshape(n),
        valence=rated[:, 0].astype(np.float32),
        arousal=rated[:, 1].astype(np.float32),
    )
