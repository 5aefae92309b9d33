"""Does a converted network still say what its original said? Numbers in, verdict out.

With random weights every such check passes, wrong colours included: all crops then look alike to the network. So
features are compared around their mean over the crops, labels are compared where the original was sure of them, and
where it was never sure nothing is said to be equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.errors import BadData
from engines.spec import Precision

Floats = NDArray[np.floating[Any]]
CLEAR_MARGIN = 0.1
"""A label is clear where the largest probability is at least this much above the second."""
FEWEST_CLEAR = 8
"""With fewer clear labels than this the reference is no judge: random weights, or crops that are all alike."""
CENTRED = ("features", "logits")
"""Outputs without a scale of their own: tolerances count in units of their largest value where that is above 1."""


@dataclass(frozen=True)
class Limits:
    """What a precision must reach: `tolerance` on every number (None: not judged), signal to noise, equal labels."""

    tolerance: float | None
    features_db: float
    labels: float


LIMITS: dict[Precision, Limits] = {
    "fp32": Limits(1e-3, 60.0, 1.0),
    "fp16": Limits(None, 40.0, 0.99),
    "bf16": Limits(None, 25.0, 0.99),
    "int8": Limits(None, 15.0, 0.97),
}
"""By the coarser precision of the two sides. Labels forgive nearly everything: over 120 faces of the shared clips the
default network gave the same 115 clear labels with red and blue exchanged (8.5 dB) and with crops shifted by one pixel
(12.9 dB), while bf16 has 39 dB. So the decibels stand above what such mistakes reach."""


@dataclass(frozen=True)
class OutputFidelity:
    """One output: largest absolute difference, the stated tolerance, and decibels of mean-centred signal to noise."""

    name: str
    max_difference: float
    tolerance: float | None
    snr_db: float | None
    least_db: float | None
    good: bool


@dataclass(frozen=True)
class LabelFidelity:
    """Labels of one output of probabilities: how many were clear, and the share of those that are equal."""

    name: str
    n_clear: int
    agreement: float
    least: float
    good: bool


@dataclass(frozen=True)
class Fidelity:
    """What a comparison over `n_crops` found; `failures` says in words what was below its limit."""

    n_crops: int
    outputs: tuple[OutputFidelity, ...]
    labels: tuple[LabelFidelity, ...]
    failures: tuple[str, ...]

    @property
    def good(self) -> bool:
        """Whether everything was within its limits."""
        return not self.failures


def coarser(a: Precision, b: Precision) -> Precision:
    """The one whose limits are wider."""
    order = list(LIMITS)
    return max(a, b, key=order.index)


def compare(reference: Mapping[str, Floats], candidate: Mapping[str, Floats], limits: Limits) -> Fidelity:
    """Hold every output that both have (N,...) against the reference's.

    Outputs called `probs` or ending in `/probs` are probabilities whose labels are compared; `features` and `logits`
    must reach the signal-to-noise ratio. Raises `BadData` when the shapes differ or nothing is shared.
    """
    shared = [name for name in reference if name in candidate]
    if "probs" not in shared:
        raise BadData("the two sides share no output `probs`: compare two models of the same kind")
    n = len(reference["probs"])
    for name in shared:
        if reference[name].shape != candidate[name].shape:
            raise BadData(
                f"`{name}` is {reference[name].shape} on one side and {candidate[name].shape} on the other: "
                "compare two forms of the same model"
            )
    outputs = tuple(_output(name, reference[name], candidate[name], limits) for name in shared)
    labels = tuple(_labels(name, reference[name], candidate[name], limits) for name in shared if _is_probs(name))
    return Fidelity(n, outputs, labels, (*_output_failures(outputs), *_label_failures(labels, n)))


def snr_db(reference: Floats, candidate: Floats) -> float:
    """10 log10 of the reference's power around its mean over the rows, over the power of the difference.

    Infinite when nothing differs, minus infinity when all rows of the reference are the same or a number is not finite.
    """
    if not (np.isfinite(reference).all() and np.isfinite(candidate).all()):
        return -np.inf
    signal = reference.astype(np.float64) - reference.astype(np.float64).mean(axis=0)
    noise = candidate.astype(np.float64) - reference
    powers = float((signal**2).sum()), float((noise**2).sum())
    if powers[1] == 0:
        return np.inf if powers[0] else -np.inf
    return float(10 * np.log10(powers[0] / powers[1])) if powers[0] else -np.inf


def clear_rows(probs: Floats) -> NDArray[np.bool_]:
    """(N,) where the largest of the probabilities (N,C) leads by at least CLEAR_MARGIN."""
    ranked = np.sort(probs, axis=-1)
    clear: NDArray[np.bool_] = ranked[..., -1] - ranked[..., -2] >= CLEAR_MARGIN
    return clear


def _is_probs(name: str) -> bool:
    return name.rpartition("/")[2] == "probs"


def _output(name: str, reference: Floats, candidate: Floats, limits: Limits) -> OutputFidelity:
    centred = name.rpartition("/")[2] in CENTRED
    scale = max(1.0, float(np.abs(reference).max())) if centred and reference.size else 1.0
    difference = float(np.abs(candidate.astype(np.float64) - reference).max()) if reference.size else 0.0
    tolerance = None if limits.tolerance is None else limits.tolerance * scale
    ratio = snr_db(reference, candidate) if centred else None
    # Written so that NaN fails.
    good = tolerance is None or difference <= tolerance
    if not np.isfinite(difference) or (ratio is not None and not ratio >= limits.features_db):
        good = False
    return OutputFidelity(name, difference, tolerance, ratio, limits.features_db if centred else None, good)


def _labels(name: str, reference: Floats, candidate: Floats, limits: Limits) -> LabelFidelity:
    clear = clear_rows(reference)
    n_clear = int(clear.sum())
    equal = reference[clear].argmax(-1) == candidate[clear].argmax(-1)
    agreement = float(equal.mean()) if n_clear else 0.0
    return LabelFidelity(
        name, n_clear, agreement, limits.labels, n_clear >= FEWEST_CLEAR and agreement >= limits.labels
    )


def _output_failures(outputs: tuple[OutputFidelity, ...]) -> list[str]:
    told = []
    for one in outputs:
        if one.good:
            continue
        if one.tolerance is not None and not one.max_difference <= one.tolerance:
            told.append(f"{one.name} differs by {one.max_difference:.2g}, more than {one.tolerance:.2g}")
        elif one.snr_db is not None and one.least_db is not None:
            told.append(f"{one.name} has {one.snr_db:.1f} dB of signal to noise, less than {one.least_db:.0f}")
        else:
            told.append(f"{one.name} holds numbers that are not finite")
    return told


def _label_failures(labels: tuple[LabelFidelity, ...], n: int) -> list[str]:
    told = []
    for one in labels:
        if one.n_clear < FEWEST_CLEAR:
            told.append(
                f"{one.name}: only {one.n_clear} of {n} crops have a clear label and {FEWEST_CLEAR} are needed: these "
                "weights are not trained, or the crops too few or too much alike"
            )
        elif not one.good:
            told.append(f"{one.name}: {one.agreement:.1%} of {one.n_clear} clear labels are equal, not {one.least:.0%}")
    return told
