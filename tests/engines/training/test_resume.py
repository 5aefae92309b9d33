"""A run that was killed, wherever it was, goes on to the same log and the same weights, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from engines.errors import WrongUse
from engines.models import build_model
from engines.training import loop
from engines.training.config import OptimiserConfig, TrainConfig
from engines.training.features import embed
from engines.training.folder import BEST, LAST, LOG, read_checkpoint
from engines.training.loop import TrainSet, train
from tests.engines.training.made_up import FROZEN, RECURRENT, WINDOWED, config, files, frames, model_config

TRAIN, HELD_OUT = frames(), frames(3, seed=1)


class Killed(Exception):
    pass


def run(one: TrainConfig, folder: Path, *, kill_after_steps: int | None = None, resume: bool = False) -> None:
    folder.mkdir(exist_ok=True)
    model = build_model(one.model, seed=one.seed)
    sets = [TrainSet(held, embed(model.backbone, held) if one.cached_features else None) for held in (TRAIN, HELD_OUT)]
    seen = 0

    def stop() -> bool:
        nonlocal seen
        seen += 1
        if seen == kill_after_steps:
            raise Killed  # as by SIGKILL: nothing more is written
        return False

    train(model, one, sets[0], sets[1], folder, resume=resume, stop=stop)


def same_tensors(one: Path, other: Path) -> None:
    first, second = read_checkpoint(one), read_checkpoint(other)
    assert first.keys() == second.keys()
    for name, value in first["state_dict"].items():
        assert torch.equal(value, second["state_dict"][name]), name
    assert first.get("place") == second.get("place")


RUNS = {
    "pictures": config(
        model_config(dropout=0.3),
        augmentation="light",
        checkpoint_every_steps=3,
        bare_weight=0.5,
        optimiser=OptimiserConfig(learning_rate=0.003, schedule="cosine", warmup_steps=3, clip_norm=1.0),
    ),
    "blocks": config(model_config(stat="probs", lstm=WINDOWED), balance=True, batch_size=14, accumulate=2),
    "head": config(
        model_config(stat="min_max_mean", backbone=FROZEN, dropout=0.3),
        cached_features=True,
        checkpoint_every_steps=1,
        optimiser=OptimiserConfig(name="sgd", learning_rate=0.01),
        logit_adjustment=1.0,
    ),
    "sequences": config(
        model_config(lstm=RECURRENT, backbone=FROZEN, dropout=0.3),
        cached_features=True,
        sequence_length=8,
        batch_size=4,
    ),
}


@pytest.mark.parametrize("name", RUNS)
def test_a_killed_run_goes_on_to_the_same_curve(name: str, tmp_path: Path) -> None:
    one = RUNS[name]
    run(one, tmp_path / "whole")
    wanted = files(tmp_path / "whole", LOG)
    # In the first epoch, in the middle of the second (twice, the second time after going on), at an epoch's last step.
    for kills in ((2,), (6, 1), (8,), (11,)) if one.cached_features else ((6, 1), (8,)):
        folder = tmp_path / "-".join(map(str, kills))
        for i, kill in enumerate(kills):
            with pytest.raises(Killed):
                run(one, folder, kill_after_steps=kill, resume=i > 0)
        run(one, folder, resume=True)
        assert files(folder, LOG) == wanted
        for checkpoint in (LAST, BEST):
            same_tensors(folder / checkpoint, tmp_path / "whole" / checkpoint)


def test_another_seed_gives_another_curve(tmp_path: Path) -> None:
    run(RUNS["head"], tmp_path / "a")
    run(config(RUNS["head"].model, cached_features=True, seed=5), tmp_path / "b")
    assert files(tmp_path / "a", LOG) != files(tmp_path / "b", LOG)


@pytest.mark.parametrize("target", ["write_log", "_keep_best", "save_checkpoint"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_between_two_writes_at_the_end_of_an_epoch(
    target: str, when: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = RUNS["head"]
    run(one, tmp_path / "whole")
    written: Callable[..., None] = getattr(loop, target)
    calls = 0

    def killing(*args: object, **named: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 2 and when == "before":
            raise Killed
        written(*args, **named)
        if calls == 2:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(loop, target, killing)
        with pytest.raises(Killed):
            run(one, tmp_path / "killed")
    run(one, tmp_path / "killed", resume=True)
    assert files(tmp_path / "killed", LOG) == files(tmp_path / "whole", LOG)
    for checkpoint in (LAST, BEST):
        same_tensors(tmp_path / "killed" / checkpoint, tmp_path / "whole" / checkpoint)


def test_an_interrupt_is_kept_and_taken_up(tmp_path: Path) -> None:
    one = RUNS["head"]
    run(one, tmp_path / "whole")
    folder = tmp_path / "stopped"
    folder.mkdir()
    model = build_model(one.model, seed=one.seed)
    sets = [TrainSet(held, embed(model.backbone, held)) for held in (TRAIN, HELD_OUT)]
    answers = iter([False] * 5 + [True])
    with pytest.raises(KeyboardInterrupt):
        train(model, one, sets[0], sets[1], folder, stop=lambda: next(answers))
    assert read_checkpoint(folder / LAST)["place"]["step"] == 2
    run(one, folder, resume=True)
    assert files(folder, LOG) == files(tmp_path / "whole", LOG)


def test_a_finished_run_has_nothing_left_to_do(tmp_path: Path) -> None:
    one = RUNS["head"]
    run(one, tmp_path / "whole")
    before = files(tmp_path / "whole", LOG, LAST, BEST)
    run(one, tmp_path / "whole", resume=True, kill_after_steps=1)
    assert files(tmp_path / "whole", LOG, LAST, BEST) == before


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    run(RUNS["head"], tmp_path / "run")
    other = config(RUNS["head"].model, cached_features=True)
    with pytest.raises(WrongUse, match=r"another configuration: .*optimiser\.name"):
        run(other, tmp_path / "run", resume=True)


def test_a_checkpoint_of_another_class_order_is_refused(tmp_path: Path) -> None:
    run(RUNS["head"], tmp_path / "run")
    last = read_checkpoint(tmp_path / "run" / LAST)
    last["class_order"] = sorted(last["class_order"])
    torch.save(last, tmp_path / "run" / LAST)
    with pytest.raises(WrongUse, match="Angry, Disgust, Fear, Happy, Neutral"):
        run(RUNS["head"], tmp_path / "run", resume=True)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 nor this"])
def test_a_damaged_checkpoint_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / LAST).write_bytes(content)
    with pytest.raises(WrongUse, match="no checkpoint"):
        run(RUNS["head"], tmp_path, resume=True)
