"""One training run, from settings to a folder: opens the sets, builds the model, and lets the loop run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from engines.data.config import DataConfig
from engines.data.frames import AnnotatedFrames
from engines.data.joining import concatenate
from engines.data.opening import open_frames
from engines.errors import BadData, WrongUse
from engines.models import AffectModel, build_model
from engines.training.config import TrainConfig
from engines.training.features import cached_features
from engines.training.folder import (
    LAST,
    DataSummary,
    SetSummary,
    check_checkpoint,
    load_trained,
    read_checkpoint,
    summary_of,
    without_weights,
    write_plain,
)
from engines.training.loop import TrainResult, TrainSet, Watcher, train
from engines.training.ranks import Ranks
from engines.training.watching import Display, TensorBoardLog, Watchers
from engines.zoo.cache import sha256_of


def run_training(
    config: TrainConfig,
    out: Path,
    *,
    resume: bool,
    ranks: Ranks,
    display: Display,
    stop: Callable[[], bool] = lambda: False,
) -> TrainResult:
    """Train into `out`, going on from its last checkpoint when `resume` is set and there is one.

    Raises `WrongUse` when the folder holds another run, or this one and `resume` is not set; otherwise as
    `engines.training.loop.train`.
    """
    goes_on = (out / LAST).is_file()
    if goes_on and not resume:
        raise WrongUse(f"{out} holds a run already: add --resume auto to go on with it, or name another folder")
    if goes_on:
        check_checkpoint(read_checkpoint(out / LAST), out / LAST, config)
    train_frames, train_told = _opened(config.data.train)
    validation_frames, validation_told = _opened(config.data.validation)
    _check(config, validation_frames)
    model, earlier = _start(config, goes_on=goes_on)
    if ranks.first and not goes_on:
        out.mkdir(parents=True, exist_ok=True)
        write_plain(out / "config.json", config)
        weights = config.model.backbone.weights
        summary = DataSummary(
            train=train_told,
            validation=validation_told,
            earlier=earlier,
            weights=weights and Path(weights).name,
            weights_sha256=weights and sha256_of(Path(weights)),
        )
        write_plain(out / "data.json", summary)
    train_set, validation = TrainSet(train_frames), TrainSet(validation_frames)
    if config.cached_features:
        folder = Path(config.features_folder) if config.features_folder else out / "features"
        train_set = _with_features(model, train_frames, folder, ranks, display, stop)
        validation = _with_features(model, validation_frames, folder, ranks, display, stop)
    board = TensorBoardLog(out)
    watchers: list[Watcher] = [board, display]
    try:
        return train(
            model, config, train_set, validation, out, ranks=ranks, resume=resume, watcher=Watchers(watchers), stop=stop
        )
    finally:
        board.close()


def _opened(configs: Sequence[DataConfig]) -> tuple[AnnotatedFrames, tuple[SetSummary, ...]]:
    opened = [(open_frames(one), one.kind == "synthetic") for one in configs]
    told = tuple(summary_of(frames, simulated=simulated) for frames, simulated in opened)
    return concatenate([frames for frames, _ in opened]), told


def _check(config: TrainConfig, validation: AnnotatedFrames) -> None:
    """A run that could not be judged would only say so after its first epoch."""
    judged = validation.expression >= 0
    if config.part == "whole" and config.model.valence_arousal:
        judged = validation.annotated
    if not judged.any():
        raise BadData(f"{validation.name}: none of its {len(validation)} pictures is annotated; nothing to judge by")


def _start(config: TrainConfig, *, goes_on: bool) -> tuple[AffectModel, tuple[SetSummary, ...]]:
    """The model before its first step, and the sets its backbone had learnt from."""
    if goes_on:  # its weights are in the checkpoint; where it started from need not be there any more
        return build_model(without_weights(config), seed=config.seed), ()
    if config.cached_features and not (config.start_from or config.model.backbone.weights):
        raise WrongUse("a frozen backbone needs weights: name start_from or model.backbone.weights")
    if not config.start_from:
        return build_model(config.model, seed=config.seed), ()
    if config.model.backbone.weights:
        raise WrongUse("start_from and model.backbone.weights both give the backbone its weights: choose one")
    model = build_model(config.model, seed=config.seed)
    before, info = load_trained(Path(config.start_from))
    theirs, ours = info.config.model.backbone.name, config.model.backbone.name
    if theirs != ours:
        raise WrongUse(f"start_from: {config.start_from} trained the backbone {theirs}, this run has {ours}")
    model.backbone.load_state_dict(before.backbone.state_dict())
    return model, (*info.data.earlier, *info.data.train)


def _with_features(
    model: AffectModel, frames: AnnotatedFrames, folder: Path, ranks: Ranks, display: Display, stop: Callable[[], bool]
) -> TrainSet:
    def progress(done: int, total: int) -> None:
        display.embedding(frames.name, done, total)
        if stop():
            raise KeyboardInterrupt

    if ranks.first:
        cached_features(model.backbone, frames, folder, device=ranks.device, progress=progress)
    ranks.agree(True)  # the others wait until the files are there
    return TrainSet(frames, cached_features(model.backbone, frames, folder, device=ranks.device))
