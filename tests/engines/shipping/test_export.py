"""What an export leaves behind: networks that answer as torch does, specs that say so, and nothing when they do not."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
import torch

from engines.errors import EngineError, WrongUse
from engines.models import sha256_of_weights
from engines.runtime import open_head, open_runner
from engines.runtime.offline import Sequence, run_head
from engines.shipping import export as exporting
from engines.shipping.export import aligned_crop, box_crop, export_model
from engines.spec import EXPRESSIONS, N_PROBS, Calibration
from engines.training.features import network_input
from engines.zoo import check_fit, exported_head, load_export, load_head
from engines.zoo.catalogue import FACE_TEMPLATE
from tests.engines import toys
from tests.engines.exports import TEMPERATURE, Exports, about, written_once

KINDS = ("image", "windowed", "recurrent")


def shapes(path: Path) -> dict[str, list[str | int]]:
    graph = onnx.load(path).graph
    return {
        entry.name: [axis.dim_param or axis.dim_value for axis in entry.type.tensor_type.shape.dim]
        for entry in (*graph.input, *graph.output)
    }


def told_by(path: Path) -> dict[str, str]:
    return {entry.key: entry.value for entry in onnx.load(path).metadata_props}


def test_a_pictures_own_classifier_has_no_head(exports: Exports) -> None:
    folder = exports("backbone")
    assert sorted(path.name for path in folder.iterdir()) == ["backbone.json", "backbone.onnx", "card.md"]
    model = load_export(folder)
    assert exported_head(str(folder)) is None
    assert model.spec.class_order == EXPRESSIONS
    assert model.spec.calibration.temperature == TEMPERATURE
    assert model.spec.model_id.startswith("toy-backbone@2#")
    assert shapes(model.path) == {
        "image": ["batch", 3, 32, 32],
        "features": ["batch", 128],
        "logits": ["batch", N_PROBS],
    }


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_is_shipped_as_backbone_and_head(kind: str, exports: Exports) -> None:
    folder = exports(kind)
    described = exported_head(str(folder))
    assert described is not None
    head, path = load_head(described)
    backbone = load_export(folder).spec
    check_fit(head, backbone)
    assert backbone.calibration.temperature == 1.0  # the head was trained on the network's own probabilities
    assert head.window == (1 if kind == "image" else 6)
    assert (head.stat, head.windowed, head.hidden) == {
        "image": ("none", False, 0),
        "windowed": ("probs", True, 0),
        "recurrent": ("min_max_mean", False, 16),
    }[kind]
    assert head.valence_arousal_trained_on == "toy annotations"
    seen = shapes(path)
    assert {axes[0] for axes in seen.values()} == {"batch"}
    assert {"features", "probs", "probs_out", "valence", "arousal"} <= set(seen)
    assert ({"h", "c", "h_out", "c_out"} <= set(seen)) == (kind == "recurrent")
    assert ("block" in seen) == (kind == "windowed")


def test_a_stray_file_says_what_it_is(exports: Exports) -> None:
    folder, model = exports("windowed"), toys.trained("windowed")
    for part, module in (("backbone", model.backbone), ("head", model.head)):
        told = told_by(folder / f"{part}.onnx")
        assert told["class_order"] == ",".join(EXPRESSIONS)
        assert told["weights_sha256"] == sha256_of_weights(module)
        assert told["licence"] == "CC0"
        assert told["trained_on"] == "toy pictures"
        assert told["model"] == "toy-windowed@2"
    assert told_by(folder / "head.onnx")["temperature"] == str(TEMPERATURE)
    assert told_by(folder / "backbone.onnx")["temperature"] == "1.0"


def test_the_card_says_terms_figures_and_limits(exports: Exports) -> None:
    card = (exports("recurrent") / "card.md").read_text(encoding="utf-8")
    for words in ("toy-recurrent@2#", "| licence | CC0 |", "toy pictures", "| accuracy | 0.97 |", "toy annotations"):
        assert words in card
    assert "## What it is not for" in card
    assert "None are known" not in card


def test_the_same_weights_give_the_same_bytes(exports: Exports, tmp_path: Path) -> None:
    model, folder = toys.trained("windowed"), exports("windowed")
    told = msgspec.json.decode((folder / "head.json").read_bytes())
    assert told["name"] == "toy-windowed"
    again = tmp_path / "again"
    calibration = Calibration(temperature=TEMPERATURE, fitted="by hand")
    export_model(model.backbone, model.head, again, about("toy-windowed"), crop=box_crop(32), calibration=calibration)
    for path in folder.iterdir():
        assert (again / path.name).read_bytes() == path.read_bytes(), path.name


def test_it_answers_as_torch_does_on_faces_it_was_not_proved_with(exports: Exports, tmp_path: Path) -> None:
    model = load_export(exports("backbone"))
    crops, truth = toys.pictures(40, 77)
    backbone = toys.trained("backbone").backbone
    runner = open_runner(model, precision="fp32", cache=tmp_path)
    answered = runner.infer({"image": crops})
    with torch.no_grad():
        wanted = backbone(network_input(torch.from_numpy(crops), backbone))
    assert np.abs(answered["features"] - wanted.features.numpy()).max() < 1e-4
    assert np.abs(answered["logits"] - wanted.logits.numpy()).max() < 1e-4
    assert (answered["logits"].argmax(1) == truth).mean() > 0.95
    runner.close()


@pytest.mark.parametrize("kind", KINDS)
def test_the_temperature_is_in_the_heads_answer_and_nowhere_else(kind: str, exports: Exports, tmp_path: Path) -> None:
    spec, path = load_head(exports(kind) / "head.json")
    head = toys.trained(kind).head
    random = np.random.default_rng(5)
    features = random.normal(size=(13, 128)).astype(np.float32)
    probs = random.dirichlet(np.ones(7), 13).astype(np.float32)
    runner = open_head(path, spec, precision="fp32", cache=tmp_path)
    answered = run_head(runner, spec, Sequence(features, probs))
    with torch.no_grad():
        whole = head.forward_sequence(torch.from_numpy(features)[None], torch.from_numpy(probs)[None])
    assert whole.valence is not None
    tempered = (whole.logits[0] / TEMPERATURE).softmax(-1).numpy()
    assert np.abs(answered["probs"] - tempered).max() < 1e-5
    assert np.abs(answered["probs"] - whole.probs[0].numpy()).max() > 1e-2
    assert np.abs(answered["valence"] - whole.valence[0].numpy()).max() < 1e-5
    runner.close()


def test_a_network_that_does_not_survive_is_refused_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    right, other = toys.trained("backbone").backbone, toys.trained("backbone", 2).backbone
    monkeypatch.setattr(exporting, "backbone_onnx", lambda backbone, metadata: written_once(right, metadata))
    with pytest.raises(EngineError, match=r"backbone.onnx was refused: its `features` differs from torch's by"):
        export_model(other, None, tmp_path / "out", about("t"), crop=box_crop(32))
    assert list(tmp_path.iterdir()) == []


def test_a_head_that_does_not_survive_leaves_the_earlier_export_whole(
    monkeypatch: pytest.MonkeyPatch, exports: Exports, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(exports("image"), folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    model = toys.trained("image")
    monkeypatch.setattr(exporting, "backbone_onnx", written_once)
    monkeypatch.setattr(
        exporting, "head_onnx", lambda head, metadata, temperature: (folder / "head.onnx").read_bytes()
    )  # that of another temperature
    with pytest.raises(EngineError, match=r"head.onnx was refused: its `probs`"):
        export_model(model.backbone, model.head, folder, about("t"), crop=box_crop(32))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_new_export_takes_the_place_of_the_old_with_its_int8_and_plans(
    monkeypatch: pytest.MonkeyPatch, exports: Exports, tmp_path: Path
) -> None:
    monkeypatch.setattr(exporting, "backbone_onnx", written_once)
    folder = tmp_path / "model"
    shutil.copytree(exports("image"), folder)
    for kind in ("xml", "bin", "json"):
        (folder / f"backbone-int8.{kind}").write_text("of the old weights")
    (folder / "plans").mkdir()
    (folder / "plans" / "backbone-fp16.plan").write_text("of the old weights")
    export_model(toys.trained("backbone").backbone, None, folder, about("t"), crop=box_crop(32))
    assert sorted(path.name for path in folder.iterdir()) == ["backbone.json", "backbone.onnx", "card.md"]


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    backbone = toys.trained("backbone").backbone
    with pytest.raises(WrongUse, match=r"thesis.tex"):
        export_model(backbone, None, tmp_path, about("t"), crop=box_crop(32))
    with pytest.raises(WrongUse, match="is a file"):
        export_model(backbone, None, tmp_path / "thesis.tex", about("t"), crop=box_crop(32))
    with pytest.raises(WrongUse, match="32 px and the crop is 48x48"):
        export_model(backbone, None, tmp_path / "new", about("t"), crop=box_crop(48))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_aligned_crops_scale_the_usual_template() -> None:
    assert aligned_crop(112).template == FACE_TEMPLATE
    assert aligned_crop(224).template[0] == (2 * FACE_TEMPLATE[0][0], 2 * FACE_TEMPLATE[0][1])
    assert box_crop(224, 0.2).margin == 0.2
