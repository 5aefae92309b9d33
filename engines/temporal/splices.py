"""Real footage spliced at known moments: what the real network said of faces whose expression is known and holds.

The stretches are of clips on which the every-frame run says one thing throughout, as anybody who looks at them would;
their degraded copies (`footage`) have the same expressions and the network's own mistakes. Two expressions only,
Neutral and Happy: nobody has labelled more of what is at hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engines.errors import BadData
from engines.spec import EXPRESSIONS
from engines.temporal.residuals import RealTrack
from engines.temporal.sequences import GAP, Floats, Sequences

SHORTEST_STRETCH = 8


@dataclass(frozen=True)
class Known:
    """In tracks of streams that begin with `clip`, from `from_s` to `to_s` the face shows `expression`."""

    clip: str
    from_s: float
    to_s: float
    expression: str


KNOWN: tuple[Known, ...] = (
    Known("intel_head-pose-face-detection-female-and-male", 0.0, 60.0, "Neutral"),
    Known("intel_head-pose-face-detection-male", 0.0, 5.0, "Happy"),
    Known("pyfeat_single_face", 0.0, 0.55, "Neutral"),
    Known("pyfeat_single_face", 0.7, 2.3, "Happy"),
)
"""Where single_face begins to smile, and the last picture of two clips, are left out."""


@dataclass(frozen=True)
class Stretch:
    """A part of a real track that shows one expression: `probs` (T,7), `context` (T,5)."""

    probs: Floats
    context: Floats
    label: int


def stretches_of(tracks: Sequence[RealTrack], known: Sequence[Known] = KNOWN) -> list[Stretch]:
    """Every part of the tracks whose expression is known."""
    found = []
    for one in known:
        for track in tracks:
            # A degraded copy is called like its clip, `-worse` and a number.
            stream = track.name.rpartition("/")[0].partition("-worse")[0]
            inside = np.flatnonzero((track.times_s >= one.from_s) & (track.times_s <= one.to_s))
            if stream == one.clip and len(inside) >= SHORTEST_STRETCH:
                label = EXPRESSIONS.index(one.expression)
                found.append(Stretch(np.exp(track.log_probs[inside]), track.context[inside], label))
    return found


def spliced(stretches: Sequence[Stretch], n: int, steps: int, rng: np.random.Generator) -> Sequences:
    """`n` tracks of `steps` observations: a piece of one stretch after another, each of another expression.

    Pieces are 15 to 60 observations where the stretch has as many. Raises `BadData` without two expressions.
    """
    by_label: dict[int, list[Stretch]] = {}
    for one in stretches:
        by_label.setdefault(one.label, []).append(one)
    if len(by_label) < 2:
        raise BadData("splices need stretches of at least two expressions; name more tracks")
    probs = np.empty((n, steps, stretches[0].probs.shape[1]), np.float32)
    context = np.empty((n, steps, stretches[0].context.shape[1]), np.float32)
    labels = np.empty((n, steps), np.int64)
    for i in range(n):
        at, last = 0, -1
        while at < steps:
            others = [label for label in sorted(by_label) if label != last]
            last = others[int(rng.integers(len(others)))]
            stretch = by_label[last][int(rng.integers(len(by_label[last])))]
            wanted = min(int(rng.integers(15, 61)), len(stretch.probs), steps - at)
            begin = int(rng.integers(0, len(stretch.probs) - wanted + 1))
            piece, place = slice(begin, begin + wanted), slice(at, at + wanted)
            probs[i, place], context[i, place] = stretch.probs[piece], stretch.context[piece]
            labels[i, place] = last
            # The first of a piece follows the piece before at the pace of its own clip.
            context[i, at, GAP] = np.median(stretch.context[1:, GAP]) if at else 0.0
            at += wanted
    return Sequences(probs / probs.sum(-1, keepdims=True), context, labels)
