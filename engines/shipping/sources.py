"""What can be exported: a training folder, a public file of weights, or random weights for measuring speed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engines.data.opening import open_all
from engines.errors import BadData, WrongUse
from engines.models import (
    AffectHead,
    Backbone,
    BackboneConfig,
    ModelConfig,
    build_backbone,
    build_model,
    load_backbone_weights,
    paper_model,
)
from engines.shipping.metadata import About
from engines.shipping.temperature import fit_on
from engines.spec import Calibration, Provenance
from engines.training.folder import TrainedInfo, load_trained
from engines.zoo.paper import ROWS

NOT_STATED = "not stated"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
PAPER_BACKBONE = "resnet50-vggface2"
RANDOM_SEED = 0


@dataclass(frozen=True)
class Source:
    """A model and what is known of it. `head` is None for a picture's own classifier."""

    backbone: Backbone
    head: AffectHead | None
    about: About
    trained: TrainedInfo | None = None


@dataclass(frozen=True)
class Words:
    """What only the user can say; None leaves what is known, or that it is not stated."""

    name: str | None = None
    version: str = "1"
    licence: str | None = None
    trained_on: str | None = None

    def __post_init__(self) -> None:
        for word in (self.name, self.version):
            if word is not None and not _NAME.fullmatch(word):
                raise WrongUse(f"{word!r} cannot be part of a model's id: use letters, digits, dots, - and _")


def from_run(folder: Path, words: Words) -> Source:
    """The model of a training folder at its best. A run that trained the backbone alone is shipped without a head.

    Raises `WrongUse` when the folder holds no finished run.
    """
    model, info = load_trained(folder)
    part = info.config.part
    simulated = all(one.simulated for one in (*info.data.earlier, *info.data.train))
    known = "Trained on drawn faces only: of no use for real ones." if simulated and info.data.weights is None else ""
    provenance = Provenance(
        licence=words.licence or NOT_STATED,
        origin=f"engines train, run {info.config.name}, epoch {info.epoch}" + _started_from(info),
        trained_on=words.trained_on or info.trained_on,
        notes=known,
    )
    figures = {f"{name.replace('_', ' ')}, validation": value for name, value in info.figures.items()}
    name = words.name or slug(info.config.name)
    about = About(name, words.version, provenance, info.valence_arousal_trained_on, figures)
    return Source(model.backbone, None if part == "backbone" else model.head, about, info)


def from_weights(path: Path, config: BackboneConfig, class_order: Sequence[str] | None, words: Words) -> Source:
    """A picture's own classifier from a public state dict, whose classification layer has the seven classes.

    Raises `WrongUse` without a class order, and `WrongWeights` as `load_backbone_weights`.
    """
    if class_order is None:
        raise WrongUse(
            "say with --class-order what the rows of the file's classification layer mean; without such a layer of "
            "seven there is nothing to export: train one with `engines train`"
        )
    backbone = build_backbone(config)
    load_backbone_weights(backbone, path, class_order=class_order)
    provenance = Provenance(
        licence=words.licence or NOT_STATED,
        origin=f"{path.name}, into {config.name}",
        trained_on=words.trained_on or NOT_STATED,
    )
    about = About(words.name or slug(path.stem), words.version, provenance)
    return Source(backbone.eval(), None, about)


def random_model(wanted: str, backbone: str | None, input_size_px: int, words: Words) -> Source:
    """Untrained weights of a row of the paper, or of a backbone alone, for measuring speed; its name says so.

    `backbone` is for a row, in place of the paper's. Raises `WrongUse` for a name that is neither.
    """
    is_row = any(wanted in row.names for row in ROWS)
    if backbone is not None and not is_row:
        raise WrongUse(f"{wanted} is no model of the paper but a backbone itself: leave out --backbone {backbone}")
    config = backbone_config((backbone or PAPER_BACKBONE) if is_row else wanted, input_size_px)
    model_config = paper_model(wanted, backbone=config) if is_row else ModelConfig(name="backbone", backbone=config)
    model = build_model(model_config, seed=RANDOM_SEED).eval()
    provenance = Provenance(
        licence="none needed: nothing was learnt",
        origin=f"random weights, seed {RANDOM_SEED}",
        trained_on="nothing",
        notes="RANDOM WEIGHTS, for measuring speed alone: what it answers means nothing.",
    )
    name = words.name or (model_config.name if is_row else slug(config.name))
    about = About(f"random-{name}" if not name.startswith("random") else name, words.version, provenance)
    return Source(model.backbone, model.head if is_row else None, about)


def backbone_config(name: str, input_size_px: int) -> BackboneConfig:
    """A backbone's settings; `WrongUse` for a size that is none."""
    try:
        return BackboneConfig(name=name, input_size_px=input_size_px)
    except ValueError as error:
        raise WrongUse(f"a backbone cannot be made so: {error}") from error


def calibrated(source: Source) -> Calibration:
    """The temperature fitted on the run's own validation set; 1, with the reason, where none is best.

    Raises `WrongUse` and `BadData` when the set cannot be read.
    """
    if source.trained is None:
        raise WrongUse("only a training folder names a validation set to fit the temperature on")
    frames = open_all(source.trained.config.data.validation)
    try:
        return fit_on(source.backbone, source.head, frames)[0]
    except BadData as error:
        return Calibration(fitted=f"not fitted: {error}")


def slug(name: str) -> str:
    """A name as it may stand in a model's id."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._") or "model"


def _started_from(info: TrainedInfo) -> str:
    if info.data.weights is None:
        return ""
    digest = f" (sha256 {info.data.weights_sha256})" if info.data.weights_sha256 else ""
    return f", from {Path(info.data.weights).name}{digest}"
