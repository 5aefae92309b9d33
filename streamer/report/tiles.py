"""Small multiples: each source as a share bar, a line of valence and of arousal, and where its points lie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamer.report.summary import SourceFacts

N_SLICES = 120
N_CELLS = 13
WIDTH, HEIGHT = 240, 64
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Tile:
    """One source in small, ready to be drawn: SVG paths for a box of `WIDTH` by `HEIGHT`, and dots.

    `dots` are (valence, arousal, radius) of the cells of a grid that hold points; a dot's area is the cell's share.
    """

    valence_path: str
    arousal_path: str
    dots: tuple[tuple[float, float, float], ...]
    valence: float
    arousal: float


def tile(source: SourceFacts) -> Tile | None:
    """All faces of a source together, low quality left out; None when it has no face."""
    if not source.tracks:
        return None
    t_s = np.concatenate([t.t_s[t.trusted] for t in source.tracks])
    va = np.stack(
        [
            np.concatenate([t.valence[t.trusted] for t in source.tracks]),
            np.concatenate([t.arousal[t.trusted] for t in source.tracks]),
        ],
        axis=1,
    ).astype(np.float64)
    width_s = max(source.end_s, 1e-3) / N_SLICES
    slices = np.minimum((t_s / width_s).astype(np.intp), N_SLICES - 1)
    counts = np.bincount(slices, minlength=N_SLICES)
    valence, arousal = (_path(_means(slices, counts, va[:, k])) for k in (0, 1))
    return Tile(valence, arousal, _dots(va), float(va[:, 0].mean()), float(va[:, 1].mean()))


def _means(slices: NDArray[np.intp], counts: NDArray[np.intp], values: Floats) -> Floats:
    """The mean of each slice, NaN where nothing was seen."""
    sums = np.bincount(slices, weights=values, minlength=N_SLICES)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _path(means: Floats) -> str:
    """The line through the slices' means, broken where nothing was seen for more than two slices."""
    seen = np.flatnonzero(~np.isnan(means))
    parts = []
    last = -10
    for k in seen.tolist():
        x, y = (k + 0.5) * WIDTH / N_SLICES, HEIGHT / 2 * (1 - float(means[k]))
        begins = k - last > 3
        parts.append(f"{'M' if begins else 'L'}{x:.0f} {y:.1f}" + ("h1" if begins else ""))
        last = k
    return "".join(parts)


def _dots(va: Floats) -> tuple[tuple[float, float, float], ...]:
    cells = np.clip(((va + 1) / 2 * N_CELLS).astype(np.intp), 0, N_CELLS - 1)
    counts = np.bincount(cells[:, 0] * N_CELLS + cells[:, 1], minlength=N_CELLS**2)
    greatest = counts.max()
    return tuple(
        (
            round((k // N_CELLS + 0.5) * 2 / N_CELLS - 1, 3),
            round((k % N_CELLS + 0.5) * 2 / N_CELLS - 1, 3),
            round(max(0.02, 0.16 * float(np.sqrt(counts[k] / greatest))), 3),
        )
        for k in np.flatnonzero(counts).tolist()
    )
