"""The training loop, whole.

Everything drawn at random is a function of seed, epoch and step: the order of pictures and their changes, and dropout,
whose generator is seeded anew before each step. So a checkpoint holds weights, the optimiser and where the run is, and
a run that was killed goes on to the same curve.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from engines.data.frames import AnnotatedFrames
from engines.data.randomness import named_rng
from engines.data.sampling import logit_adjustment
from engines.errors import EnginesError, WrongUse
from engines.models import AffectModel
from engines.training.answers import AnswersOfVideos, Figures, answer_videos, figures_of
from engines.training.config import OptimiserConfig, TrainConfig
from engines.training.features import Features, embed
from engines.training.feed import Piece, feed_of
from engines.training.folder import (
    BEST,
    LAST,
    LOG,
    check_checkpoint,
    read_checkpoint,
    save_checkpoint,
    write_log,
)
from engines.training.parts import StepLoss, loss_of, part_of
from engines.training.ranks import Ranks

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class OutOfMemory(EnginesError):
    """A step did not fit into memory."""


class LossNotFinite(EnginesError):
    """The loss became NaN or infinite; training from there on would be for nothing."""


Row = dict[str, float | int | None]
"""One row of the log."""


class Watcher(Protocol):
    """Told how training goes, by the first rank only."""

    def begin(self, at: int, n_steps: int, n_epochs: int) -> None:
        """The run starts behind its step `at`, 0 for a fresh one; an epoch has `n_steps`."""

    def step(self, epoch: int, step: int, n_steps: int, at: int, loss: StepLoss) -> None:
        """Step `step` of `n_steps` is done, the run's step number `at`; all counted from 1."""

    def epoch(self, row: Row, *, best: bool) -> None:
        """An epoch is over; `row` is its row of the log."""


@dataclass(frozen=True)
class TrainSet:
    """A set, and its features where they are cached."""

    frames: AnnotatedFrames
    features: Features | None = None


@dataclass(frozen=True)
class TrainResult:
    """How a run ended: the log, the best epoch, and whether patience ran out before the epochs did."""

    rows: tuple[Row, ...]
    best_epoch: int
    best_score: float
    stopped_early: bool


@dataclass
class _Place:
    """Where a run is. `sums` are of the losses of this epoch so far."""

    epoch: int = 0
    step: int = 0
    best_epoch: int = 0
    best_score: float = -math.inf
    stale: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)


