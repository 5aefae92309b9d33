"""`engines export`, `quantize` and `compare` as their users have them: what is written, said, and the exit code."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
import torch

from engines.cli import main
from engines.runtime.cuda.devices import cuda_devices
from engines.shipping import export as exporting
from engines.shipping import quantize as quantizing
from engines.shipping import sources
from engines.shipping.speed import Speed
from engines.spec import HeadSpec, ModelSpec, Normalisation
from engines.zoo import load_export, load_head
from tests.engines import toys
from tests.engines.exports import Exports, written_once

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """`engines ARGUMENTS`: exit code, standard output and standard error. torch's exporter runs once for all toys."""
    monkeypatch.setattr(exporting, "backbone_onnx", written_once)
    monkeypatch.setenv("AFFECT_STREAMER_CACHE", str(tmp_path / "cache"))

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["engines", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        told = capsys.readouterr()
        return int(ended.value.code or 0), told.out, told.err

    return run


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    path = tmp_path / "crops.npy"
    np.save(path, toys.pictures(80, 41)[0])
    return path


def spec_in(folder: Path, part: str = "backbone", kind: type[Any] = ModelSpec) -> Any:
    return msgspec.json.decode((folder / f"{part}.json").read_bytes(), type=kind)


@pytest.mark.parametrize("kind", ["backbone", "windowed"])
def test_a_run_is_exported_and_equals_torch(kind: str, engines: Command, crops: Path, tmp_path: Path) -> None:
    run, out = toys.write_run(tmp_path / "run", kind), tmp_path / "out"
    code, said, err = engines("export", run, "--out", out, "--no-calibrate", "--licence", "CC0")
    assert code == 0, err
    assert "differs from torch's by at most" in said
    model = load_export(out)
    assert model.spec.name == f"toy-{kind}"
    assert model.spec.provenance.origin == f"engines train, run toy {kind}, epoch 3"
    assert model.spec.provenance.trained_on == "toy 1"
    assert "accuracy, validation | 0.9" in (out / "card.md").read_text()
    assert (out / "head.onnx").exists() == (kind == "windowed")
    if kind == "windowed":
        assert load_head(out / "head.json")[0].valence_arousal_trained_on == "toy 1"
    code, said, err = engines("compare", run, out, f"{out}@auto", "--crops", crops, "--json")
    assert code == 0, said + err
    fp32, auto = json.loads(said)
    assert fp32["precision"] == "fp32"
    outputs = {one["name"]: one for one in fp32["fidelity"]["outputs"]}
    assert set(outputs) >= {"features", "logits", "probs"}
    assert ("head/probs" in outputs) == ("head/valence" in outputs) == (kind == "windowed")
    assert all(one["max_difference"] < 1e-3 for one in outputs.values())
    assert auto["precision"] in ("bf16", "fp32")


def test_valence_and_arousal_of_drawn_faces_are_not_called_predicted(engines: Command, tmp_path: Path) -> None:
    run = toys.write_run(tmp_path / "run", "image", simulated=True)
    assert engines("export", run, "--out", tmp_path / "out", "--no-calibrate")[0] == 0
    assert load_head(tmp_path / "out" / "head.json")[0].valence_arousal_trained_on is None
    assert "drawn faces only" in (tmp_path / "out" / "card.md").read_text()


def test_the_temperature_is_fitted_on_the_runs_validation_set(
    engines: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = toys.frames(90, 61)
    frames.expression[::3] = (frames.expression[::3] + 1) % 7
    monkeypatch.setattr(sources, "open_all", lambda configs: frames)
    run = toys.write_run(tmp_path / "run", "backbone")
    code, _, err = engines("export", run, "--out", tmp_path / "out")
    assert code == 0, err
    calibration = load_export(tmp_path / "out").spec.calibration
    assert calibration.temperature > 1.5
    assert "90 labelled pictures of toy 61" in calibration.fitted
    monkeypatch.setattr(sources, "open_all", lambda configs: toys.frames(90, 61))
    code, _, err = engines("export", run, "--out", tmp_path / "out")
    assert code == 0
    assert load_export(tmp_path / "out").spec.calibration.temperature == 1.0
    assert "not fitted: no temperature" in err  # every label was right: any sharper is better


def test_swapped_colours_in_a_spec_are_found(engines: Command, exports: Exports, crops: Path, tmp_path: Path) -> None:
    right, wrong = exports("windowed"), tmp_path / "wrong"
    shutil.copytree(right, wrong)
    spec = spec_in(wrong)
    swapped = Normalisation(
        colour="bgr", layout=spec.normalisation.layout, mean=spec.normalisation.mean, std=spec.normalisation.std
    )
    spec = msgspec.structs.replace(spec, normalisation=swapped)
    (wrong / "backbone.json").write_bytes(msgspec.json.encode(spec))
    code, said, _ = engines("compare", right, wrong, "--crops", crops)
    assert code == 1
    assert "FAILED: features differs by" in said
    assert "head/probs: " in said
    assert engines("compare", right, right, "--crops", crops)[0] == 0


def test_another_runs_weights_are_found(engines: Command, exports: Exports, crops: Path, tmp_path: Path) -> None:
    other = toys.write_run(tmp_path / "other", "backbone", seed=2)
    code, said, _ = engines("compare", exports("backbone"), other, "--crops", crops, "--json")
    assert code == 1
    (compared,) = json.loads(said)
    assert not compared["good"]
    assert compared["fidelity"]["labels"][0]["agreement"] > 0.97  # labels alone would have passed it


def test_a_shifted_crop_is_found(engines: Command, exports: Exports, tmp_path: Path) -> None:
    """Both sides see the same crops, so the shift is put where it would come from: into the network's edge."""
    from engines.shipping.comparison import compare_sides
    from engines.shipping.sides import EngineSide, open_side
    from tests.engines.shipping.shifted import Shifted

    crops = toys.pictures(60, 42)[0]
    with open_side(str(exports("backbone")), cache=tmp_path) as side:
        assert isinstance(side, EngineSide)
        shifted = EngineSide("shifted", side.spec, Shifted(side._runner, 1), None)
        (found,) = compare_sides(side, [shifted], crops)
    assert not found.fidelity.good


def test_models_of_other_sizes_or_classes_do_not_compare(engines: Command, exports: Exports, crops: Path) -> None:
    code, _, err = engines("compare", exports("backbone"), "no-such-model", "--crops", crops)
    assert (code, "no model is called" in err) == (2, True)
    code, _, err = engines("compare", exports("backbone"), f"{exports('backbone')}@onnx", "--crops", crops)
    assert (code, "no engine is called 'onnx'" in err) == (2, True)
    code, _, err = engines("compare", f"{exports('backbone')}@torch", exports("backbone"), "--crops", crops)
    assert (code, "torch runs what `engines train` wrote" in err) == (2, True)


@pytest.mark.skipif(bool(cuda_devices()), reason="there is a GPU here")
def test_an_engine_of_a_gpu_says_that_there_is_none(engines: Command, exports: Exports, crops: Path) -> None:
    for engine in ("tensorrt", "cuda"):
        code, _, err = engines("compare", exports("backbone"), f"{exports('backbone')}@{engine}", "--crops", crops)
        assert (code, "no NVIDIA GPU" in err) == (1, True)


def test_random_weights_say_so_everywhere_and_are_no_reference(engines: Command, crops: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, said, _ = engines(
        "export", "--random-weights", "paper-4", "--backbone", "small", "--input-size", "32", "--out", out
    )
    assert code == 0
    assert said.splitlines()[-1].startswith("random-emotion-va-frame@1#")
    spec, head = spec_in(out), spec_in(out, "head", HeadSpec)
    assert spec.name == head.name == "random-emotion-va-frame"
    assert spec.provenance.notes.startswith("RANDOM WEIGHTS, for measuring speed alone")
    assert head.provenance is not None
    assert head.provenance.notes.startswith("RANDOM WEIGHTS")
    assert "RANDOM WEIGHTS" in (out / "card.md").read_text()
    code, said, _ = engines("compare", out, f"{out}@fp32", "--crops", crops)
    assert code == 1
    assert "these weights are not trained" in said
    code, _, err = engines("export", "--random-weights", "resnet51", "--out", out)
    assert (code, "no backbone is called 'resnet51'" in err) == (2, True)


def test_a_file_of_weights_needs_to_say_what_its_classes_are(engines: Command, tmp_path: Path) -> None:
    backbone, path, out = toys.trained("backbone").backbone, tmp_path / "rafdb.pt", tmp_path / "out"
    order = ("Surprise", "Fear", "Disgust", "Happy", "Sad", "Angry", "Neutral")
    rows = [["Neutral", "Angry", "Disgust", "Fear", "Happy", "Sad", "Surprise"].index(name) for name in order]
    layer = {"fc.weight": backbone.classifier.weight[rows], "fc.bias": backbone.classifier.bias[rows]}
    torch.save({**backbone.trunk.state_dict(), **layer}, path)
    told = ("export", "--weights", path, "--backbone", "small", "--input-size", "32", "--out", out)
    code, _, err = engines(*told)
    assert (code, "--class-order" in err) == (2, True)
    code, _, err = engines(*told, "--class-order", "Happy,Sad")
    assert (code, "must name" in err) == (2, True)
    code, _, err = engines(*told, "--class-order", ",".join(order), "--trained-on", "RAF-DB", "--name", "raf")
    assert code == 0, err
    spec = spec_in(out)
    assert (spec.name, spec.provenance.trained_on) == ("raf", "RAF-DB")
    right = toys.write_run(tmp_path / "run", "backbone")
    np.save(tmp_path / "c.npy", toys.pictures(40, 43)[0])
    assert engines("compare", right, out, "--crops", tmp_path / "c.npy")[0] == 0  # the rows came into our order
    torch.save(backbone.trunk.state_dict(), path)
    code, _, err = engines(*told, "--class-order", ",".join(order))
    assert (code, "the file has none" in err) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "name one of: a training folder"),
        (("run", "--random-weights", "4"), "name one of"),
        (("--random-weights", "4", "--calibrate"), "needs a training folder"),
        (("nowhere",), "is no training folder"),
        (("--random-weights", "small", "--input-size", "8"), "at least 16"),
        (("--random-weights", "small", "--name", "a b"), "cannot be part of a model's id"),
        (("--random-weights", "small", "--backbone", "small"), "leave out --backbone"),
    ],
)
def test_what_cannot_be_meant_is_wrong_use(
    arguments: tuple[str, ...], said: str, engines: Command, tmp_path: Path
) -> None:
    code, _, err = engines("export", *arguments, "--out", tmp_path / "out")
    assert code == 2
    assert said in err
    assert not (tmp_path / "out").exists()


