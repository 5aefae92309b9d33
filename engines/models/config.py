"""What a model is made of, as plain settings: from code, from YAML, or from a training folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec
import yaml

from engines.errors import WrongUse
from engines.spec import StatKind

FreezePolicy = Literal["none", "paper_text", "paper_code", "all"]


class LstmConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The LSTM over the block's probs (paper, section II.C).

    `windowed`: the paper's bidirectional LSTM of one or two layers over the block of s observations; nothing is
    carried but the block. `recurrent`: one forward layer whose (h, c) is carried from observation to observation.
    """

    form: Literal["windowed", "recurrent"]
    layers: Literal[1, 2] = 1
    units: int = 1024

    def __post_init__(self) -> None:
        if self.form == "recurrent" and self.layers != 1:
            raise ValueError("a recurrent LSTM has one layer: its (h, c) is carried as one vector each")
        if self.units < 1:
            raise ValueError("an LSTM has at least one unit")


class BackboneConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The face network: `resnet50-vggface2`, `small` or `timm:NAME`. `weights` is a state dict to start from.

    `freeze`: `paper_text` leaves the last stage and the classification layer trainable (section II.C of the paper),
    `paper_code` the last two stages, as its authors' code does; `all` and `none` say what they mean.
    """

    name: str = "resnet50-vggface2"
    input_size_px: int = 224
    weights: str | None = None
    freeze: FreezePolicy = "none"

    def __post_init__(self) -> None:
        if self.input_size_px < 16:
            raise ValueError("input_size_px is the side of a crop and at least 16")


class ModelConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of the paper's six models (`number` 1 to 6), or one's own (0).

    `stat` and `window` say what the STAT module reads, `lstm` whether there is one, `valence_arousal` whether the
    three regression heads are there. Heads have two dense layers of `head_units` before their output.
    """

    name: str
    number: int = 0
    backbone: BackboneConfig = BackboneConfig()
    stat: StatKind = "none"
    window: int = 16
    lstm: LstmConfig | None = None
    valence_arousal: bool = True
    head_units: int = 1024
    dropout: float = 0.1

    def __post_init__(self) -> None:
        if not 1 <= self.window <= 1024:
            raise ValueError("window counts observations: 1 to 1024")
        if self.head_units < 1 or not 0 <= self.dropout < 1:
            raise ValueError("head_units is at least 1 and dropout from 0 to below 1")

    @property
    def temporal(self) -> bool:
        """Whether the model looks at more than the current frame."""
        return self.stat != "none" or self.lstm is not None


def load_model_config(path: Path) -> ModelConfig:
    """The model described in a YAML file; `WrongUse` says what is wrong with it."""
    try:
        plain: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        return msgspec.convert(plain, ModelConfig)
    except OSError as error:
        raise WrongUse(f"{path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise WrongUse(f"{path} describes no model: {error}") from error
