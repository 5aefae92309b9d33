"""A small set of made-up pictures whose expression, valence and arousal can be seen, and runs on it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engines.data.config import DataConfig
from engines.data.frames import AnnotatedFrames, UInt8Array
from engines.models import BackboneConfig, LstmConfig, ModelConfig
from engines.training.config import DataPlan, OptimiserConfig, TrainConfig

SIDE_PX = 32
UNUSED = (DataConfig(kind="synthetic"),)


@dataclass(frozen=True)
class Patches:
    """Grey pictures with a bright patch whose place tells the expression, and a brightness that tells arousal."""

    expression: tuple[int, ...]
    arousal: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.expression)

    def read(self, index: int, side_px: int) -> UInt8Array:
        random = np.random.default_rng(index)
        picture = random.integers(60, 90, (side_px, side_px, 3), dtype=np.uint8)
        picture += np.uint8(30 + 30 * self.arousal[index])
        part = side_px // 4
        row, column = divmod(self.expression[index], 4)
        picture[row * part : (row + 1) * part, column * part : (column + 1) * part] = 250
        return picture


def frames(n_videos: int = 6, n_frames: int = 20, *, seed: int = 0, name: str = "made-up") -> AnnotatedFrames:
    """Videos whose expression changes every fifth frame; one picture in nine has no annotation."""
    random = np.random.default_rng(seed)
    n = n_videos * n_frames
    shown = np.repeat(random.integers(0, 7, n // 5), 5)
    arousal = random.uniform(-1, 1, n // 5).repeat(5).astype(np.float32)
    valence = ((shown - 3) / 3).astype(np.float32)
    known = np.arange(n) % 9 != 4
    return AnnotatedFrames(
        name=name,
        pictures=Patches(tuple(shown.tolist()), tuple(arousal.tolist())),
        videos=tuple(f"video-{i}" for i in range(n_videos)),
        video=np.repeat(np.arange(n_videos, dtype=np.int32), n_frames),
        frame=np.tile(np.arange(n_frames, dtype=np.int32), n_videos),
        expression=np.where(known, shown, -1).astype(np.int64),
        valence=np.where(known, valence, np.nan).astype(np.float32),
        arousal=np.where(known, arousal, np.nan).astype(np.float32),
    )


def model_config(**changes: Any) -> ModelConfig:
    """A small model."""
    settings: dict[str, Any] = {
        "name": "small",
        "head_units": 16,
        "window": 4,
        "backbone": BackboneConfig(name="small", input_size_px=SIDE_PX),
    }
    return ModelConfig(**{**settings, **changes})


FROZEN = BackboneConfig(name="small", input_size_px=SIDE_PX, freeze="all")
WINDOWED = LstmConfig(form="windowed", units=6)
RECURRENT = LstmConfig(form="recurrent", units=8)


def config(model: ModelConfig | None = None, **changes: Any) -> TrainConfig:
    """A short run."""
    settings: dict[str, Any] = {
        "name": "run",
        "model": model or model_config(),
        "data": DataPlan(train=UNUSED, validation=UNUSED),
        "epochs": 3,
        "batch_size": 12,
        "steps_per_epoch": 4,
        "optimiser": OptimiserConfig(learning_rate=0.003),
        "device": "cpu",
    }
    return TrainConfig(**{**settings, **changes})


def files(folder: Path, *names: str) -> dict[str, bytes]:
    """The bytes of files in a folder."""
    return {name: (folder / name).read_bytes() for name in names}