def test_quantize_refuses_with_its_figures_and_exit_code_one(
    engines: Command, exports: Exports, crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(exports("image"), folder)
    slower = Speed("int8", "bf16", 0.8, 80, 100, 1, "a CPU")
    monkeypatch.setattr(quantizing, "time_in_pairs", lambda *_, **__: slower)
    code, said, err = engines("quantize", folder, "--crops", crops)
    assert code == 1
    assert "0.80 times the speed of bf16 (80 and 100 pictures/s" in said
    assert "in int8 was refused: it is slower than bf16" in err
    code, said, _ = engines("quantize", folder, "--crops", crops, "--keep-anyway", "--json")
    assert code == 0
    assert json.loads(said)["refusals"]
    code, said, _ = engines("compare", f"{folder}@fp32", f"{folder}@int8", "--crops", crops, "--json")
    assert code == 0
    assert json.loads(said)[0]["precision"] == "int8"


def test_crops_may_be_pictures_in_folders(engines: Command, exports: Exports, tmp_path: Path) -> None:
    (tmp_path / "faces" / "deep").mkdir(parents=True)
    for i, picture in enumerate(toys.pictures(24, 44)[0]):
        cv2.imwrite(str(tmp_path / "faces" / "deep" / f"{i}.png"), picture[..., ::-1])
    code, said, _ = engines("compare", exports("backbone"), exports("backbone"), "--crops", tmp_path / "faces")
    assert code == 0
    assert "24 crops" in said
