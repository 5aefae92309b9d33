"""A training folder: what was trained, on what, how it went, and the weights.

`config.json` the whole configuration; `data.json` what was trained on, for the model card; `log.csv` one row an
epoch; `tensorboard/`; `best.pt` the model at its best score; `last.pt` all that going on takes. Every file appears
whole or not at all. Checkpoints hold tensors and plain values only and are read with `weights_only`.
"""

from __future__ import annotations

import csv
import io
import os
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch

from engines.data.frames import AnnotatedFrames
from engines.data.sampling import class_counts
from engines.errors import WrongUse
from engines.models import AffectModel, ModelConfig, build_model
from engines.spec import EXPRESSIONS
from engines.training.config import TrainConfig
from engines.zoo.cache import write_atomically

FORMAT = 1
BEST, LAST, LOG = "best.pt", "last.pt", "log.csv"
_FREE_TO_CHANGE = ("device", "features_folder", "workers", "checkpoint_every_steps")
"""Settings that do not bend the curve, and so may differ when a run is taken up again."""


class SetSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One set as it was used: `simulated` where nobody was annotated, as in the drawn set."""

    name: str
    n_pictures: int
    n_videos: int
    expressions: dict[str, int]
    n_valence_arousal: int
    simulated: bool


class DataSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What a model learnt from. `earlier` are the sets that its backbone had learnt from before this run, and
    `weights_sha256` names the public weights it started with."""

    train: tuple[SetSummary, ...]
    validation: tuple[SetSummary, ...]
    earlier: tuple[SetSummary, ...] = ()
    weights: str | None = None
    weights_sha256: str | None = None


@dataclass(frozen=True)
class TrainedInfo:
    """What is known of a trained model beside its weights; `figures` are those of the validation set at its best."""

    folder: Path
    config: TrainConfig
    data: DataSummary
    epoch: int
    score: float
    figures: dict[str, float]

    @property
    def trained_on(self) -> str:
        """The sets it learnt from, first to last, in words."""
        names = [one.name for one in (*self.data.earlier, *self.data.train)]
        return ", then ".join(dict.fromkeys(names))

    @property
    def valence_arousal_trained_on(self) -> str | None:
        """The human valence/arousal annotations that its heads learnt from; None when there were none."""
        if self.config.part == "backbone" or not self.config.model.valence_arousal:
            return None
        rated = [one for one in self.data.train if one.n_valence_arousal]
        if not rated or any(one.simulated for one in rated):
            return None
        return " + ".join(one.name for one in rated)


def summary_of(frames: AnnotatedFrames, *, simulated: bool) -> SetSummary:
    """What a set holds."""
    rated = (frames.valence == frames.valence) & (frames.arousal == frames.arousal)
    counts = class_counts(frames.expression).tolist()
    return SetSummary(
        name=frames.name,
        n_pictures=len(frames),
        n_videos=len(set(frames.video.tolist())),
        expressions=dict(zip(EXPRESSIONS, counts, strict=True)),
        n_valence_arousal=int(rated.sum()),
        simulated=simulated,
    )


def load_trained(folder: Path) -> tuple[AffectModel, TrainedInfo]:
    """The model at its best score, in evaluation mode on the CPU, and what is known of it.

    Raises `WrongUse` when the folder holds no finished epoch or its checkpoint is of another form or class order.
    """
    config = read_config(folder)
    data = _decode(folder / "data.json", DataSummary)
    best = read_checkpoint(folder / BEST)
    check_checkpoint(best, folder / BEST, config)
    model = build_model(without_weights(config), seed=config.seed)
    try:
        model.load_state_dict(best["state_dict"])
    except RuntimeError as error:
        raise WrongUse(f"{folder / BEST} does not fit its own config.json ({error}); train again") from error
    return model.eval(), TrainedInfo(
        folder, config, data, int(best["epoch"]), float(best["score"]), dict(best["figures"])
    )


def without_weights(config: TrainConfig) -> ModelConfig:
    """The model's settings without the file it started from, which need not be there any more."""
    backbone = msgspec.structs.replace(config.model.backbone, weights=None)
    return msgspec.structs.replace(config.model, backbone=backbone)


def read_config(folder: Path) -> TrainConfig:
    """The configuration in a training folder. Raises `WrongUse`."""
    config: TrainConfig = _decode(folder / "config.json", TrainConfig)
    return config


def is_training_folder(folder: Path) -> bool:
    """Whether `engines train` wrote this folder."""
    return (folder / "config.json").is_file() and (folder / "data.json").is_file()


def _decode(path: Path, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except OSError as error:
        raise WrongUse(
            f"{path.parent} is no training folder: {path.name} cannot be read ({error.strerror}); name a folder that "
            "`engines train` wrote"
        ) from error
    except msgspec.DecodeError as error:
        raise WrongUse(f"{path} is not what `engines train` writes: {error}; train again") from error


def write_plain(path: Path, value: Any) -> None:
    """Indented JSON, whole or not at all."""
    write_atomically(path, msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")


def write_log(path: Path, rows: Sequence[Mapping[str, float | int | None]]) -> None:
    """CSV, one row an epoch, numbers in full; empty where there is none."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else ["epoch"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, text.getvalue().encode())


def save_checkpoint(path: Path, config: TrainConfig, **values: Any) -> None:
    """Tensors and plain values, with the configuration and class order they belong to; whole or not at all."""
    named = {"format": FORMAT, "class_order": list(EXPRESSIONS), "config": msgspec.json.encode(config).decode()}
    partial = path.with_name(path.name + ".part")
    with partial.open("wb") as file:
        torch.save({**named, **values}, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What `save_checkpoint` wrote, on the CPU. Raises `WrongUse` for any other file."""
    try:
        plain = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise WrongUse(f"{path} cannot be read ({error.strerror}); the run has not finished an epoch yet") from error
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, LookupError, AttributeError) as error:
        raise WrongUse(f"{path} is no checkpoint or is damaged ({error}); train again in a new folder") from error
    if not isinstance(plain, dict) or plain.get("format") != FORMAT:
        raise WrongUse(f"{path} is no checkpoint of this version; train again in a new folder")
    return plain


def check_checkpoint(checkpoint: Mapping[str, Any], path: Path, config: TrainConfig) -> None:
    """Raises `WrongUse` when a checkpoint is of another configuration or class order, naming what differs."""
    order = checkpoint.get("class_order")
    if order != list(EXPRESSIONS):
        raise WrongUse(
            f"{path} was trained with the classes {', '.join(map(str, order or ()))}; here they are "
            f"{', '.join(EXPRESSIONS)}: it cannot be used"
        )
    theirs, ours = _settings(checkpoint["config"]), _settings(msgspec.json.encode(config).decode())
    differ = sorted(name for name in theirs.keys() | ours.keys() if theirs.get(name) != ours.get(name))
    if differ:
        first = differ[0]
        raise WrongUse(
            f"{path} belongs to another configuration: {', '.join(differ)} differ ({first} was {theirs.get(first)} and "
            f"is {ours.get(first)}); go on with the same settings or name another folder"
        )


def _settings(text: str) -> dict[str, Any]:
    plain = msgspec.json.decode(text)
    for name in _FREE_TO_CHANGE:
        plain.pop(name, None)
    flat: dict[str, Any] = {}
    _flatten(plain, "", flat)
    return flat


def _flatten(plain: Any, prefix: str, flat: dict[str, Any]) -> None:
    if isinstance(plain, dict) and plain:
        for name, value in plain.items():
            _flatten(value, f"{prefix}.{name}" if prefix else name, flat)
    else:
        flat[prefix] = plain
