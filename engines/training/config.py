"""What a training run is made of, from YAML and `--set` overrides."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import yaml

from engines.data.augmentation import Strength
from engines.data.config import DataConfig
from engines.errors import WrongUse
from engines.losses import PAPER_WEIGHTS
from engines.models.config import ModelConfig
from engines.models.paper import paper_model

_EXPONENT = re.compile(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+")
Precision = Literal["fp32", "bf16", "fp16"]


class DataPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The sets to learn from and to judge by; several are joined into one."""

    train: tuple[DataConfig, ...]
    validation: tuple[DataConfig, ...]

    def __post_init__(self) -> None:
        if not self.train or not self.validation:
            raise ValueError("name at least one set to train on and one to validate on")


class OptimiserConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`adam` decays weights apart from the gradient (AdamW); biases and norms are never decayed.

    `cosine` falls from `learning_rate` to nothing over all epochs; both schedules rise over `warmup_steps` first.
    """

    name: Literal["adam", "sgd"] = "adam"
    learning_rate: float = 1e-4
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_steps: int = 0
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        if self.learning_rate <= 0 or self.weight_decay < 0 or not 0 <= self.momentum < 1 or self.warmup_steps < 0:
            raise ValueError(
                "learning_rate is above 0, momentum from 0 to below 1, weight_decay and warmup_steps not below 0"
            )
        if self.clip_norm is not None and self.clip_norm <= 0:
            raise ValueError("clip_norm is above 0, or left out")


class TrainConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One training run. Everything that decides its curve is here, but for the pictures themselves.

    `part`: `whole` trains the model end to end, as far as `model.backbone.freeze` lets it; `backbone` trains the
    backbone's own 7 classes alone, as the paper does on AffectNet and RAF-DB. `cached_features` embeds all pictures
    once by the frozen backbone and trains the head on that. `start_from` is the folder of an earlier run, whose
    backbone is taken over. `features_folder` keeps cached features where several runs find them; otherwise they are
    in the run's own folder.
    `batch_size` counts pictures, blocks, or, for a recurrent head on cached features, sequences of `sequence_length`
    observations: those of one step on all devices together, worked off in `accumulate` equal pieces. An epoch is
    `steps_per_epoch` steps, or as many as the annotated pictures fill.
    `balance` draws every expression equally often. `logit_adjustment` is the strength at which log priors are added
    to the logits while training. `bare_weight` weighs a cross-entropy on the backbone's own classes, which the paper
    has not: it keeps them readable when the whole is trained from nothing.
    `patience` stops after so many epochs without a better score.
    """

    name: str
    model: ModelConfig
    data: DataPlan
    part: Literal["whole", "backbone"] = "whole"
    cached_features: bool = False
    start_from: str | None = None
    features_folder: str | None = None
    optimiser: OptimiserConfig = OptimiserConfig()
    epochs: int = 10
    batch_size: int = 64
    accumulate: int = 1
    steps_per_epoch: int | None = None
    sequence_length: int = 64
    balance: bool = False
    logit_adjustment: float = 0.0
    loss_weights: tuple[float, float, float, float] = PAPER_WEIGHTS
    bare_weight: float = 0.0
    augmentation: Strength = "off"
    precision: Precision = "fp32"
    patience: int | None = None
    seed: int = 1
    checkpoint_every_steps: int = 200
    workers: int = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def __post_init__(self) -> None:
        counts = {
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "accumulate": self.accumulate,
            "sequence_length": self.sequence_length,
            "checkpoint_every_steps": self.checkpoint_every_steps,
            "steps_per_epoch": 1 if self.steps_per_epoch is None else self.steps_per_epoch,
            "patience": 1 if self.patience is None else self.patience,
        }
        if low := [name for name, count in counts.items() if count < 1]:
            raise ValueError(f"{', '.join(low)} must be at least 1")
        if self.batch_size % self.accumulate:
            raise ValueError(f"a batch of {self.batch_size} cannot be cut into {self.accumulate} equal pieces")
        if self.workers < 0 or self.logit_adjustment < 0 or self.bare_weight < 0 or min(self.loss_weights) < 0:
            raise ValueError("workers, logit_adjustment, bare_weight and loss_weights are not below 0")
        if self.balance and self.logit_adjustment:
            raise ValueError("balance evens out the priors that logit_adjustment is about: choose one of the two")
        if self.balance and self.on_sequences:
            raise ValueError("balance draws single frames and blocks, not sequences: use logit_adjustment instead")
        if self.cached_features and self.part == "backbone":
            raise ValueError("cached_features trains a head; the backbone is what is frozen")
        if self.cached_features and self.augmentation != "off":
            raise ValueError("cached_features embeds each picture once: leave out augmentation")
        if self.cached_features and self.model.backbone.freeze != "all":
            raise ValueError("cached_features needs a frozen backbone: set model.backbone.freeze to all")
        if self.part == "backbone" and self.model.backbone.freeze == "all":
            raise ValueError("nothing is left to train: part is backbone and model.backbone.freeze is all")

    @property
    def on_sequences(self) -> bool:
        """Whether batches are sequences: (h, c) is carried and features are at hand."""
        lstm = self.model.lstm
        return self.cached_features and lstm is not None and lstm.form == "recurrent"