def train(
    model: AffectModel,
    config: TrainConfig,
    train_set: TrainSet,
    validation: TrainSet,
    folder: Path | None,
    *,
    ranks: Ranks | None = None,
    resume: bool = False,
    watcher: Watcher | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> TrainResult:
    """Train `model` as `config` says, and leave it with the weights of its best epoch.

    `folder` takes checkpoints and log, and has to be there; None keeps everything in memory. `resume` goes on from
    its last checkpoint if there is one. When `stop` says so after a step, a checkpoint is written and
    `KeyboardInterrupt` raised. Raises `BadData` when nothing is annotated, `OutOfMemory`, `LossNotFinite`, and
    `WrongUse` for a checkpoint of another run.
    """
    ranks = ranks or Ranks()
    on = ranks.device.partition(":")[0]
    if config.precision == "fp16" and on == "cpu":
        raise WrongUse("fp16 trains on CUDA devices only: set precision to bf16 or fp32")
    feed = feed_of(config, train_set.frames, train_set.features, ranks)
    part = part_of(model.to(ranks.device), config)
    trained = [weight for weight in part.parameters() if weight.requires_grad]
    if not trained:
        raise WrongUse("nothing is left to train: set model.backbone.freeze to none, or cached_features to true")
    optimiser = _optimiser(config.optimiser, trained)
    scaler = torch.amp.GradScaler(on, enabled=config.precision == "fp16")
    adjustment = None
    if config.logit_adjustment:
        adjustment = torch.from_numpy(logit_adjustment(train_set.frames, config.logit_adjustment)).to(ranks.device)

    place, best = _Place(), _copy(model)
    if resume and folder is not None and (folder / LAST).is_file():
        place, best = _take_up(folder, config, model, optimiser, scaler)
    wrapped = ranks.wrap(part)
    if ranks.size > 1:  # batch norms were made anew
        model.backbone.freeze(config.model.backbone.freeze)

    def keep() -> None:
        if folder is None or not ranks.first:
            return
        where = {name: value for name, value in vars(place).items() if name != "rows"}
        weights = {"state_dict": model.state_dict(), "optimiser": optimiser.state_dict(), "scaler": scaler.state_dict()}
        save_checkpoint(folder / LAST, config, **weights, place={**where, "rows": place.rows})

    def take_step(pieces: list[Piece], at: int) -> StepLoss:
        """One step of the optimiser on the pieces of a batch."""
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(config, at, feed.n_steps)
        torch.manual_seed(int(named_rng("dropout", config.seed, at, ranks.rank).integers(2**62)))
        losses = []
        for i, piece in enumerate(pieces):
            piece = piece.to(ranks.device)
            last = i == len(pieces) - 1
            with _no_sync(wrapped, last), _autocast(config, on):
                loss = loss_of(wrapped(piece.inputs), piece, config, adjustment, ranks)
            if not math.isfinite(loss.total.item()):
                raise LossNotFinite(
                    f"the loss is {loss.total.item()} at epoch {place.epoch + 1}, step {at + 1}: lower "
                    "optimiser.learning_rate, set optimiser.clip_norm, or use precision fp32"
                )
            with _no_sync(wrapped, last):
                scaler.scale(loss.total * (ranks.size / len(pieces))).backward()
            losses.append(loss)
        if config.optimiser.clip_norm is not None:
            scaler.unscale_(optimiser)
            nn.utils.clip_grad_norm_(trained, config.optimiser.clip_norm)
        scaler.step(optimiser)
        scaler.update()
        optimiser.zero_grad(set_to_none=True)
        return losses[0] if len(losses) == 1 else _mean(losses)

    if watcher is not None and ranks.first:
        watcher.begin(place.epoch * feed.n_steps + place.step, feed.n_steps, config.epochs)
    stopped_early = False
    while place.epoch < config.epochs and not stopped_early:
        part.train()
        for pieces in feed.steps(place.epoch, place.step):
            at = place.epoch * feed.n_steps + place.step
            with _memory_told(config, ranks):
                loss = take_step(pieces, at)
            place.step += 1
            for name, value in loss.plain().items():
                place.sums[name] = place.sums.get(name, 0.0) + value
            if watcher is not None and ranks.first:
                watcher.step(place.epoch + 1, place.step, feed.n_steps, at + 1, loss)
            stopping = stop() if ranks.size == 1 else False
            if stopping or (place.step % config.checkpoint_every_steps == 0 and place.step < feed.n_steps):
                keep()
            if stopping:
                raise KeyboardInterrupt

        # The end of an epoch, in the order that lets a kill between any two of them be repeated: judge, keep the best,
        # then the place, then the log, which is written from the place.
        better = False
        if ranks.first:
            with _memory_told(config, ranks):
                _, figures = judge(model, config, validation, ranks.device)
            better = figures.score > place.best_score
            place.rows.append(_row(place, config, feed.n_steps, figures))
            if better:
                place.best_epoch, place.best_score, best = place.epoch + 1, figures.score, _copy(model)
                if folder is not None:
                    _keep_best(folder, config, model, place, figures)
        better = ranks.agree(better)
        place.stale = 0 if better else place.stale + 1
        place.epoch, place.step, place.sums = place.epoch + 1, 0, {}
        stopped_early = config.patience is not None and place.stale >= config.patience
        keep()
        if ranks.first:
            if folder is not None:
                write_log(folder / LOG, place.rows)
            if watcher is not None:
                watcher.epoch(place.rows[-1], best=better)

    if folder is not None and ranks.first:
        write_log(folder / LOG, place.rows)
    model.load_state_dict(best)
    model.eval()
    return TrainResult(tuple(place.rows), place.best_epoch, place.best_score, stopped_early)


def judge(
    model: AffectModel, config: TrainConfig, validation: TrainSet, device: str
) -> tuple[AnswersOfVideos, Figures]:
    """The answers for a set's whole videos and their figures; a run of `part` backbone is judged by its own classes."""
    features = validation.features or embed(model.backbone, validation.frames, device=device)
    if config.part == "backbone":
        answers = AnswersOfVideos(features.probs)
    else:
        answers = answer_videos(model.head, features, validation.frames.video, device=device)
    return answers, figures_of(answers, validation.frames)


def learning_rate(config: TrainConfig, at: int, n_steps: int) -> float:
    """The rate of step `at` of the run, counted from 0, with `n_steps` an epoch."""
    own = config.optimiser
    if at < own.warmup_steps:
        return own.learning_rate * (at + 1) / own.warmup_steps
    if own.schedule == "constant":
        return own.learning_rate
    whole = max(1, config.epochs * n_steps - own.warmup_steps)
    return own.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, (at - own.warmup_steps) / whole)))


