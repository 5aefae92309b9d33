"""What each step of training is given: pictures, blocks of features, or sequences of them.

All of it is a function of seed, epoch and step, so a resumed run is fed as the first one was.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from engines.data.augmentation import augment
from engines.data.frames import NOT_ANNOTATED, AnnotatedFrames
from engines.data.sampling import IntArray, balanced_epoch, block_indices, first_rows, shuffled_epoch
from engines.data.stretches import stretches_epoch
from engines.errors import BadData, WrongUse
from engines.models import ModelConfig, rows_of, stat_of
from engines.training.config import TrainConfig
from engines.training.features import Features, read_pictures
from engines.training.ranks import Ranks


@dataclass(frozen=True)
class Piece:
    """What one device works off at a time: `inputs` by name, and one target a row (n,) of what it will answer."""

    inputs: dict[str, Tensor]
    expression: Tensor
    valence: Tensor
    arousal: Tensor

    def to(self, device: str) -> Piece:
        """The same on a device."""
        inputs = {name: tensor.to(device, non_blocking=True) for name, tensor in self.inputs.items()}
        return Piece(inputs, self.expression.to(device), self.valence.to(device), self.arousal.to(device))


class Feed(Protocol):
    """Where pieces come from."""

    @property
    def n_steps(self) -> int:
        """Steps an epoch."""

    def steps(self, epoch: int, first_step: int) -> Iterator[list[Piece]]:
        """For every step of the epoch from `first_step` on: this rank's pieces, `accumulate` of them."""


def trainable_rows(config: TrainConfig, frames: AnnotatedFrames) -> IntArray:
    """The rows that have what the loss needs. Raises `BadData` when there is none."""
    only_expression = config.part == "backbone" or config.balance or not config.model.valence_arousal
    rows = np.flatnonzero(frames.expression >= 0 if only_expression else frames.annotated)
    if len(rows) == 0:
        wanted = "expression" if only_expression else "expression or valence and arousal"
        raise BadData(
            f"{frames.name}: none of its {len(frames)} pictures is annotated with {wanted}; nothing to train on"
        )
    return rows


def epoch_rows(config: TrainConfig, frames: AnnotatedFrames, rows: IntArray, epoch: int, n: int) -> IntArray:
    """(n,) the rows of an epoch, in order. Unbalanced, epochs take up one endless shuffled stream where the last one
    left it, so that every row is seen equally often however long an epoch is."""
    if config.balance:
        return balanced_epoch(frames.expression, seed=config.seed, epoch=epoch, n=n)
    start, stop = epoch * n, (epoch + 1) * n
    first, last = start // len(rows), (stop - 1) // len(rows)
    stream = np.concatenate([shuffled_epoch(rows, seed=config.seed, epoch=k) for k in range(first, last + 1)])
    return stream[start - first * len(rows) :][:n]


def _n_per_rank(config: TrainConfig, ranks: Ranks) -> int:
    piece = config.batch_size // config.accumulate
    if piece % ranks.size:
        raise WrongUse(f"{piece} a piece cannot be dealt evenly to {ranks.size} devices: change batch_size")
    return piece // ranks.size


class _Ordered:
    """Single rows as targets: (n_steps, accumulate, rows of this rank) an epoch."""

    def __init__(self, config: TrainConfig, frames: AnnotatedFrames, ranks: Ranks) -> None:
        self._config, self._frames, self._ranks = config, frames, ranks
        self._rows = trainable_rows(config, frames)
        self._n_here = _n_per_rank(config, ranks)
        self._first = first_rows(frames.video)
        self.n_steps = config.steps_per_epoch or max(1, len(self._rows) // config.batch_size)

    def _order(self, epoch: int) -> tuple[IntArray, IntArray]:
        """(n_pieces, n) rows of this rank, and their places in the epoch."""
        config, ranks = self._config, self._ranks
        n = self.n_steps * config.batch_size
        rows = epoch_rows(config, self._frames, self._rows, epoch, n)
        shape = (self.n_steps * config.accumulate, ranks.size, self._n_here)
        return rows.reshape(shape)[:, ranks.rank], np.arange(n).reshape(shape)[:, ranks.rank]


class PictureFeed(_Ordered):
    """Blocks of pictures: `pictures` (n,s,side,side,3) uint8 RGB, the last of each the current one; s = 1 for models
    of single pictures. Read and changed by `workers` processes."""

    def steps(self, epoch: int, first_step: int) -> Iterator[list[Piece]]:
        """See `Feed`."""
        config = self._config
        rows, places = self._order(epoch)
        temporal = config.part == "whole" and config.model.temporal
        pieces = _PicturePieces(self._frames, self._first, rows, places, config, epoch, temporal)
        loader: DataLoader[Piece] = DataLoader(
            pieces,
            batch_size=None,
            sampler=range(first_step * config.accumulate, len(pieces)),
            num_workers=config.workers,
            pin_memory=self._ranks.device != "cpu",
            # Its own generator: the loader must not draw from the one that dropout draws from.
            generator=torch.Generator(),
        )
        yield from _by_step(iter(loader), config.accumulate)


class _PicturePieces(Dataset[Piece]):
    def __init__(
        self,
        frames: AnnotatedFrames,
        first: IntArray,
        rows: IntArray,
        places: IntArray,
        config: TrainConfig,
        epoch: int,
        temporal: bool,
    ) -> None:
        self._frames, self._first, self._rows, self._places = frames, first, rows, places
        self._config, self._epoch, self._window = config, epoch, config.model.window if temporal else 1

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, i: int) -> Piece:
        config, side_px = self._config, self._config.model.backbone.input_size_px
        rows = self._rows[i]
        blocks = []
        for block, place in zip(block_indices(self._first, rows, self._window), self._places[i], strict=True):
            read = read_pictures(self._frames, block, side_px)
            changed = augment(read, config.augmentation, seed=config.seed, epoch=self._epoch, index=int(place))
            blocks.append(changed)
        return _piece(self._frames, rows, {"pictures": torch.from_numpy(np.stack(blocks))})


