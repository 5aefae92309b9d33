"""What a frozen backbone says of every picture of a set, found once and kept on disk."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engines.data.frames import AnnotatedFrames, UInt8Array
from engines.models import Backbone, sha256_of_weights
from engines.spec import N_PROBS

FloatArray = NDArray[np.float32]
_FORMAT = 1
_PROBED = 32


@dataclass(frozen=True)
class Features:
    """`features` (N,D) and `probs` (N,7) float32 of N pictures, as the backbone in evaluation mode gives them."""

    features: FloatArray
    probs: FloatArray


def network_input(pictures: Tensor, backbone: Backbone) -> Tensor:
    """(...,3,H,W) float 0..255 in the backbone's channel order, from uint8 RGB pictures (...,H,W,3)."""
    if backbone.normalisation.colour == "bgr":
        pictures = pictures.flip(-1)
    return pictures.movedim(-1, -3).contiguous().float()


def read_pictures(frames: AnnotatedFrames, rows: NDArray[np.int64], side_px: int) -> UInt8Array:
    """(n,side,side,3) RGB uint8. Raises `BadData` for a picture that cannot be read."""
    return np.stack([frames.pictures.read(int(row), side_px) for row in rows])


@torch.no_grad()
def embed(
    backbone: Backbone,
    frames: AnnotatedFrames,
    *,
    batch_size: int = 64,
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
    into: Features | None = None,
) -> Features:
    """The features of all pictures, in fp32. `progress` is told how many of how many are done.

    The backbone goes to `device` and stays there; its training mode is left as it was. `into` are arrays to fill.
    """
    was_training = backbone.training
    backbone.to(device).eval()
    n = len(frames)
    found = into or Features(np.empty((n, backbone.n_features), np.float32), np.empty((n, N_PROBS), np.float32))
    for start in range(0, n, batch_size):
        rows = np.arange(start, min(n, start + batch_size))
        pictures = torch.from_numpy(read_pictures(frames, rows, backbone.input_size_px)).to(device)
        output = backbone(network_input(pictures, backbone))
        found.features[rows] = output.features.float().cpu().numpy()
        found.probs[rows] = output.probs.float().cpu().numpy()
        if progress is not None:
            progress(int(rows[-1]) + 1, n)
    backbone.train(was_training)
    return found


def cached_features(
    backbone: Backbone,
    frames: AnnotatedFrames,
    folder: Path,
    *,
    batch_size: int = 64,
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> Features:
    """The features of all pictures, from `folder` when this backbone has seen these pictures before.

    They are kept as two .npy files in a folder named for the hash of weights and data, which appears whole or not at
    all, and are read as memory maps.
    """
    kept = folder / f"features-{features_key(backbone, frames)}"
    if not kept.is_dir():
        partial = kept.with_suffix(f".{os.getpid()}.part")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        features = _on_disk(partial / "features.npy", (len(frames), backbone.n_features))
        probs = _on_disk(partial / "probs.npy", (len(frames), N_PROBS))
        into = Features(features, probs)
        embed(backbone, frames, batch_size=batch_size, device=device, progress=progress, into=into)
        features.flush()
        probs.flush()
        (partial / "about.json").write_text(json.dumps({"set": frames.name, "pictures": len(frames)}), encoding="utf-8")
        try:
            partial.rename(kept)
        except OSError:  # another process was first, with the same numbers
            shutil.rmtree(partial)
    # Copy-on-write: torch wants arrays it may write to, and the files must stay as they are.
    return Features(np.load(kept / "features.npy", mmap_mode="c"), np.load(kept / "probs.npy", mmap_mode="c"))


def _on_disk(path: Path, shape: tuple[int, int]) -> np.memmap[Any, np.dtype[np.float32]]:
    """A new .npy file that is written to as an array: the features of a whole data set need not fit into memory."""
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)


def features_key(backbone: Backbone, frames: AnnotatedFrames) -> str:
    """Names the backbone's weights and the pictures: all rows, and the bytes of 32 pictures spread over the set."""
    named = f"{_FORMAT} {backbone.config.name} {backbone.input_size_px} {sha256_of_weights(backbone)}\n"
    digest = hashlib.sha256(named.encode())
    digest.update("\n".join((frames.name, *frames.videos)).encode())
    digest.update(np.ascontiguousarray(frames.video).tobytes())
    digest.update(np.ascontiguousarray(frames.frame).tobytes())
    for row in np.unique(np.linspace(0, len(frames) - 1, min(len(frames), _PROBED)).astype(np.int64)):
        digest.update(frames.pictures.read(int(row), backbone.input_size_px).tobytes())
    return digest.hexdigest()[:32]
