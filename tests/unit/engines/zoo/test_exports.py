"""A folder that `engines export` wrote is checked like everything else in the zoo. Made here without torch."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from engines import zoo
from engines.errors import ModelUnavailable, UnknownModel, WrongUse, WrongWeights
from engines.spec import EXPRESSIONS, CropGeometry, ModelSpec, Normalisation, Provenance, TensorSpec
from engines.zoo.cache import sha256_of_bytes
from engines.zoo.convert.graph import GraphWriter
from engines.zoo.exports import WEIGHTS_KEY
from engines.zoo.paper import ROWS
from tests.heads import write_test_head

SIDE, D = 16, 5


def network(seed: int = 1) -> bytes:
    """A convolution to D channels, their means as features, a dense layer to seven logits."""
    random = np.random.default_rng(seed)
    graph = GraphWriter()
    kernel = random.standard_normal((D, 3, 3, 3)).astype(np.float32)
    active = graph.node("Relu", [graph.conv("image", "seen", kernel)], "active")
    graph.node("Flatten", [graph.node("GlobalAveragePool", [active], "pooled")], "features", axis=1)
    matrix = graph.weight("matrix", random.standard_normal((D, 7)).astype(np.float32))
    graph.node("MatMul", ["features", matrix], "logits")
    return graph.bytes_of("made_up", ["batch", 3, SIDE, SIDE], {"features": ["batch", D], "logits": ["batch", 7]})


def spec(content: bytes, **changes: Any) -> ModelSpec:
    made = ModelSpec(
        name="mine",
        version="3",
        role="expression",
        inputs=(TensorSpec(name="image", shape=(-1, SIDE, SIDE, 3), dtype="uint8"),),
        outputs=(TensorSpec(name="features", shape=(-1, D)), TensorSpec(name="logits", shape=(-1, 7))),
        sha256=sha256_of_bytes(content),
        normalisation=Normalisation(colour="rgb", layout="nchw", mean=(0, 0, 0), std=(1, 1, 1)),
        provenance=Provenance(licence="CC0", origin="here", trained_on="nothing"),
        crop=CropGeometry(kind="box", width=SIDE, height=SIDE),
        class_order=EXPRESSIONS,
        n_features=D,
        batch_invariant=True,
    )
    return msgspec.structs.replace(made, **changes)


def write(folder: Path, **changes: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    content = network()
    (folder / "backbone.onnx").write_bytes(content)
    (folder / "backbone.json").write_bytes(msgspec.json.encode(spec(content, **changes)))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "mine")


def quantised(folder: Path) -> Path:
    """The files that `engines quantize` adds, with made-up content: only their hashes are looked at."""
    weights = b"the weights"
    (folder / "backbone-int8.bin").write_bytes(weights)
    xml = f'<net><rt_info><{WEIGHTS_KEY} value="{sha256_of_bytes(weights)}" /></rt_info></net>'.encode()
    (folder / "backbone-int8.xml").write_bytes(xml)
    (folder / "backbone-int8.json").write_bytes(msgspec.json.encode(spec(xml)))
    return folder


def test_a_folder_is_a_model_by_its_path(folder: Path) -> None:
    loaded = zoo.load(str(folder), role="expression")
    assert loaded == zoo.load_export(folder)
    assert loaded.path == folder / "backbone.onnx"
    assert loaded.spec.model_id == f"mine@3#{loaded.spec.sha256[:8]}"
    assert zoo.spec_of(str(folder)) == loaded.spec
    found = zoo.verify(str(folder))
    assert (found.state, found.path, found.sha256) == ("good", loaded.path, loaded.spec.sha256)


def test_a_folder_here_needs_no_slash_and_never_hides_a_model_of_the_zoo(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    assert zoo.is_export("mine")
    assert zoo.spec_of("mine").name == "mine"
    write(folder.parent / "fer")
    assert not zoo.is_export("fer")
    assert zoo.spec_of("fer").provenance.licence == "MIT"
    assert not zoo.is_export("nothing-like-it")


def test_another_network_than_the_specs_is_refused(folder: Path) -> None:
    (folder / "backbone.onnx").write_bytes(network(seed=2))
    with pytest.raises(WrongWeights, match=r"backbone\.onnx was refused: its sha256 is .* export the model again"):
        zoo.load(str(folder))
    found = zoo.verify(str(folder))
    assert found.state == "wrong"
    assert "refused" in found.text
    assert zoo.spec_of(str(folder)).name == "mine"  # no weights are read for it


def test_what_is_missing_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"there is no folder .*nowhere"):
        zoo.load(str(tmp_path / "nowhere"))
    with pytest.raises(ModelUnavailable, match=r"backbone\.json cannot be read"):
        zoo.load(str(tmp_path))
    with pytest.raises(ModelUnavailable, match="is a file; name the folder"):
        zoo.load(str(folder / "backbone.onnx"))
    (folder / "backbone.onnx").unlink()
    with pytest.raises(ModelUnavailable, match=r"backbone\.onnx cannot be read"):
        zoo.load(str(folder))
    with pytest.raises(UnknownModel, match="named by the folder"):
        zoo.load("no-such-model")


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe", b'{"name": 3}', b"[]"])
def test_a_spec_that_is_none_is_refused(content: bytes, folder: Path) -> None:
    (folder / "backbone.json").write_bytes(content)
    with pytest.raises(ModelUnavailable, match="describes no model"):
        zoo.spec_of(str(folder))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"crop": None}, "crop"),
        ({"n_features": 9}, "features"),
        ({"class_order": EXPRESSIONS[:6]}, "logits"),
        ({"outputs": (TensorSpec(name="logits", shape=(-1, 7)),)}, "features"),
    ],
)
def test_a_spec_at_odds_with_itself_is_refused(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "odd", **changes)
    with pytest.raises(ModelUnavailable, match=rf"describes no expression model \({said}"):
        zoo.load(str(folder))


def test_a_model_of_another_role_is_wrong_use(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match=r"role 'expression' and one of the role 'detector' is wanted.*centerface"):
        zoo.load(str(folder), role="detector")
    with pytest.raises(WrongUse, match=r"centerface is a model of the role 'detector'.*face-api"):
        zoo.spec_of("centerface", role="expression")


def test_int8_is_there_once_it_was_quantised(folder: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"has no int8 network; make one with `engines quantize"):
        zoo.load(str(folder), precision="int8")
    quantised(folder)
    assert zoo.load(str(folder), precision="int8").path == folder / "backbone-int8.xml"
    assert zoo.load(str(folder), precision="bf16").path == folder / "backbone.onnx"


def test_a_damaged_int8_network_is_refused_in_either_half(folder: Path) -> None:
    quantised(folder)
    weights = folder / "backbone-int8.bin"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + b"!")
    with pytest.raises(WrongWeights, match=r"backbone-int8\.bin was refused: it is not the one backbone-int8\.xml"):
        zoo.load(str(folder), precision="int8")
    weights.unlink()
    with pytest.raises(ModelUnavailable, match="quantise the model again"):
        zoo.load(str(folder), precision="int8")
    weights.write_bytes(whole)
    network = folder / "backbone-int8.xml"
    network.write_bytes(network.read_bytes() + b"\n")
    with pytest.raises(WrongWeights, match=r"backbone-int8\.xml was refused"):
        zoo.load(str(folder), precision="int8")


def test_metadata_that_the_engine_repeats_is_not_taken_for_the_weights_digest(folder: Path) -> None:
    """OpenVINO copies an ONNX file's own `weights_sha256` into the .xml, in front of ours."""
    quantised(folder)
    network = folder / "backbone-int8.xml"
    text = network.read_text().replace("<rt_info>", f'<rt_info><weights_sha256 value="{"0" * 64}" />')
    network.write_text(text)
    (folder / "backbone-int8.json").write_bytes(msgspec.json.encode(spec(text.encode())))
    assert zoo.load(str(folder), precision="int8").path == network