def read_train_config(path: Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """The run described in a YAML file, with `key=value` overrides (dotted keys, values in YAML).

    `model` is a ModelConfig, or `paper: N` with an optional `flavour` and any ModelConfig fields to change.
    Raises `WrongUse`, saying what is wrong.
    """
    try:
        plain: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WrongUse(f"{path} cannot be read ({error.strerror}); name a file of configs/training") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise WrongUse(f"{path} is not YAML: {error}") from error
    if not isinstance(plain, dict):
        raise WrongUse(f"{path} describes no training run: it must be a map of settings")
    for override in overrides:
        _override(plain, override)
    try:
        return train_config_of(plain)
    except (msgspec.ValidationError, WrongUse) as error:
        raise WrongUse(f"{path} describes no training run: {error}") from error


def train_config_of(plain: Mapping[str, Any]) -> TrainConfig:
    """The run that plain settings describe. Raises `msgspec.ValidationError` and `WrongUse`."""
    settings = _numbers(dict(plain))
    model = settings.get("model")
    if isinstance(model, Mapping) and "paper" in model:
        settings["model"] = _paper(dict(model))
    return msgspec.convert(settings, TrainConfig)


def _paper(changes: dict[str, Any]) -> dict[str, Any]:
    number, flavour = changes.pop("paper"), changes.pop("flavour", "paper_code")
    if flavour not in ("paper_code", "paper_text"):
        raise WrongUse(f"model.flavour is paper_code or paper_text, not {flavour!r}")
    plain: dict[str, Any] = msgspec.to_builtins(paper_model(number, flavour))
    return _merged(plain, changes)


def _merged(plain: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    for key, value in changes.items():
        below = plain.get(key)
        plain[key] = _merged(below, value) if isinstance(below, dict) and isinstance(value, Mapping) else value
    return plain


def _override(plain: dict[str, Any], override: str) -> None:
    """Sets one dotted key; numbers in it count the items of a list."""
    dotted, equals, text = override.partition("=")
    *path, last = dotted.split(".")
    if not equals or not last:
        raise WrongUse(f"--set takes key=value, such as optimiser.learning_rate=0.001, not {override!r}")
    try:
        value: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise WrongUse(f"--set {dotted}: {text!r} is not YAML") from error
    at: Any = plain
    for key in path:
        at = _below(at, key, dotted)
    if isinstance(at, list):
        at[_place(at, last, dotted)] = value
    else:
        at[last] = value


def _below(at: Any, key: str, dotted: str) -> Any:
    below = at[_place(at, key, dotted)] if isinstance(at, list) else at.setdefault(key, {})
    if below is None and isinstance(at, dict):
        below = at[key] = {}
    if not isinstance(below, dict | list):
        raise WrongUse(f"--set {dotted}: {key} is {below!r}, which has nothing inside")
    return below


def _place(items: list[Any], key: str, dotted: str) -> int:
    if not key.isdecimal() or int(key) >= len(items):
        raise WrongUse(f"--set {dotted}: {key!r} counts no item of a list of {len(items)}")
    return int(key)


def _numbers(plain: Any) -> Any:
    """The same settings with 1e-4 and the like as numbers: YAML 1.1 reads them as words."""
    if isinstance(plain, dict):
        return {key: _numbers(value) for key, value in plain.items()}
    if isinstance(plain, list):
        return [_numbers(value) for value in plain]
    return float(plain) if isinstance(plain, str) and _EXPONENT.fullmatch(plain) else plain
