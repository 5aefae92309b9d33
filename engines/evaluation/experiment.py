"""The paper's six models on drawn faces: whether time helps where it should, and only there.

For every seed other people are drawn. A small backbone learns the seven expressions from single pictures of some of
them, as the paper's learns from AffectNet and RAF-DB; then it is frozen, and the heads of the six models learn from
its cached features of other people's videos, are chosen by a third group and judged on a fourth. All six have the
same rule: the same optimiser, epochs, patience and choice of the best epoch. The same is done with the frames of
every video shuffled, where the past says nothing of the present. None of it is evidence about people.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from engines.data.config import DataConfig
from engines.data.joining import take
from engines.data.synthetic import SPLITS, Split, SyntheticConfig, drawn_in_memory, shuffled_rows, synthetic_frames
from engines.errors import WrongUse
from engines.evaluation.smoothing import Smoothing, fit_smoothing
from engines.metrics import confusion
from engines.models import AffectModel, BackboneConfig, LstmConfig, ModelConfig, build_model, paper_model
from engines.training.answers import AnswersOfVideos, Figures, answer_videos, figures_of, fused
from engines.training.config import DataPlan, OptimiserConfig, TrainConfig
from engines.training.features import Features, embed
from engines.training.loop import TrainSet, train

Condition = Literal["in_time", "shuffled"]
CONDITIONS: tuple[Condition, ...] = ("in_time", "shuffled")
MODELS = (1, 2, 3, 4, 5, 6)
FUSION, EMA = "Fusion", "EMA"
ROWS = (*(str(number) for number in MODELS), FUSION, EMA)
Counts = NDArray[np.int64]


class PaperExperiment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the experiment is made of; the seed of `data` is replaced by each of `seeds`.

    The heads are the paper's but for their size: two dense layers of `head_units` instead of 1024, the bidirectional
    LSTM over the block of 16 with `lstm_units` instead of 1024. The backbone takes single pictures of the split
    `stills` and every `backbone_judged_on`-th validation frame.
    """

    data: SyntheticConfig = SyntheticConfig(n_stills_identities=1500, stills_per_identity=15)
    seeds: tuple[int, ...] = (1, 2, 3)
    side_px: int = 48
    backbone_epochs: int = 5
    backbone_learning_rate: float = 2e-3
    backbone_judged_on: int = 10
    head_epochs: int = 10
    head_patience: int = 3
    head_learning_rate: float = 1e-3
    head_units: int = 128
    lstm_units: int = 48
    backbone_batch_size: int = 128
    head_batch_size: int = 256
    weight_decay: float = 1e-2

    def __post_init__(self) -> None:
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise ValueError("name at least one seed, each once")
        if self.data.shuffled:
            raise ValueError("shuffled is done by the experiment itself, beside the frames in time")


@dataclass(frozen=True)
class SeedResult:
    """One seed's figures on its test split, by condition and row; `counts` (n_identities,7,7) are confusions."""

    seed: int
    backbone: Figures
    figures: dict[Condition, dict[str, Figures]]
    counts: dict[Condition, dict[str, Counts]]
    best_epochs: dict[Condition, dict[str, int]]
    smoothing: dict[Condition, Smoothing]
    cpu_s: float
    """CPU seconds of this seed, over all its threads."""


Say = Callable[[str], None]


def run_seed(settings: PaperExperiment, seed: int, say: Say) -> SeedResult:
    """Draw, train and judge everything for one seed; the same seed gives the same figures on the same machine."""
    began_s = time.process_time()
    data = msgspec.structs.replace(settings.data, seed=seed)
    plan = DataPlan(train=(_drawn(data, "stills"),), validation=(_drawn(data, "validation"),))
    model, bare = _train_backbone(settings, data, plan, seed, say)
    seen = {split: embed(model.backbone, synthetic_frames(data, split), batch_size=256) for split in SPLITS[1:]}
    result = SeedResult(seed, bare, {}, {}, {}, {}, 0.0)
    for condition in CONDITIONS:
        sets = {split: _as_fed(data, split, features, condition) for split, features in seen.items()}
        _run_condition(settings, sets, model, condition, result, say)
    return replace(result, cpu_s=time.process_time() - began_s)


