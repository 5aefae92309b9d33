"""The loop learns, keeps the best, stops in time, and says what is wrong when something is."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from engines.data.frames import AnnotatedFrames
from engines.errors import BadData, WrongUse
from engines.models import build_model
from engines.training import loop
from engines.training.answers import AnswersOfVideos, answer_videos, figures_of
from engines.training.config import OptimiserConfig, TrainConfig
from engines.training.features import Features, embed
from engines.training.feed import feed_of, trainable_rows
from engines.training.folder import BEST, LOG, read_checkpoint
from engines.training.loop import LossNotFinite, OutOfMemory, TrainResult, TrainSet, judge, learning_rate, train
from engines.training.ranks import Ranks
from tests.engines.training.made_up import FROZEN, RECURRENT, WINDOWED, config, frames, model_config

FAST = OptimiserConfig(learning_rate=0.01)


def told(held: AnnotatedFrames) -> TrainSet:
    """Features that tell the expression, valence and arousal, but for noise, as a good backbone's would."""
    random = np.random.default_rng(4)
    wanted = np.eye(7, dtype=np.float32)[held.expression]
    features = random.normal(0, 0.3, (len(held), 128)).astype(np.float32)
    features[:, :7] += 6 * wanted
    features[:, 7] += 3 * np.nan_to_num(held.valence)
    features[:, 8] += 3 * np.nan_to_num(held.arousal)
    probs = np.exp(wanted + random.normal(0, 0.3, wanted.shape)).astype(np.float32)
    return TrainSet(held, Features(features, probs / probs.sum(1, keepdims=True)))


def run(one: TrainConfig, train_set: TrainSet, folder: Path | None = None) -> TrainResult:
    return train(build_model(one.model, seed=one.seed), one, train_set, told(frames(4, seed=1)), folder)


@pytest.mark.parametrize("lstm", [None, WINDOWED, RECURRENT], ids=["stat", "windowed", "recurrent"])
def test_heads_learn_from_cached_features(lstm: object) -> None:
    model = model_config(stat="probs", lstm=lstm, backbone=FROZEN)
    one = config(model, cached_features=True, sequence_length=10, optimiser=FAST, steps_per_epoch=15)
    last = run(one, told(frames())).rows[-1]
    assert last["accuracy"] is not None
    assert last["accuracy"] > 0.75
    assert last["va"] is not None
    assert last["va"] > 0.6


@pytest.mark.parametrize("part", ["whole", "backbone"])
def test_pictures_are_learnt_from(part: str) -> None:
    one = config(part=part, bare_weight=1.0, optimiser=FAST, steps_per_epoch=25, batch_size=24)
    losses = [row["loss"] for row in run(one, TrainSet(frames())).rows]
    assert losses[-1] is not None
    assert losses[0] is not None
    assert losses[-1] < 0.8 * losses[0]


def test_the_model_is_left_with_its_best_weights_and_the_log_says_which(tmp_path: Path) -> None:
    one = config(
        model_config(backbone=FROZEN), cached_features=True, optimiser=OptimiserConfig(learning_rate=0.3), epochs=6
    )
    model, held_out = build_model(one.model, seed=1), told(frames(4, seed=1))
    result = train(model, one, told(frames()), held_out, tmp_path)
    scores = [row["score"] for row in result.rows]
    assert result.best_score == max(score for score in scores if score is not None)
    assert result.best_epoch == scores.index(result.best_score) + 1
    assert judge(model, one, held_out, "cpu")[1].score == result.best_score
    kept = read_checkpoint(tmp_path / BEST)
    assert (kept["epoch"], kept["score"]) == (result.best_epoch, result.best_score)
    with (tmp_path / LOG).open() as file:
        assert [float(row["score"]) for row in csv.DictReader(file)] == scores


def test_patience_ends_a_run_that_gets_no_better(monkeypatch: pytest.MonkeyPatch) -> None:
    one = config(model_config(backbone=FROZEN), cached_features=True, epochs=9, patience=2)
    scores = iter([0.2, 0.5, 0.4, 0.5, 0.9])
    found = figures_of(AnswersOfVideos(np.ones((10, 7), np.float32)), frames(1, 10))

    def judged(*args: object) -> tuple[None, object]:
        return None, dataclasses.replace(found, challenge=next(scores), va=None)

    monkeypatch.setattr(loop, "judge", judged)
    result = run(one, told(frames()))
    assert (len(result.rows), result.best_epoch, result.stopped_early) == (4, 2, True)


def test_the_score_is_the_mean_of_what_is_annotated() -> None:
    held = frames()
    labels = np.maximum(held.expression, 0)
    answers = AnswersOfVideos(np.eye(7, dtype=np.float32)[labels], held.valence, np.zeros(len(held), np.float32))
    both = figures_of(answers, held)
    assert both.challenge == pytest.approx(1)
    assert both.va == pytest.approx(0.5)
    assert both.score == pytest.approx(0.75)
    assert figures_of(AnswersOfVideos(answers.probs), held).score == pytest.approx(1)
    unnamed = dataclasses.replace(held, expression=np.full(len(held), -1))
    only = figures_of(AnswersOfVideos(answers.probs, held.valence, held.arousal), unnamed)
    assert only.challenge is None
    assert only.score == pytest.approx(1)


