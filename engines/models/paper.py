"""The paper's six models (Table I) and the two readings of it.

Text and code of the paper's authors differ. `paper_code` follows what they submitted: STAT of the 7 probabilities
alone, s = 16, the last two stages trainable, heads of two dense layers of 1024. `paper_text` follows the text: STAT
of features and probabilities (minimum, maximum, mean), the last stage trainable.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from engines.errors import WrongUse
from engines.models.config import BackboneConfig, LstmConfig, ModelConfig
from engines.zoo.paper import ROWS

Flavour = Literal["paper_code", "paper_text"]


def paper_model(
    wanted: int | str, flavour: Flavour = "paper_code", *, backbone: BackboneConfig | None = None, **changes: Any
) -> ModelConfig:
    """The configuration of a row of Table I, by number (1 to 6) or name; `changes` replace single fields.

    Raises `WrongUse` for a model or field that does not exist.
    """
    row = next((row for row in ROWS if wanted == row.number or wanted in row.names), None)
    if row is None:
        known = ", ".join(f"{row.number} {row.name}" for row in ROWS)
        raise WrongUse(f"the paper has no model {wanted!r}; it has {known}")
    config = ModelConfig(
        name=row.name,
        number=row.number,
        backbone=backbone or BackboneConfig(freeze=flavour if row.stat else "none"),
        stat=("probs" if flavour == "paper_code" else "min_max_mean") if row.stat else "none",
        lstm=LstmConfig(form="windowed") if row.lstm else None,
        valence_arousal=row.valence_arousal,
    )
    try:
        return msgspec.structs.replace(config, **changes)
    except (TypeError, ValueError) as error:
        raise WrongUse(f"model {row.name} cannot be changed so: {error}") from error