def _optimiser(config: OptimiserConfig, weights: list[nn.Parameter]) -> torch.optim.Optimizer:
    groups = [
        {"params": [one for one in weights if one.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [one for one in weights if one.ndim <= 1], "weight_decay": 0.0},
    ]
    if config.name == "sgd":
        return torch.optim.SGD(groups, lr=config.learning_rate, momentum=config.momentum)
    return torch.optim.AdamW(groups, lr=config.learning_rate)


def _take_up(
    folder: Path, config: TrainConfig, model: AffectModel, optimiser: torch.optim.Optimizer, scaler: Any
) -> tuple[_Place, dict[str, Tensor]]:
    """The place of the last checkpoint, its weights loaded, and the best weights so far."""
    last = read_checkpoint(folder / LAST)
    check_checkpoint(last, folder / LAST, config)
    try:
        model.load_state_dict(last["state_dict"])
        optimiser.load_state_dict(last["optimiser"])
        scaler.load_state_dict(last["scaler"])
    except (RuntimeError, ValueError) as error:
        raise WrongUse(f"{folder / LAST} is of another network ({error}); train again in a new folder") from error
    place = _Place(**last["place"])
    if place.best_epoch == 0:
        return place, _copy(model)
    best = read_checkpoint(folder / BEST)
    check_checkpoint(best, folder / BEST, config)
    return place, best["state_dict"]


def _keep_best(folder: Path, config: TrainConfig, model: AffectModel, place: _Place, figures: Figures) -> None:
    told = {name: value for name, value in vars(figures).items() if value is not None}
    save_checkpoint(
        folder / BEST,
        config,
        state_dict=model.state_dict(),
        epoch=place.best_epoch,
        score=place.best_score,
        figures=told,
    )


def _row(place: _Place, config: TrainConfig, n_steps: int, figures: Figures) -> Row:
    at = (place.epoch + 1) * n_steps
    return {
        "epoch": place.epoch + 1,
        "step": at,
        "learning_rate": learning_rate(config, at - 1, n_steps),
        **{name: value / n_steps for name, value in place.sums.items()},
        **vars(figures),
        "score": figures.score,
    }


def _mean(losses: list[StepLoss]) -> StepLoss:
    totals = torch.stack([one.total.detach() for one in losses]).mean()
    parts = [torch.stack(values).mean() for values in zip(*(one.parts for one in losses), strict=True)]
    bare = torch.stack([one.bare.detach() for one in losses]).mean()
    return StepLoss(totals, type(losses[0].parts)(*parts), bare)


def _copy(model: AffectModel) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}


def _autocast(config: TrainConfig, on: str) -> torch.autocast:
    enabled = config.precision != "fp32"
    return torch.autocast(on, dtype=_DTYPES.get(config.precision, torch.bfloat16), enabled=enabled)


def _no_sync(wrapped: nn.Module, last: bool) -> contextlib.AbstractContextManager[Any]:
    """Gradients travel between ranks once a step, with its last piece."""
    if isinstance(wrapped, nn.parallel.DistributedDataParallel) and not last:
        return wrapped.no_sync()
    return contextlib.nullcontext()


@contextlib.contextmanager
def _memory_told(config: TrainConfig, ranks: Ranks) -> Iterator[None]:
    """Turns running out of memory into `OutOfMemory`, which says what to change."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        short = isinstance(error, torch.OutOfMemoryError | MemoryError) or "allocate memory" in str(error)
        if not short:
            raise
        side = config.model.backbone.input_size_px
        window = f", blocks of {config.model.window}" if config.model.temporal and not config.cached_features else ""
        raise OutOfMemory(
            f"out of memory on {ranks.device} with batch_size {config.batch_size} in {config.accumulate} "
            f"piece{'s' if config.accumulate > 1 else ''} of {side}x{side} px{window}: set accumulate to "
            f"{config.accumulate * 2} for the same batch in smaller pieces, lower batch_size or "
            "model.backbone.input_size_px, or use precision bf16"
        ) from error
