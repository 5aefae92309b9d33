"""Crops of faces from disk: to calibrate a quantised network, and to compare engines on what they will see."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from engines.calibrate import CLIP_SUFFIXES, CROP_SUFFIXES, SMALLEST_FACE_PX
from engines.errors import BadData, WrongUse
from engines.faces import SEARCH_SIZE_WH, UInt8Array, crop, find_faces, pictures_of
from engines.runtime import open_runner
from engines.spec import CropGeometry
from engines.zoo import load

_ARRAY = ".npy"
_T = TypeVar("_T")


def read_crops(path: Path, geometry: CropGeometry, *, limit: int = 1000, cache: Path | None = None) -> UInt8Array:
    """(N,height,width,3) RGB, at most `limit` spread evenly over what is there, in a fixed order.

    `path` is a picture of a face, a clip (faces are found and cut as the model wants them), a folder of those and of
    folders, or an `.npy` file of uint8 (N,H,W,3) RGB. Pictures of another size are scaled. Raises `WrongUse` when
    there is nothing of the kind, `BadData` for a file that cannot be read.
    """
    if path.suffix.lower() == _ARRAY:
        return _of_array(path, geometry, limit)
    files = _files(path)
    pictures = [file for file in files if file.suffix.lower() in CROP_SUFFIXES]
    cut = [_picture(file, geometry) for file in _spread(pictures, limit)]
    clips = [file for file in files if file.suffix.lower() in CLIP_SUFFIXES]
    if clips:
        cut += _of_clips(clips, geometry, cache)
    if not cut:
        raise WrongUse(f"{path} has no pictures or clips with a face; name crops of faces, or clips")
    return np.stack(list(_spread(cut, limit)))


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise WrongUse(f"{path} does not exist; name a folder of crops, a clip or an .npy file")
    return sorted(file for file in path.rglob("*") if file.suffix.lower() in CROP_SUFFIXES + CLIP_SUFFIXES)


def _spread(items: Sequence[_T], limit: int) -> Sequence[_T]:
    if len(items) <= limit:
        return items
    return [items[i] for i in np.linspace(0, len(items) - 1, limit).round().astype(int)]


def _picture(file: Path, geometry: CropGeometry) -> UInt8Array:
    read = cv2.imread(str(file), cv2.IMREAD_COLOR)
    if read is None:
        raise BadData(f"{file} is no picture that can be read; take it out of the folder")
    return _scaled(np.asarray(read[..., ::-1], np.uint8), geometry)


def _scaled(rgb: UInt8Array, geometry: CropGeometry) -> UInt8Array:
    if rgb.shape[:2] == (geometry.height, geometry.width):
        return np.ascontiguousarray(rgb)
    smaller = rgb.shape[0] > geometry.height
    way = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(np.ascontiguousarray(rgb), (geometry.width, geometry.height), interpolation=way))


def _of_array(path: Path, geometry: CropGeometry, limit: int) -> UInt8Array:
    try:
        stored = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise BadData(f"{path} cannot be read as an array: {error}") from error
    if stored.dtype != np.uint8 or stored.ndim != 4 or stored.shape[3] != 3 or not len(stored):
        raise BadData(f"{path} holds {stored.dtype} {stored.shape}; crops are uint8 (N,H,W,3) RGB")
    rows = _spread(list(range(len(stored))), limit)
    return np.stack([_scaled(np.asarray(stored[row]), geometry) for row in rows])


def _of_clips(clips: list[Path], geometry: CropGeometry, cache: Path | None) -> list[UInt8Array]:
    detector = open_runner(load("centerface", cache=cache), input_size_wh=SEARCH_SIZE_WH, cache=cache)
    try:
        return [
            crop(picture, face, geometry)
            for clip in clips
            for picture in pictures_of(clip)
            for face in find_faces(detector, picture)
            if face.face_px >= SMALLEST_FACE_PX
        ]
    finally:
        detector.close()
