"""The same crops through two or more ways of running a model, and what differs."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engines.errors import WrongUse
from engines.faces import UInt8Array
from engines.shipping.fidelity import LIMITS, Fidelity, coarser, compare
from engines.shipping.sides import Side, Temperatures
from engines.spec import CropGeometry, Precision


@dataclass(frozen=True)
class Compared:
    """One candidate against the reference, in the limits of the coarser `precision` of the two."""

    reference: str
    candidate: str
    precision: Precision
    fidelity: Fidelity

    def plain(self) -> dict[str, Any]:
        """As values for JSON, where infinity and NaN have no place: null."""
        told: dict[str, Any] = _finite(dataclasses.asdict(self))
        return told | {"good": self.fidelity.good}


def geometry_of(sides: Sequence[Side]) -> CropGeometry:
    """How faces are to be cut for all of them. Raises `WrongUse` when their crops are of different sizes."""
    sizes = {side.side_px for side in sides}
    if len(sizes) > 1:
        raise WrongUse(f"the models take crops of {', '.join(map(str, sorted(sizes)))} px: compare forms of one model")
    told = next((side.crop for side in sides if side.crop is not None), None)
    side_px = sizes.pop()
    return told or CropGeometry(kind="box", width=side_px, height=side_px)


def compare_sides(reference: Side, candidates: Sequence[Side], crops_rgb: UInt8Array) -> list[Compared]:
    """Each candidate against the reference over crops (N,H,W,3). Crops are taken as one track where there is a head.

    A side that knows of no temperature is judged at that of the other.
    """
    found = []
    for candidate in candidates:
        temperatures = reference.temperatures or candidate.temperatures or Temperatures()
        ours = reference.answers(crops_rgb, temperatures)
        theirs = candidate.answers(crops_rgb, candidate.temperatures or temperatures)
        precision = coarser(reference.precision, candidate.precision)
        found.append(Compared(reference.title, candidate.title, precision, compare(ours, theirs, LIMITS[precision])))
    return found


def as_text(compared: Compared) -> str:
    """A table for people: one line an output, then the labels, then the verdict."""
    lines = [
        f"{compared.candidate} against {compared.reference}, {compared.fidelity.n_crops} crops, "
        f"limits of {compared.precision}"
    ]
    for one in compared.fidelity.outputs:
        tolerance = "-" if one.tolerance is None else f"{one.tolerance:.1e}"
        ratio = "" if one.snr_db is None else f"  {one.snr_db:6.1f} dB (at least {one.least_db:.0f})"
        mark = " " if one.good else "!"
        lines.append(f"{mark} {one.name:14} max {one.max_difference:.2e}  tolerance {tolerance:>8}{ratio}")
    for labels in compared.fidelity.labels:
        mark = " " if labels.good else "!"
        lines.append(
            f"{mark} {labels.name:14} labels equal {labels.agreement:.2%} of {labels.n_clear} clear ones "
            f"(at least {labels.least:.0%})"
        )
    lines += ["good"] if compared.fidelity.good else [f"FAILED: {text}" for text in compared.fidelity.failures]
    return "\n".join(lines)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    if isinstance(value, float | np.floating) and not math.isfinite(value):
        return None
    return value
