"""The drawn set as AnnotatedFrames: drawn when read, or drawn once into memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import msgspec
import numpy as np
from numpy.typing import NDArray

from engines.data.frames import AnnotatedFrames, UInt8Array
from engines.data.synthetic.config import SPLITS, Split, SyntheticConfig
from engines.data.synthetic.draw import draw_face
from engines.data.synthetic.identity import Identity, draw_identity
from engines.data.synthetic.timeline import Timeline, draw_timeline

STILLS_FPS = 0.3
"""Pictures of the split `stills` are moments of one life that lie 3.3 s apart."""


@dataclass(frozen=True)
class DrawnPictures:
    """Pictures drawn when they are read; the same index gives the same picture, in any order and process."""

    config: SyntheticConfig
    split: Split
    source: NDArray[np.int32]
    """(N,) which timeline each picture is of."""
    moment: NDArray[np.int32]
    """(N,) which frame of that timeline."""

    def __len__(self) -> int:
        return len(self.source)

    def read(self, index: int, side_px: int) -> UInt8Array:
        """Picture `index` as (side_px,side_px,3) RGB, drawn at that size."""
        source, moment = int(self.source[index]), int(self.moment[index])
        identity, timeline = scene(self.config, self.split, source)
        return draw_face(identity, timeline, moment, side_px, grain=source * 7919 + moment * 104729)


@dataclass(frozen=True)
class _InMemory:
    drawn: UInt8Array = field(repr=False)

    def __len__(self) -> int:
        return len(self.drawn)

    def read(self, index: int, side_px: int) -> UInt8Array:
        picture: UInt8Array = self.drawn[index]
        if picture.shape[0] != side_px:
            import cv2

            picture = cv2.resize(picture, (side_px, side_px), interpolation=cv2.INTER_AREA).astype(np.uint8)
        return picture


def synthetic_frames(config: SyntheticConfig, split: Split) -> AnnotatedFrames:
    """The drawn set of one split: a drawing for development and CI, never evidence about people.

    Every frame has its true expression, valence and arousal. Pictures are drawn when read; see `drawn_in_memory`.
    """
    stills = split == "stills"
    n_each = config.stills_per_identity if stills else config.frames_per_video
    n_sources = config.n_identities(split) * (1 if stills else config.videos_per_identity)
    order = np.tile(np.arange(n_each, dtype=np.int32), (n_sources, 1))
    if config.shuffled:
        order = (shuffled_rows(config, split) % n_each).astype(np.int32).reshape(order.shape)
    source = np.repeat(np.arange(n_sources, dtype=np.int32), n_each)
    columns: dict[str, list[NDArray[np.floating]]] = {"expression": [], "valence": [], "arousal": []}
    for one in range(n_sources):
        timeline = scene(config, split, one)[1]
        for name, kept in columns.items():
            kept.append(getattr(timeline, name)[order[one]])
    names = [_name(config, split, one) for one in range(n_sources)]
    n = len(source)
    return AnnotatedFrames(
        name=f"synthetic-{split}",
        pictures=DrawnPictures(config, split, source, order.reshape(-1)),
        videos=tuple(f"{names[i // n_each]}/{i % n_each:04d}" for i in range(n)) if stills else tuple(names),
        video=np.arange(n, dtype=np.int32) if stills else source,
        frame=np.zeros(n, np.int32) if stills else np.tile(np.arange(n_each, dtype=np.int32), n_sources),
        expression=np.concatenate(columns["expression"]).astype(np.int64),
        valence=np.concatenate(columns["valence"]).astype(np.float32),
        arousal=np.concatenate(columns["arousal"]).astype(np.float32),
    )


def shuffled_rows(config: SyntheticConfig, split: Split) -> NDArray[np.int64]:
    """(N,) which row of the set in time each row of the shuffled set shows; stills have no time and stay."""
    if split == "stills":
        return np.arange(config.n_stills_identities * config.stills_per_identity)
    n_videos, n_frames = config.n_identities(split) * config.videos_per_identity, config.frames_per_video
    rng = np.random.default_rng((config.seed, SPLITS.index(split), 3))
    rows: NDArray[np.int64] = np.arange(n_videos * n_frames, dtype=np.int64).reshape(n_videos, n_frames)
    return rng.permuted(rows, axis=1).reshape(-1)


def drawn_in_memory(frames: AnnotatedFrames, side_px: int) -> AnnotatedFrames:
    """The same frames with every picture drawn once: side_px^2 * 3 bytes each."""
    drawn = np.empty((len(frames), side_px, side_px, 3), np.uint8)
    for index in range(len(frames)):
        drawn[index] = frames.pictures.read(index, side_px)
    return AnnotatedFrames(
        name=frames.name,
        pictures=_InMemory(drawn),
        videos=frames.videos,
        video=frames.video,
        frame=frames.frame,
        expression=frames.expression,
        valence=frames.valence,
        arousal=frames.arousal,
    )


def scene(config: SyntheticConfig, split: Split, source: int) -> tuple[Identity, Timeline]:
    """Who is in a video and what happens in it."""
    return _scene(msgspec.structs.replace(config, shuffled=False), split, source)


@lru_cache(maxsize=256)
def _scene(config: SyntheticConfig, split: Split, source: int) -> tuple[Identity, Timeline]:
    stills = split == "stills"
    which = SPLITS.index(split)
    person = source if stills else source // config.videos_per_identity
    identity = _identity(config.seed, which, person)
    rng = np.random.default_rng((config.seed, which, 2, source))
    n, fps = (config.stills_per_identity, STILLS_FPS) if stills else (config.frames_per_video, config.fps)
    return identity, draw_timeline(config, identity, rng, n, fps)


@lru_cache(maxsize=1024)
def _identity(seed: int, which: int, person: int) -> Identity:
    return draw_identity(np.random.default_rng((seed, which, 1, person)))


def _name(config: SyntheticConfig, split: Split, source: int) -> str:
    person, take = (source, 0) if split == "stills" else divmod(source, config.videos_per_identity)
    return f"{split}-{person:03d}" if split == "stills" else f"{split}-{person:03d}-{take}"