class BlockFeed(_Ordered):
    """What a head reads of single observations and their blocks, from cached features."""

    def __init__(self, config: TrainConfig, frames: AnnotatedFrames, features: Features, ranks: Ranks) -> None:
        super().__init__(config, frames, ranks)
        self._features = features

    def steps(self, epoch: int, first_step: int) -> Iterator[list[Piece]]:
        """See `Feed`."""
        rows, _ = self._order(epoch)
        pieces = (self._piece(rows[i]) for i in range(first_step * self._config.accumulate, len(rows)))
        yield from _by_step(pieces, self._config.accumulate)

    def _piece(self, rows: IntArray) -> Piece:
        blocks = block_indices(self._first, rows, self._config.model.window)  # (n,s)
        return _piece(self._frames, rows, head_inputs(self._config.model, self._features, rows, blocks))


def head_inputs(config: ModelConfig, features: Features, rows: IntArray, blocks: IntArray) -> dict[str, Tensor]:
    """What `AffectHead.forward` reads for `rows` (n,) with their `blocks` (n,s), but for (h, c)."""
    inputs = {"features": torch.from_numpy(features.features[rows]), "probs": torch.from_numpy(features.probs[rows])}
    if not config.temporal:
        return inputs
    block = torch.from_numpy(features.probs[blocks])  # (n,s,7)
    if config.stat in ("mean", "min_max_mean"):
        inputs["stat"] = stat_of(rows_of(torch.from_numpy(features.features[blocks]), block, config.stat), config.stat)
    elif config.stat == "probs":
        inputs["stat"] = stat_of(block, config.stat)
    if config.lstm is not None and config.lstm.form == "windowed":
        inputs["block"] = block
    return inputs


class SequenceFeed:
    """Stretches of T observations, `features` (n,T,D) and `probs` (n,T,7), for a head that carries (h, c). Each starts
    without a state; where videos are cut moves from epoch to epoch."""

    def __init__(self, config: TrainConfig, frames: AnnotatedFrames, features: Features, ranks: Ranks) -> None:
        trainable_rows(config, frames)
        self._config, self._frames, self._features, self._ranks = config, frames, features, ranks
        self._n_here = _n_per_rank(config, ranks)
        n_sequences = len(frames) // config.sequence_length
        self.n_steps = config.steps_per_epoch or max(1, n_sequences // config.batch_size)

    def steps(self, epoch: int, first_step: int) -> Iterator[list[Piece]]:
        """See `Feed`."""
        config, ranks = self._config, self._ranks
        rows, present = self._order(epoch)
        shape = (self.n_steps * config.accumulate, ranks.size, self._n_here, config.sequence_length)
        rows, present = rows.reshape(shape)[:, ranks.rank], present.reshape(shape)[:, ranks.rank]
        first = first_step * config.accumulate
        pieces = (self._piece(rows[i], present[i]) for i in range(first, len(rows)))
        yield from _by_step(pieces, config.accumulate)

    def _order(self, epoch: int) -> tuple[IntArray, NDArray[np.bool_]]:
        config = self._config
        n = self.n_steps * config.batch_size
        rows: list[IntArray] = []
        present: list[NDArray[np.bool_]] = []
        k = 0
        while sum(len(one) for one in rows) < n:  # a small set is gone through several times
            one = stretches_epoch(
                self._frames.video, config.sequence_length, seed=config.seed, epoch=epoch * _MOST_PASSES + k
            )
            rows.append(one.rows)
            present.append(one.present)
            k += 1
        return np.concatenate(rows)[:n], np.concatenate(present)[:n]

    def _piece(self, rows: IntArray, present: NDArray[np.bool_]) -> Piece:
        features, probs = self._features.features[rows], self._features.probs[rows]
        inputs = {"features": torch.from_numpy(features), "probs": torch.from_numpy(probs)}
        piece = _piece(self._frames, rows.reshape(-1), inputs)
        absent = torch.from_numpy(~present.reshape(-1))
        piece.expression[absent] = NOT_ANNOTATED
        piece.valence[absent] = torch.nan
        piece.arousal[absent] = torch.nan
        return piece


_MOST_PASSES = 100_000


def feed_of(config: TrainConfig, frames: AnnotatedFrames, features: Features | None, ranks: Ranks) -> Feed:
    """The feed that the settings mean; `features` when they are cached."""
    if features is None:
        return PictureFeed(config, frames, ranks)
    if config.on_sequences:
        return SequenceFeed(config, frames, features, ranks)
    return BlockFeed(config, frames, features, ranks)


def _piece(frames: AnnotatedFrames, rows: IntArray, inputs: dict[str, Tensor]) -> Piece:
    return Piece(
        inputs,
        torch.from_numpy(frames.expression[rows]),
        torch.from_numpy(frames.valence[rows]),
        torch.from_numpy(frames.arousal[rows]),
    )


def _by_step(pieces: Iterator[Piece], n: int) -> Iterator[list[Piece]]:
    while True:
        step = list(itertools.islice(pieces, n))
        if not step:
            return
        yield step
