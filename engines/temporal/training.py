"""Trains the recurrent head on simulated tracks: one thread, one seed, the same weights every time on one machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
import yaml
from torch import Tensor
from torch.nn import functional

from engines.errors import WrongUse
from engines.spec import N_PROBS
from engines.temporal.filters import Remap
from engines.temporal.model import ContextHead
from engines.temporal.residuals import ResidualTracks
from engines.temporal.sequences import Floats, Labels, Sequences, log_probs, stat_of
from engines.temporal.simulator import TRAINING, Simulator, simulate


class TrainSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the head is made. `steps` batches of `tracks` tracks of `observations` each, all of them new.

    `change_weight` is what the loss of the first `change_observations` after a true change counts for beside 1: what
    keeps the head quick. `class_power` weighs expressions by their share to minus this power: 0 is the plain loss.
    """

    seed: int = 7
    units: int = 64
    dense: int = 48
    steps: int = 2500
    tracks: int = 64
    observations: int = 256
    learning_rate: float = 3e-3
    change_weight: float = 1.5
    change_observations: int = 6
    class_power: float = 0.25
    clip_norm: float = 1.0

    def __post_init__(self) -> None:
        if min(self.units, self.dense, self.steps, self.tracks, self.change_observations) < 1 or self.observations < 2:
            raise ValueError("sizes and counts are at least 1, observations at least 2")


def load_settings(path: Path | None) -> TrainSettings:
    """The settings in a YAML file, the defaults without one; `WrongUse` says what is wrong with it."""
    if path is None:
        return TrainSettings()
    try:
        plain: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        return msgspec.convert(plain or {}, TrainSettings)
    except OSError as error:
        raise WrongUse(f"{path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise WrongUse(f"{path} describes no training of a temporal head: {error}") from error


def train(
    settings: TrainSettings,
    residuals: ResidualTracks,
    *,
    simulator: Simulator = TRAINING,
    tell: Callable[[int, float], None] = lambda step, loss: None,
) -> ContextHead:
    """A trained head. `tell` hears of the loss now and then."""
    torch.set_num_threads(1)
    torch.manual_seed(settings.seed)
    rng = np.random.default_rng((settings.seed, 1))
    head = ContextHead(settings.units, settings.dense)
    optimiser = torch.optim.Adam(head.parameters(), settings.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.learning_rate, settings.steps, pct_start=0.1)
    classes = class_weights(simulator, settings, residuals)
    running = 0.0
    for step in range(settings.steps):
        tracks = simulate(simulator, settings.tracks, settings.observations, rng, residuals)
        loss = _loss(head, tracks, classes, settings)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(head.parameters(), settings.clip_norm)
        optimiser.step()
        schedule.step()
        running = float(loss.detach()) if step == 0 else 0.98 * running + 0.02 * float(loss.detach())
        if step % 50 == 0 or step == settings.steps - 1:
            tell(step, running)
    return head.eval()


def class_weights(simulator: Simulator, settings: TrainSettings, residuals: ResidualTracks) -> Tensor:
    """(7,) the weight of each expression in the loss, 1 on the average over observations."""
    sample = simulate(simulator, 256, 64, np.random.default_rng((settings.seed, 2)), residuals)
    share = np.bincount(sample.labels.ravel(), minlength=N_PROBS) / sample.labels.size
    weights = np.maximum(share, 1e-3) ** -settings.class_power
    return torch.from_numpy((weights / (weights * share).sum()).astype(np.float32))


def after_changes(labels: Labels, observations: int) -> np.ndarray:
    """(N,T) whether a true change was at most so many observations ago, the changing one counted."""
    changed = np.zeros(labels.shape, np.bool_)
    changed[:, 1:] = np.diff(labels, axis=1) != 0
    newest = np.maximum.accumulate(np.where(changed, np.arange(labels.shape[1])[None], -observations), 1)
    return np.arange(labels.shape[1])[None] - newest < observations


def answers_of(head: ContextHead, tracks: Sequences) -> Floats:
    """(N,T,7) the head's probabilities over whole tracks."""
    with torch.inference_mode():
        logits, _ = head(*_tensors(tracks))
        return np.asarray(logits.softmax(-1).numpy(), np.float32)


def _tensors(tracks: Sequences) -> tuple[Tensor, Tensor, Tensor]:
    return (
        torch.from_numpy(tracks.probs),
        torch.from_numpy(stat_of(tracks.probs)),
        torch.from_numpy(tracks.context),
    )


def _loss(head: ContextHead, tracks: Sequences, classes: Tensor, settings: TrainSettings) -> Tensor:
    logits, _ = head(*_tensors(tracks))
    labels = torch.from_numpy(tracks.labels)
    each = functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view(labels.shape)
    recent = torch.from_numpy(after_changes(tracks.labels, settings.change_observations))
    weights = classes[labels] * (1.0 + settings.change_weight * recent.float())
    return (each * weights).sum() / weights.sum()


def fit_remap(settings: TrainSettings, residuals: ResidualTracks, *, simulator: Simulator = TRAINING) -> Remap:
    """The best map of single frames under the same loss that the head is trained with, but for the time."""
    torch.set_num_threads(1)
    tracks = simulate(simulator, 512, 96, np.random.default_rng((settings.seed, 4)), residuals)
    x = torch.from_numpy(log_probs(tracks.probs).reshape(-1, N_PROBS))
    y = torch.from_numpy(tracks.labels.reshape(-1))
    weight = torch.eye(N_PROBS, requires_grad=True)
    bias = torch.zeros(N_PROBS, requires_grad=True)
    classes = class_weights(simulator, settings, residuals)
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = functional.cross_entropy(x @ weight.T + bias, y, weight=classes)
        loss.backward()
        return loss

    optimiser.step(closure)
    rows = weight.detach().double().numpy().round(5).tolist()
    return Remap(
        weights=tuple(tuple(row) for row in rows), bias=tuple(bias.detach().double().numpy().round(5).tolist())
    )
