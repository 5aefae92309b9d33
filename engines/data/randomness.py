"""Random numbers that depend on their names alone, so that a resumed run draws what the first one drew."""

from __future__ import annotations

import zlib

import numpy as np


def named_rng(purpose: str, seed: int, *numbers: int) -> np.random.Generator:
    """A generator for (purpose, seed, numbers), the same on every machine and in every process.

    Two purposes never share a stream, so that changing how one draws leaves the others as they were.
    """
    return np.random.default_rng([zlib.crc32(purpose.encode()), seed, *numbers])