def test_a_loss_that_is_no_number_stops_the_run_and_names_the_step() -> None:
    one = config(model_config(backbone=FROZEN), cached_features=True)
    ruined = told(frames())
    assert ruined.features is not None
    order = next(iter(feed_of(one, ruined.frames, ruined.features, Ranks()).steps(0, 2)))
    row = np.flatnonzero((ruined.features.features == order[0].inputs["features"][0].numpy()).all(1))
    ruined.features.features[row] = np.nan
    with pytest.raises(LossNotFinite, match=r"nan at epoch 1, step 3: lower optimiser\.learning_rate"):
        run(one, ruined)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: 99 bytes"),
        MemoryError(),
    ],
    ids=["cuda", "cpu", "python"],
)
def test_running_out_of_memory_says_what_to_change(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise error

    monkeypatch.setattr(loop, "loss_of", fail)
    with pytest.raises(OutOfMemory, match="batch_size 12 in 2 pieces of 32x32 px, blocks of 4: set accumulate to 4"):
        run(config(model_config(stat="probs"), accumulate=2), TrainSet(frames()))


def test_other_errors_are_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise RuntimeError("shapes cannot be multiplied")

    monkeypatch.setattr(loop, "loss_of", fail)
    with pytest.raises(RuntimeError, match="multiplied"):
        run(config(), TrainSet(frames()))


def test_a_set_without_annotations_is_refused() -> None:
    held = frames()
    nothing = np.full(len(held), np.nan, np.float32)
    bare = dataclasses.replace(held, expression=np.full(len(held), -1), valence=nothing, arousal=nothing)
    with pytest.raises(BadData, match="none of its 120 pictures is annotated"):
        run(config(), TrainSet(bare))
    rated = dataclasses.replace(held, expression=np.full(len(held), -1))
    assert len(trainable_rows(config(), rated)) == int(rated.annotated.sum())
    with pytest.raises(BadData, match="with expression;"):
        trainable_rows(config(model_config(valence_arousal=False)), rated)


def test_settings_that_leave_nothing_to_train_or_no_device_for_it() -> None:
    with pytest.raises(WrongUse, match="fp16 trains on CUDA"):
        run(config(precision="fp16"), TrainSet(frames()))
    with pytest.raises(ValueError, match="nothing is left"):
        config(model_config(backbone=FROZEN), part="backbone")


def test_bf16_and_pieces_come_to_nearly_the_same() -> None:
    model = model_config(backbone=FROZEN, dropout=0.0)
    plain, halved = (
        run(config(model, cached_features=True, precision=precision), told(frames())) for precision in ("fp32", "bf16")
    )
    for one, two in zip(plain.rows, halved.rows, strict=True):
        assert two["loss"] == pytest.approx(one["loss"], rel=0.03)
        assert two["loss"] != one["loss"]
    expression_only = model_config(backbone=FROZEN, dropout=0.0, valence_arousal=False)
    held = frames()
    named = dataclasses.replace(held, expression=np.maximum(held.expression, 0))  # a mean of equal pieces
    sgd = OptimiserConfig(name="sgd", learning_rate=0.05)
    whole, pieces = (
        run(
            config(expression_only, cached_features=True, accumulate=n, optimiser=sgd),
            TrainSet(named, told(held).features),
        )
        for n in (1, 3)
    )
    for one, two in zip(whole.rows, pieces.rows, strict=True):
        assert two["loss"] == pytest.approx(one["loss"], rel=1e-4)


def test_the_rate_rises_and_falls() -> None:
    schedule = OptimiserConfig(learning_rate=1.0, schedule="cosine", warmup_steps=4)
    one = config(epochs=2, optimiser=schedule)
    rates = [learning_rate(one, at, 10) for at in range(20)]
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]
    assert rates[4] == 1.0
    assert rates == rates[:4] + sorted(rates[4:], reverse=True)
    assert 0 < rates[-1] < 0.01
    assert learning_rate(config(), 3, 10) == 0.003


def test_epochs_go_on_through_the_set_where_the_last_one_left_it() -> None:
    held = frames()
    one = config(batch_size=10, steps_per_epoch=3)
    n = len(trainable_rows(one, held))
    assert n < 4 * 30
    feed = feed_of(one, held, told(held).features, Ranks())
    seen = [piece.inputs["features"].numpy() for epoch in range(4) for step in feed.steps(epoch, 0) for piece in step]
    rows = np.concatenate(seen)
    assert len(np.unique(rows[:n], axis=0)) == n  # each once before any is seen again


def test_long_videos_are_answered_in_chunks_as_they_are_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    held = frames(2, 35)
    features = told(held).features
    assert features is not None
    for lstm in (None, WINDOWED, RECURRENT):
        for stat in ("none", "min_max_mean"):
            head = build_model(model_config(stat=stat, lstm=lstm, backbone=FROZEN), seed=3).head
            monkeypatch.setattr("engines.training.answers._CHUNK", 1000)
            whole = answer_videos(head, features, held.video)
            monkeypatch.setattr("engines.training.answers._CHUNK", 8)
            cut = answer_videos(head, features, held.video)
            np.testing.assert_allclose(cut.probs, whole.probs, atol=1e-6)
            assert cut.valence is not None
            assert whole.valence is not None
            np.testing.assert_allclose(cut.valence, whole.valence, atol=1e-6)


def test_judging_leaves_a_model_in_training_as_it_was() -> None:
    model = build_model(config().model, seed=1).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    judge(model, config(), TrainSet(frames(1)), "cpu")
    assert model.head.training
    assert model.backbone.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert embed(model.backbone, frames(1)).probs.sum(1) == pytest.approx(1, abs=1e-5)