def test_the_head_beside_it_is_found_and_must_fit(folder: Path, tmp_path: Path) -> None:
    assert zoo.exported_head(str(folder)) is None
    described = write_test_head(folder, n_features=D)
    assert zoo.exported_head(str(folder)) == folder / "head.json"
    head = tmp_path / "other"
    head.mkdir()
    fitting, _ = zoo.load_head(described)
    zoo.check_fit(fitting, zoo.spec_of(str(folder)))
    other, _ = zoo.load_head(write_test_head(head, n_features=D + 1))
    with pytest.raises(WrongUse, match=f"reads {D + 1} features and mine@3#.* gives {D}"):
        zoo.check_fit(other, zoo.spec_of(str(folder)))

    zoo.check_fit(msgspec.structs.replace(fitting, n_features=0), zoo.spec_of(str(folder)))
    assert zoo.exported_head("face-api") is None


def test_a_copied_folder_is_the_same_model(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    assert zoo.load(str(tmp_path / "copy")).spec == zoo.load(str(folder)).spec


def test_the_six_models_of_the_paper_are_listed_and_refused_with_how_to_train_them() -> None:
    listed = {one.spec.name: one for one in zoo.list_models()}
    assert len(ROWS) == 6
    for row in ROWS:
        assert listed[f"paper-{row.number}"].path is None
        for name in (f"paper-{row.number}", row.name):
            with pytest.raises(ModelUnavailable) as raised:
                zoo.load(name)
            said = str(raised.value)
            assert f"model {row.number} of the paper ({row.title})" in said
            assert f"engines train configs/training/paper-{row.number}.yaml --out RUN" in said
            assert "engines export RUN" in said
            with pytest.raises(ModelUnavailable):
                zoo.pull(name)
            with pytest.raises(ModelUnavailable):
                zoo.verify(name)
    assert {row.name for row in ROWS} >= {"emotion-image", "emotion-va-frame", "emotion-va-frame-lstm"}


def test_the_recipe_that_the_refusal_names_is_there() -> None:
    root = Path(__file__).parents[4]
    for row in ROWS:
        assert (root / "configs" / "training" / f"paper-{row.number}.yaml").is_file()
