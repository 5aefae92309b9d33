"""The softmax temperature of an expression network, from faces without labels.

Average-confidence matching: a calibrated network's mean maximum probability equals its accuracy. Where the accuracy on
labelled photographs is known but the photographs are not at hand, the temperature is chosen at which the mean maximum
probability over faces at hand equals that accuracy. It fixes the level of confidence, not its ranking, and supposes
that the faces at hand are about as hard as the photographs were.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.errors import EnginesError
from engines.faces import SEARCH_SIZE_WH, UInt8Array, crop, find_faces, pictures_of
from engines.runtime import Runner, open_runner
from engines.runtime.protocol import FloatArray
from engines.spec import CropGeometry
from engines.zoo import entry_of, load

CROP_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
CLIP_SUFFIXES = (".mp4", ".mov", ".mkv", ".avi", ".webm", ".gif")
SMALLEST_FACE_PX = 24.0
"""Faces smaller than this where the detector sought them are left out: they get no label in use either."""
_BATCH = 8


@dataclass(frozen=True)
class SourceConfidence:
    """Faces used of one source, and their mean maximum probability before and after."""

    source: str
    n_faces: int
    before: float
    after: float


@dataclass(frozen=True)
class CalibrationResult:
    """The temperature, and the mean maximum probability it was fitted to."""

    temperature: float
    target: float
    n_faces: int
    before: float
    sources: tuple[SourceConfidence, ...]


def mean_confidence(logits: NDArray[np.floating], temperature: float) -> float:
    """Mean over rows of the largest softmax probability of (N,C) logits at a temperature."""
    scaled = logits.astype(np.float64) / temperature
    scaled -= scaled.max(axis=1, keepdims=True)
    # The largest exponent is 0 now, so the largest probability is 1 over the sum.
    return float((1.0 / np.exp(scaled).sum(axis=1)).mean())


def fit_temperature(logits: NDArray[np.floating], target: float) -> float:
    """The temperature at which `mean_confidence` is `target`, to 1e-6, by bisection (it falls as T grows).

    Raises `EnginesError` when no temperature between 0.01 and 1000 gives it.
    """
    low, high = 0.01, 1000.0
    if len(logits) == 0 or not mean_confidence(logits, high) <= target <= mean_confidence(logits, low):
        raise EnginesError(
            f"no temperature brings the mean confidence of these {len(logits)} faces to {target}; "
            f"give a target between {1 / max(1, logits.shape[-1]):.2f} and 1 and pictures with faces"
        )
    while high - low > 1e-6:
        middle = (low + high) / 2
        if mean_confidence(logits, middle) > target:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def calibrate(
    model: str, paths: Iterable[Path], target: float, *, cache: Path | None = None, precision: str = "auto"
) -> CalibrationResult:
    """Fit a zoo model's temperature on clips, crops, or folders of them.

    Crops (pictures of exactly the model's size) are taken as they are; in clips faces are found and cut as the
    model's spec says, every frame. Raises `EnginesError` and what the zoo and the runner raise.
    """
    geometry = entry_of(model).spec.crop
    if geometry is None:
        raise EnginesError(f"{model} is no expression model; its confidence cannot be calibrated")
    files = _files(paths)
    loaded = load(model, cache=cache)
    network = open_runner(loaded, cache=cache, precision=precision)
    detector = open_runner(load("centerface", cache=cache), input_size_wh=SEARCH_SIZE_WH, cache=cache)
    rgb = loaded.spec.normalisation.colour == "rgb"
    gathered: dict[str, FloatArray] = {}
    for path in files:
        crops = (
            [_crop_file(path, geometry)] if path.suffix.lower() in CROP_SUFFIXES else _crops(path, detector, geometry)
        )
        if crops:
            name = path.parent.name if path.suffix.lower() in CROP_SUFFIXES else path.name
            fresh = _logits(network, [one if rgb else one[..., ::-1] for one in crops])
            gathered[name] = np.concatenate([gathered[name], fresh]) if name in gathered else fresh
    if not gathered:
        raise EnginesError("no face was found in what was named; name clips or aligned crops with faces")
    logits = np.concatenate(list(gathered.values()))
    temperature = fit_temperature(logits, target)
    sources = tuple(
        SourceConfidence(name, len(rows), mean_confidence(rows, 1.0), mean_confidence(rows, temperature))
        for name, rows in gathered.items()
    )
    return CalibrationResult(temperature, target, len(logits), mean_confidence(logits, 1.0), sources)


def _files(paths: Iterable[Path]) -> list[Path]:
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            known = CROP_SUFFIXES + CLIP_SUFFIXES
            files.extend(sorted(one for one in path.iterdir() if one.suffix.lower() in known))
        elif path.is_file():
            files.append(path)
        else:
            raise EnginesError(f"{path} does not exist; name clips, crops or folders of them")
    return files


def _crop_file(path: Path, geometry: CropGeometry) -> UInt8Array:
    read = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if read is None or read.shape != (geometry.height, geometry.width, 3):
        raise EnginesError(f"{path} is no crop of {geometry.width}x{geometry.height} pixels")
    return np.ascontiguousarray(read[..., ::-1]).astype(np.uint8)


def _crops(path: Path, detector: Runner, geometry: CropGeometry) -> list[UInt8Array]:
    return [
        crop(picture, face, geometry)
        for picture in pictures_of(path)
        for face in find_faces(detector, picture)
        if face.face_px >= SMALLEST_FACE_PX
    ]


def _logits(network: Runner, crops: Sequence[UInt8Array]) -> FloatArray:
    batches = (np.stack(crops[start : start + _BATCH]) for start in range(0, len(crops), _BATCH))
    return np.concatenate([network.infer({"image": batch})["logits"].copy() for batch in batches])
