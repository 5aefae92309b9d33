"""Settings of a run: every file in configs/training means something, and nothing meaningless is taken."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from engines.errors import WrongUse
from engines.models import paper_model
from engines.training.config import TrainConfig, read_train_config
from engines.zoo.paper import PAPER_MODELS

FOLDER = Path(__file__).parents[3] / "configs" / "training"
FILES = sorted(FOLDER.glob("*.yaml"))
MINIMAL = """
name: run
model: {name: m, backbone: {name: small, input_size_px: 48}}
data: {train: [{kind: synthetic}], validation: [{kind: synthetic, split: validation}]}
"""


def read(folder: Path, text: str, *overrides: str) -> TrainConfig:
    path = folder / "run.yaml"
    path.write_text(text)
    return read_train_config(path, overrides)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_describes_a_run(path: Path) -> None:
    assert read_train_config(path).name == path.stem


def test_the_zoo_names_files_that_are_there() -> None:
    for spec in PAPER_MODELS:
        assert f"configs/training/{spec.name}.yaml" in spec.provenance.notes
        assert FOLDER / f"{spec.name}.yaml" in FILES


@pytest.mark.parametrize("number", range(1, 7))
@pytest.mark.parametrize("flavour", ["paper_code", "paper_text"])
def test_the_papers_models_are_theirs_in_both_flavours(number: int, flavour: str) -> None:
    one = read_train_config(FOLDER / f"paper-{number}.yaml", [f"model.flavour={flavour}"])
    assert one.model == paper_model(number, "paper_text" if flavour == "paper_text" else "paper_code")
    assert one.optimiser.learning_rate == 1e-4
    assert one.loss_weights == (1.0, 0.4, 0.4, 0.2)
    assert one.balance
    wanted = "both" if number % 2 == 0 else "expression"
    assert {held.annotations for held in (*one.data.train, *one.data.validation)} == {wanted}


def test_the_backbone_learns_from_affectnet_then_rafdb_then_is_the_papers() -> None:
    first = read_train_config(FOLDER / "backbone-affectnet.yaml")
    second = read_train_config(FOLDER / "backbone-rafdb.yaml")
    assert first.model.backbone.weights is not None
    assert second.start_from == "runs/backbone-affectnet"
    assert read_train_config(FOLDER / "paper-4.yaml").start_from == "runs/backbone-rafdb"
    assert {one.data.train[0].kind for one in (first, second)} == {"affectnet", "raf-db"}


def test_overrides_reach_into_maps_and_lists(tmp_path: Path) -> None:
    one = read(
        tmp_path,
        MINIMAL,
        "optimiser.learning_rate=1e-3",
        "model.stat=probs",
        "data.train.0.synthetic.seed=4",
        "patience=null",
        "model.lstm={form: recurrent, units: 8}",
    )
    assert one.optimiser.learning_rate == 0.001
    assert one.model.stat == "probs"
    assert one.model.lstm is not None
    assert one.data.train[0].synthetic is not None
    assert one.data.train[0].synthetic.seed == 4


def test_changes_of_a_paper_model_keep_the_rest_of_it(tmp_path: Path) -> None:
    text = MINIMAL.replace("{name: m, ", "{paper: 6, window: 32, lstm: {units: 64}, ")
    one = read(tmp_path, text).model
    assert (one.number, one.window, one.stat) == (6, 32, "probs")
    assert one.lstm is not None
    assert (one.lstm.form, one.lstm.units) == ("windowed", 64)
    assert (one.backbone.name, one.backbone.freeze) == ("small", "paper_code")


def test_settings_survive_json(tmp_path: Path) -> None:
    one = read(tmp_path, MINIMAL)
    assert msgspec.json.decode(msgspec.json.encode(one), type=TrainConfig) == one


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("epoch=3", "epoch"),
        ("model.units=3", "units"),
        ("model.paper=7", "paper has no model"),
        ("data.train.0.colour=red", "colour"),
        ("data.validation=[]", "at least one set"),
        ("epochs=0", "epochs"),
        ("batch_size=10", "equal pieces"),
        ("optimiser.name=lamb", "lamb"),
        ("optimiser.learning_rate=0", "learning_rate"),
        ("precision=fp8", "fp8"),
        ("cached_features=true", r"freeze"),
        ("logit_adjustment=1.0", "choose one of the two"),
        ("data.train.5.path=x", "counts no item"),
        ("name.first=x", "nothing inside"),
        ("name", "key=value"),
        ("model={name: m, number: 1, class_order: [Happy]}", "class_order"),
    ],
)
def test_what_cannot_be_meant_is_wrong_use(override: str, says: str, tmp_path: Path) -> None:
    text = MINIMAL + "balance: true\naccumulate: 3\nbatch_size: 12\n"
    with pytest.raises(WrongUse, match=says):
        read(tmp_path, text, override)


def test_files_that_are_none_are_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="cannot be read"):
        read_train_config(tmp_path / "none.yaml")
    for text in ("[1, 2", "- a\n- b", "\x00"):
        with pytest.raises(WrongUse, match=r"is not YAML|must be a map"):
            read(tmp_path, text)
