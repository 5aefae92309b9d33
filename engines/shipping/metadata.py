"""What an exported network says of itself, in its own file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from engines.models import sha256_of_weights
from engines.spec import EXPRESSIONS, Calibration, Provenance

FORMAT_VERSION = "2"
TEMPERATURE_KEY = "temperature"


@dataclass(frozen=True)
class About:
    """What is known of a model besides its numbers: it goes into the specs, the networks' own files and the card.

    `name` and `version` make the model's id in records. `figures` are measured results by what they measure.
    `valence_arousal_trained_on` names the human annotations behind valence and arousal, None where there were none.
    """

    name: str
    version: str
    provenance: Provenance
    valence_arousal_trained_on: str | None = None
    figures: Mapping[str, float] = field(default_factory=dict)


def metadata_of(part: torch.nn.Module, about: About, calibration: Calibration, *, architecture: str) -> dict[str, str]:
    """The `metadata_props` of an exported network: enough to tell where a stray file came from."""
    return {
        "format_version": FORMAT_VERSION,
        "class_order": ",".join(EXPRESSIONS),
        "model": f"{about.name}@{about.version}",
        "architecture": architecture,
        "weights_sha256": sha256_of_weights(part),
        "licence": about.provenance.licence,
        "origin": about.provenance.origin,
        "trained_on": about.provenance.trained_on,
        "valence_arousal_trained_on": about.valence_arousal_trained_on or "",
        TEMPERATURE_KEY: repr(calibration.temperature),
        "calibration": calibration.fitted,
    }
