"""Pictures of a set on disk: decoded when asked for, resized, RGB."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.data.frames import Pictures, UInt8Array
from engines.errors import BadData

_FLAGS = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION  # boxes are in stored pixels, whatever Exif says

_GLANCE_PX = 32
_AT_ONCE = 1024


def decode(path: Path) -> UInt8Array:
    """The picture in a file as (H,W,3) RGB. Raises `BadData` when it is missing, empty, truncated or no picture."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadData(f"{path} cannot be read: {error.strerror}") from error
    if data[:2] == b"\xff\xd8" and not _jpeg_ends(data):
        raise BadData(f"{path} is truncated: the JPEG has no end; fetch it again or leave it out")
    try:
        found = cv2.imdecode(np.frombuffer(data, np.uint8), _FLAGS) if data else None
    except cv2.error:
        found = None
    if found is None or found.size == 0:
        raise BadData(f"{path} is no picture that can be decoded; fetch it again or leave it out")
    return np.ascontiguousarray(found[..., ::-1], dtype=np.uint8)


def resize(picture: UInt8Array, side_px: int) -> UInt8Array:
    """(side_px,side_px,3), squeezed where the picture is no square: by area when it shrinks, else linear."""
    height, width = picture.shape[:2]
    if (height, width) == (side_px, side_px):
        return picture
    shrinks = height > side_px or width > side_px
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, (side_px, side_px), interpolation=how), dtype=np.uint8)


def _jpeg_ends(data: bytes) -> bool:
    """Whether an end-of-image marker follows the picture's own data (ITU T.81, annex B).

    libjpeg fills what a truncated file lacks with grey and only warns. Segments before the scan are stepped over, as
    an embedded thumbnail has an end of its own.
    """
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # fill bytes may stand before a marker
            at += 1
            continue
        if marker == 0xDA:
            return data.find(b"\xff\xd9", at) >= 0
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return False


@dataclass(frozen=True)
class FilePictures:
    """Files under `root` by name; `boxes_xyxy` (N,4) int32 cuts each to a box in its own pixels first.

    A box is cut to the picture; one that lies outside it takes the whole picture.
    """

    root: Path
    names: Sequence[str]
    boxes_xyxy: NDArray[np.int32] | None = None

    def __len__(self) -> int:
        return len(self.names)

    def path(self, index: int) -> Path:
        """The file of picture `index`."""
        return self.root / self.names[index]

    def read(self, index: int, side_px: int) -> UInt8Array:
        picture = decode(self.path(index))
        if self.boxes_xyxy is not None:
            height, width = picture.shape[:2]
            left, top, right, bottom = (int(value) for value in self.boxes_xyxy[index])
            left, top, right, bottom = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
            if right > left and bottom > top:
                picture = np.ascontiguousarray(picture[top:bottom, left:right])
        return resize(picture, side_px)


@dataclass(frozen=True)
class VideoCrops:
    """`root/VIDEO/00001.jpg`: crops of videos by the number of the frame, without a million names in memory."""

    root: Path
    videos: Sequence[str]
    video: NDArray[np.int32]
    frame: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.frame)

    def path(self, index: int) -> Path:
        """The file of picture `index`."""
        return self.root / self.videos[int(self.video[index])] / f"{int(self.frame[index]):05d}.jpg"

    def read(self, index: int, side_px: int) -> UInt8Array:
        return resize(decode(self.path(index)), side_px)


@dataclass(frozen=True)
class ChosenPictures:
    """Some pictures of another set of them, in the given order."""

    pictures: Pictures
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, index: int, side_px: int) -> UInt8Array:
        return self.pictures.read(int(self.rows[index]), side_px)


@dataclass(frozen=True)
class JoinedPictures:
    """Several sets of pictures, one after the other."""

    parts: tuple[Pictures, ...]

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    def read(self, index: int, side_px: int) -> UInt8Array:
        for part in self.parts:
            if index < len(part):
                return part.read(index, side_px)
            index -= len(part)
        raise IndexError(index)


def unreadable(
    pictures: Pictures, rows: Sequence[int], *, n_threads: int = 1, progress: Callable[[int], None] | None = None
) -> dict[int, str]:
    """Row to what is wrong with it, for those of `rows` that cannot be decoded; `progress` is told how many are done.

    Decoding leaves the interpreter lock, so threads help where there are cores.
    """

    def wrong(row: int) -> str | None:
        try:
            pictures.read(row, _GLANCE_PX)
        except BadData as error:
            return str(error)
        return None

    found: dict[int, str] = {}
    with ThreadPoolExecutor(n_threads) as pool:
        for at in range(0, len(rows), _AT_ONCE):  # a million futures at once would fill the memory
            some = rows[at : at + _AT_ONCE]
            texts = zip(some, pool.map(wrong, some), strict=True)
            found |= {row: text for row, text in texts if text is not None}
            if progress is not None:
                progress(at + len(some))
    return found
