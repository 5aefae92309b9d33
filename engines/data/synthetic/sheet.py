"""A page of drawn faces to look at."""

from __future__ import annotations

import msgspec
import numpy as np

from engines.data.frames import UInt8Array
from engines.data.synthetic.config import SyntheticConfig
from engines.data.synthetic.frames import synthetic_frames
from engines.spec import N_PROBS


def contact_sheet(config: SyntheticConfig, *, n_identities: int, side_px: int, n_lapses: int = 14) -> UInt8Array:
    """(H,W,3) RGB: a row an identity with its seven expressions, unhindered, then rows of consecutive noisy frames.

    The rows of consecutive frames are `n_lapses` pictures long, two columns an expression, at half the size.
    """
    clean = msgspec.structs.replace(
        config, noise=0.0, videos_per_identity=1, n_test_identities=n_identities, frames_per_video=400, fps=5.0
    )
    frames = synthetic_frames(clean, "test")
    rows = []
    for person in range(n_identities):
        of = np.flatnonzero(frames.video == person)
        row = []
        for expression in range(N_PROBS):
            there = of[frames.expression[of] == expression]
            # The strongest moment: furthest from where a face at rest lies.
            strength = np.hypot(frames.valence[there], frames.arousal[there])
            best = there[len(there) // 2] if expression == 0 else there[int(strength.argmax())]
            row.append(frames.pictures.read(int(best), side_px))
        rows.append(np.concatenate(row, 1))
    noisy = synthetic_frames(msgspec.structs.replace(config, videos_per_identity=1), "test")
    half = side_px // 2
    for person in range(min(n_identities, config.n_test_identities)):
        begin = int(np.flatnonzero(noisy.video == person)[0])
        row = [noisy.pictures.read(begin + i, half) for i in range(min(n_lapses, config.frames_per_video))]
        row += [np.zeros_like(row[0])] * (n_lapses - len(row))
        rows.append(np.concatenate(row, 1))
    return np.concatenate(rows, 0)
