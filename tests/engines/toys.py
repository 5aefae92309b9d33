"""A network trained in seconds, on pictures where place, colour and shape all matter: random weights prove nothing."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from engines.data.config import DataConfig
from engines.data.frames import AnnotatedFrames, UInt8Array
from engines.models import AffectModel, BackboneConfig, LstmConfig, ModelConfig, build_model
from engines.spec import EXPRESSIONS, N_PROBS
from engines.training.config import DataPlan, TrainConfig
from engines.training.features import network_input
from engines.training.folder import BEST, DataSummary, save_checkpoint, summary_of, write_plain

SIDE_PX = 32
_PLACES = ((6, 9), (6, 21), (24, 9), (24, 21), (15, 15), (11, 25), (20, 4))
_COLOURS = np.array([[220, 60, 60], [60, 60, 220], [60, 200, 70]])
WINDOWED = LstmConfig(form="windowed", units=24)
RECURRENT = LstmConfig(form="recurrent", units=16)


def pictures(n: int, seed: int) -> tuple[UInt8Array, NDArray[np.int64]]:
    """(n,32,32,3) RGB and their classes: a blob whose place and colour tell the class, under noise.

    Every class comes in two forms, and a form's place belongs to another class in another colour: whoever sees the
    colours exchanged is led astray.
    """
    random = np.random.default_rng(seed)
    labels = random.integers(0, N_PROBS, n)
    second = random.integers(0, 2, n)
    rows, columns = np.mgrid[:SIDE_PX, :SIDE_PX]
    made = np.empty((n, SIDE_PX, SIDE_PX, 3), np.uint8)
    for i, (label, form) in enumerate(zip(labels.tolist(), second.tolist(), strict=True)):
        y, x = np.array(_PLACES[(label + 3 * form) % N_PROBS]) + random.normal(0, 0.7, 2)
        blob = np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 12)[..., None]
        base = 110 + random.normal(0, 12, 3) + random.normal(0, 14, (SIDE_PX, SIDE_PX, 3))
        made[i] = np.clip(base * (1 - blob) + _COLOURS[form] * blob, 0, 255)
    return made, labels


class ToyPictures:
    """`Pictures` of an array."""

    def __init__(self, array: UInt8Array) -> None:
        self.array = array

    def __len__(self) -> int:
        return len(self.array)

    def read(self, index: int, side_px: int) -> UInt8Array:
        assert side_px == SIDE_PX
        chosen: UInt8Array = self.array[index]
        return chosen


def frames(n: int, seed: int, *, n_videos: int = 3) -> AnnotatedFrames:
    """Toy pictures as a data set of a few videos, valence and arousal made of the class."""
    made, labels = pictures(n, seed)
    return AnnotatedFrames(
        name=f"toy {seed}",
        pictures=ToyPictures(made),
        videos=tuple(f"video{i}" for i in range(n_videos)),
        video=np.sort(np.arange(n) % n_videos).astype(np.int32),
        frame=np.arange(n, dtype=np.int32),
        expression=labels,
        valence=(labels / 3 - 1).astype(np.float32),
        arousal=(1 - labels / 3).astype(np.float32),
    )


def config(kind: str) -> ModelConfig:
    """`backbone`, `image` (dense layers on the current picture), `windowed` or `recurrent`."""
    lstm = {"windowed": WINDOWED, "recurrent": RECURRENT}.get(kind)
    return ModelConfig(
        name=f"toy-{kind}",
        backbone=BackboneConfig(name="small", input_size_px=SIDE_PX),
        stat="min_max_mean" if kind == "recurrent" else "probs" if lstm else "none",
        window=6,
        lstm=lstm,
        head_units=24,
    )


@functools.cache
def trained(kind: str, seed: int = 1) -> AffectModel:
    """The model after some seconds: backbone first, then the head on what it says of made-up videos."""
    model = build_model(config(kind), seed=seed)
    if kind != "backbone":
        model.backbone.load_state_dict(trained("backbone", seed).backbone.state_dict())
        _train_head(model, seed)
        return model.eval()
    made, labels = pictures(768, seed)
    inputs, truth = network_input(torch.from_numpy(made), model.backbone), torch.from_numpy(labels)
    optimiser = torch.optim.AdamW(model.backbone.parameters(), 4e-3)
    order = torch.Generator().manual_seed(seed)
    model.backbone.train()
    for _ in range(5):
        for rows in torch.randperm(len(truth), generator=order).split(32):
            loss = torch.nn.functional.cross_entropy(model.backbone(inputs[rows]).logits, truth[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return model.eval()


def _train_head(model: AffectModel, seed: int) -> None:
    made, labels = pictures(512, seed + 50)
    with torch.no_grad():
        seen = model.backbone.eval()(network_input(torch.from_numpy(made), model.backbone))
    features, probs = seen.features.view(32, 16, -1), seen.probs.view(32, 16, -1)
    truth = torch.from_numpy(labels).view(32, 16)
    if model.config.temporal:  # what was shown before decides, so that a past mixed up cannot go unnoticed
        truth = torch.cat([truth[:, :1], truth[:, :-1]], 1)
    optimiser = torch.optim.AdamW(model.head.parameters(), 8e-3)
    model.head.train()
    for _ in range(160 if model.config.temporal else 40):
        output = model.head.forward_sequence(features, probs)
        assert output.valence is not None
        loss = torch.nn.functional.cross_entropy(output.logits.flatten(0, 1), truth.flatten())
        loss = loss + (output.valence - truth / 3 + 1).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def write_run(folder: Path, kind: str, seed: int = 1, *, simulated: bool = False) -> Path:
    """A training folder that holds the trained toy, as `engines train` leaves one."""
    model = trained(kind, seed)
    synthetic = (DataConfig(kind="synthetic", split="validation", limit=16),)
    plan = DataPlan(train=(DataConfig(kind="synthetic", limit=16),), validation=synthetic)
    part = "backbone" if kind == "backbone" else "whole"
    run = TrainConfig(name=f"toy {kind}", model=model.config, data=plan, part=part)  # type: ignore[arg-type]
    folder.mkdir(parents=True)
    write_plain(folder / "config.json", run)
    told = summary_of(frames(30, seed), simulated=simulated)
    write_plain(folder / "data.json", DataSummary(train=(told,), validation=(told,)))
    figures = {"accuracy": 0.9, "macro_f1": 0.88}
    save_checkpoint(folder / BEST, run, state_dict=model.state_dict(), epoch=3, score=0.9, figures=figures)
    return folder


assert len(_PLACES) == len(EXPRESSIONS)
