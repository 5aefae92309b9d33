"""Features are embedded once, the folder says what was trained, and commands say what is wrong."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from click.testing import CliRunner
from rich.console import Console

from engines.cli.train import train as train_command
from engines.data.frames import AnnotatedFrames, UInt8Array
from engines.errors import BadData, WrongUse, WrongWeights
from engines.models import BackboneConfig, build_model
from engines.training import features as features_module
from engines.training import run as run_module
from engines.training.config import TrainConfig, train_config_of
from engines.training.features import cached_features, embed, features_key, network_input
from engines.training.folder import BEST, LOG, is_training_folder, load_trained, read_checkpoint
from engines.training.ranks import Ranks
from engines.training.run import run_training
from engines.training.watching import Display
from tests.engines.training.made_up import SIDE_PX, frames, model_config

DRAWN = {"n_stills_identities": 4, "stills_per_identity": 12, "n_validation_identities": 2, "frames_per_video": 12}
SETTINGS: dict[str, Any] = {
    "name": "drawn",
    "model": {
        "name": "drawn",
        "head_units": 8,
        "window": 4,
        "backbone": {"name": "small", "input_size_px": SIDE_PX},
    },
    "data": {
        "train": [{"kind": "synthetic", "split": "stills", "synthetic": DRAWN}],
        "validation": [{"kind": "synthetic", "split": "validation", "synthetic": DRAWN}],
    },
    "epochs": 2,
    "batch_size": 8,
    "steps_per_epoch": 2,
    "device": "cpu",
}


def settings(**changes: Any) -> TrainConfig:
    plain = json.loads(json.dumps(SETTINGS))
    for dotted, value in changes.items():
        *path, last = dotted.split("__")
        at = plain
        for key in path:
            at = at.setdefault(key, {})
        at[last] = value
    return train_config_of(plain)


def trained(one: TrainConfig, out: Path, *, resume: bool = False) -> None:
    with Display(Console(quiet=True), unit="pictures", per_step=1) as display:
        run_training(one, out, resume=resume, ranks=Ranks(), display=display)


def test_a_folder_holds_the_model_and_what_it_learnt_from(tmp_path: Path) -> None:
    out = tmp_path / "runs" / "drawn"
    trained(settings(bare_weight=1.0), out)
    assert {path.name for path in out.iterdir()} >= {"config.json", "data.json", "best.pt", "last.pt", "log.csv"}
    assert is_training_folder(out)
    assert list((out / "tensorboard").iterdir())
    model, info = load_trained(out)
    assert not model.training
    assert info.config == settings(bare_weight=1.0)
    assert info.epoch in (1, 2)
    assert info.figures["n_expression"] == 48
    told = info.data.train[0]
    assert (told.name, told.n_pictures, told.n_valence_arousal) == ("synthetic-stills", 48, 48)
    assert sum(told.expressions.values()) == 48
    assert info.trained_on == "synthetic-stills"
    assert info.valence_arousal_trained_on is None  # nobody was annotated: a drawing is simulated
    kept = read_checkpoint(out / BEST)["state_dict"]
    assert all(torch.equal(value, kept[name]) for name, value in model.state_dict().items())


def test_valence_and_arousal_are_predicted_only_from_what_people_annotated(tmp_path: Path) -> None:
    trained(settings(), tmp_path / "run")
    path = tmp_path / "run" / "data.json"
    plain = json.loads(path.read_text())
    plain["train"][0] |= {"name": "aff-wild2-train", "simulated": False}
    path.write_text(json.dumps(plain))
    assert load_trained(tmp_path / "run")[1].valence_arousal_trained_on == "aff-wild2-train"
    plain["train"].append({**plain["train"][0], "name": "drawn", "simulated": True})
    path.write_text(json.dumps(plain))
    assert load_trained(tmp_path / "run")[1].valence_arousal_trained_on is None


def test_a_backbone_goes_on_into_the_next_run_and_its_sets_with_it(tmp_path: Path) -> None:
    trained(settings(part="backbone"), tmp_path / "first")
    frozen = {"start_from": str(tmp_path / "first"), "cached_features": True, "model__backbone__freeze": "all"}
    trained(settings(**frozen, model__stat="probs"), tmp_path / "second")
    before, after = load_trained(tmp_path / "first")[0], load_trained(tmp_path / "second")[0]
    for name, value in before.backbone.state_dict().items():
        assert torch.equal(value, after.backbone.state_dict()[name]), name
    assert [one.name for one in load_trained(tmp_path / "second")[1].data.earlier] == ["synthetic-stills"]
    other = settings(**frozen, model__backbone__name="resnet50-vggface2", model__backbone__input_size_px=48)
    with pytest.raises(WrongUse, match="trained the backbone small"):
        trained(other, tmp_path / "third")
    with pytest.raises(WrongUse, match="needs weights"):
        trained(settings(cached_features=True, model__backbone__freeze="all"), tmp_path / "fourth")
    both = settings(**frozen, model__backbone__weights=str(tmp_path / "first" / "best.pt"))
    with pytest.raises(WrongUse, match="choose one"):
        trained(both, tmp_path / "fifth")


def test_an_earlier_run_is_not_written_over(tmp_path: Path) -> None:
    trained(settings(), tmp_path)
    log = (tmp_path / LOG).read_bytes()
    with pytest.raises(WrongUse, match="add --resume auto"):
        trained(settings(), tmp_path)
    with pytest.raises(WrongUse, match="another configuration: seed differ"):
        trained(settings(seed=2), tmp_path, resume=True)
    trained(settings(workers=1), tmp_path, resume=True)
    assert (tmp_path / LOG).read_bytes() == log


def test_workers_change_nothing(tmp_path: Path) -> None:
    one = {"augmentation": "strong", "balance": True, "batch_size": 14, "model__stat": "probs"}
    trained(settings(**one), tmp_path / "alone")
    trained(settings(**one, workers=2), tmp_path / "workers")
    assert (tmp_path / "alone" / LOG).read_bytes() == (tmp_path / "workers" / LOG).read_bytes()


def test_start_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    torch.save({"conv.weight": torch.zeros(3)}, tmp_path / "wrong.pt")
    with pytest.raises(WrongWeights, match="lacks"):
        trained(settings(model__backbone__weights=str(tmp_path / "wrong.pt")), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_set_that_cannot_be_judged_is_refused_before_training(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    held = frames(2)
    nothing = np.full(len(held), np.nan, np.float32)
    bare = AnnotatedFrames(
        "bare", held.pictures, held.videos, held.video, held.frame, np.full(len(held), -1), nothing, nothing
    )
    monkeypatch.setattr(run_module, "open_frames", lambda one: bare if one.split == "validation" else held)
    with pytest.raises(BadData, match="nothing to judge by"):
        trained(settings(), tmp_path / "run")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda folder: (folder / "config.json").unlink(), "no training folder"),
        (lambda folder: (folder / "data.json").write_text("{}"), "not what `engines train` writes"),
        (lambda folder: (folder / BEST).write_bytes(b"PK"), "no checkpoint or is damaged"),
        (lambda folder: (folder / BEST).unlink(), "has not finished an epoch"),
        (lambda folder: torch.save({"state_dict": {}}, folder / BEST), "no checkpoint of this version"),
    ],
)
def test_a_damaged_folder_is_refused(damage: Any, says: str, tmp_path: Path) -> None:
    trained(settings(), tmp_path)
    damage(tmp_path)
    with pytest.raises(WrongUse, match=says):
        load_trained(tmp_path)


def test_checkpoints_never_run_what_is_in_them(tmp_path: Path) -> None:
    torch.save({"format": 1, "x": Path("/")}, tmp_path / "evil.pt")
    with pytest.raises(WrongUse, match="no checkpoint or is damaged"):
        read_checkpoint(tmp_path / "evil.pt")


def test_features_are_found_once_and_kept_by_weights_and_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone, held = build_model(model_config(), seed=1).backbone, frames(2, 10)
    first = cached_features(backbone, held, tmp_path)
    np.testing.assert_array_equal(first.features, embed(backbone, held).features)
    monkeypatch.setattr(features_module, "embed", lambda *args, **named: pytest.fail("embedded again"))
    again = cached_features(backbone, held, tmp_path)
    np.testing.assert_array_equal(again.probs, first.probs)
    assert len(list(tmp_path.iterdir())) == 1
    again.features[0] = 5  # a copy in memory: the file stays as it is
    assert cached_features(backbone, held, tmp_path).features[0, 0] == first.features[0, 0]
    assert features_key(backbone, frames(2, 10, seed=3)) != features_key(backbone, held)
    assert features_key(build_model(model_config(), seed=2).backbone, held) != features_key(backbone, held)


def test_what_stops_half_way_leaves_no_features(tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    backbone = build_model(model_config(), seed=1).backbone
    with pytest.raises(KeyboardInterrupt):
        cached_features(backbone, frames(2, 10), tmp_path, progress=interrupt)
    assert not [path for path in tmp_path.iterdir() if path.suffix != ".part"]


def test_channels_are_turned_for_networks_that_take_bgr() -> None:
    pictures: UInt8Array = np.zeros((1, 2, 2, 3), np.uint8)
    pictures[..., 0] = 200  # red
    backbone = build_model(model_config(), seed=1).backbone
    assert network_input(torch.from_numpy(pictures), backbone)[0, :, 0, 0].tolist() == [200, 0, 0]
    resnet = build_model(model_config(backbone=BackboneConfig(input_size_px=48)), seed=1).backbone
    assert network_input(torch.from_numpy(pictures), resnet)[0, :, 0, 0].tolist() == [0, 0, 200]


def written(folder: Path, **changes: Any) -> str:
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump({**SETTINGS, **changes}))
    return str(path)


def test_the_command_trains_and_answers_in_json(tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    try:
        done = CliRunner().invoke(
            train_command, [written(tmp_path), "--out", out, "--set", "epochs=1", "--json"], catch_exceptions=False
        )
    finally:
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGTERM, before[1])
    answer = json.loads(done.stdout)
    assert (answer["folder"], answer["best_epoch"], len(answer["rows"])) == (out, 1, 1)
    assert answer["best"] == answer["rows"][0]
    assert "epoch 1/1" in done.stderr


def test_an_interrupted_command_keeps_a_checkpoint_and_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "engines.cli", "train", written(tmp_path, epochs=100_000), "--out", str(out)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        assert "epoch 1/" in running.stderr.readline()
        running.send_signal(signal.SIGINT)
        running.stderr.read()
    assert running.returncode == 130
    place = read_checkpoint(out / "last.pt")["place"]
    assert place["epoch"] >= 1
    assert len((out / LOG).read_text().splitlines()) == 1 + place["epoch"]