def _run_condition(
    settings: PaperExperiment,
    sets: dict[Split, TrainSet],
    bare: AffectModel,
    condition: Condition,
    result: SeedResult,
    say: Say,
) -> None:
    validation, test = sets["validation"], sets["test"]
    answers: dict[str, AnswersOfVideos] = {}
    epochs: dict[str, int] = {}
    for number in MODELS:
        config = _head_config(settings, number, result.seed)
        model = build_model(config.model, seed=result.seed)
        trained = train(model, config, sets["train"], validation, None)
        answers[str(number)] = _answers(model, test)
        epochs[str(number)] = trained.best_epoch
        if number == 2:
            smoothing = fit_smoothing(_answers(model, validation), validation.frames)
            answers[EMA] = smoothing.apply(answers["2"], test.frames.video)
            result.smoothing[condition] = smoothing
        score = figures_of(answers[str(number)], test.frames).challenge
        say(f"seed {result.seed}, {condition}: model {number} {score:.3f} after {len(trained.rows)} epochs")
    answers[FUSION] = fused([answers[str(number)] for number in MODELS])
    person = test.frames.video // settings.data.videos_per_identity
    result.figures[condition] = {row: figures_of(answers[row], test.frames) for row in ROWS}
    result.counts[condition] = {row: _counts(test.frames.expression, answers[row].labels, person) for row in ROWS}
    result.best_epochs[condition] = epochs


def _train_backbone(
    settings: PaperExperiment, data: SyntheticConfig, plan: DataPlan, seed: int, say: Say
) -> tuple[AffectModel, Figures]:
    """The model whose backbone the heads share, and how well it names single pictures of the validation people."""
    stills = drawn_in_memory(synthetic_frames(data, "stills"), settings.side_px)
    people = synthetic_frames(data, "validation")
    judged = drawn_in_memory(take(people, np.arange(0, len(people), settings.backbone_judged_on)), settings.side_px)
    say(f"seed {seed}: {len(stills)} single pictures drawn")
    config = TrainConfig(
        name="synthetic-backbone",
        model=_model(settings, 1, frozen=False),
        data=plan,
        part="backbone",
        optimiser=OptimiserConfig(
            learning_rate=settings.backbone_learning_rate, weight_decay=settings.weight_decay, schedule="cosine"
        ),
        epochs=settings.backbone_epochs,
        batch_size=settings.backbone_batch_size,
        seed=seed,
        device="cpu",
    )
    model = build_model(config.model, seed=seed)
    result = train(model, config, TrainSet(stills), TrainSet(judged), None)
    figures = figures_of(AnswersOfVideos(embed(model.backbone, judged, batch_size=256).probs), judged)
    say(f"seed {seed}: backbone {figures.challenge:.3f}, best of {len(result.rows)} epochs the {result.best_epoch}th")
    return model, figures


def _head_config(settings: PaperExperiment, number: int, seed: int) -> TrainConfig:
    data = msgspec.structs.replace(settings.data, seed=seed)
    return TrainConfig(
        name=f"synthetic-{number}",
        model=_model(settings, number, frozen=True),
        data=DataPlan(train=(_drawn(data, "train"),), validation=(_drawn(data, "validation"),)),
        cached_features=True,
        optimiser=OptimiserConfig(learning_rate=settings.head_learning_rate, weight_decay=settings.weight_decay),
        epochs=settings.head_epochs,
        patience=settings.head_patience,
        batch_size=settings.head_batch_size,
        seed=seed,
        device="cpu",
    )


def _model(settings: PaperExperiment, number: int, *, frozen: bool) -> ModelConfig:
    backbone = BackboneConfig(name="small", input_size_px=settings.side_px, freeze="all" if frozen else "none")
    config = paper_model(number, backbone=backbone, head_units=settings.head_units)
    if config.lstm is None:
        return config
    return msgspec.structs.replace(config, lstm=LstmConfig(form="windowed", units=settings.lstm_units))


def _drawn(data: SyntheticConfig, split: Split) -> DataConfig:
    return DataConfig(kind="synthetic", split=split, synthetic=data)


def _as_fed(data: SyntheticConfig, split: Split, features: Features, condition: Condition) -> TrainSet:
    """The set in its order; shuffled pictures are the same pictures, so their features need no second embedding."""
    if condition == "in_time":
        return TrainSet(synthetic_frames(data, split), features)
    rows = shuffled_rows(data, split)
    frames = synthetic_frames(msgspec.structs.replace(data, shuffled=True), split)
    return TrainSet(frames, Features(features.features[rows], features.probs[rows]))


def _answers(model: AffectModel, on: TrainSet) -> AnswersOfVideos:
    assert on.features is not None
    return answer_videos(model.head, on.features, on.frames.video)


def _counts(truth: NDArray[np.int64], predicted: NDArray[np.int64], person: NDArray[np.int32]) -> Counts:
    return np.stack([confusion(truth[person == one], predicted[person == one]) for one in np.unique(person)])


def run_paper(settings: PaperExperiment, *, processes: int, say: Say) -> list[SeedResult]:
    """All seeds, `processes` at a time with one thread each. Raises `WrongUse` when processes is not positive."""
    if processes < 1:
        raise WrongUse("processes is at least 1")
    if processes == 1:
        return [run_seed(settings, seed, say) for seed in settings.seeds]
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    with ProcessPoolExecutor(processes, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        running = [pool.submit(run_seed, settings, seed, say) for seed in settings.seeds]
        return [one.result() for one in running]
