from pathlib import Path

import msgspec
import pytest
import torch

from engines.errors import WrongUse
from engines.models import (
    AffectHead,
    LstmConfig,
    ModelConfig,
    average_outputs,
    head_spec_of,
    load_model_config,
    paper_model,
)
from engines.models.head import HeadOutput
from engines.zoo.paper import ROWS, Row

D = 2048


def test_the_submitted_models_have_the_widths_of_the_authors_code() -> None:
    assert AffectHead(paper_model(4), D).fused_size == 2076
    assert AffectHead(paper_model(6), D).fused_size == 4124


def test_the_text_reads_statistics_of_the_features_too() -> None:
    config = paper_model(4, "paper_text")
    assert config.stat == "min_max_mean"
    assert AffectHead(config, 32).fused_size == 32 + 7 + 3 * (32 + 7)
    assert config.backbone.freeze == "paper_text"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_row_of_the_first_table_is_there_by_number_and_by_name(row: Row) -> None:
    by_number = paper_model(row.number)
    assert by_number == paper_model(row.name)
    head = AffectHead(by_number, 16)
    assert (head.valence is not None) == (by_number.number % 2 == 0)
    assert ("stat" in head.inputs) == (by_number.number >= 3)
    assert ("block" in head.inputs) == (by_number.number >= 5)


def test_heads_are_two_dense_layers_of_1024() -> None:
    head = AffectHead(paper_model(2), 16)
    sizes = [part.out_features for part in head.expression if isinstance(part, torch.nn.Linear)]
    assert sizes == [1024, 1024, 7]
    assert head.five is not None
    assert head.five[-1].out_features == 5


def test_regressions_stay_within_one() -> None:
    head = AffectHead(paper_model(2, head_units=8), 4).eval()
    out = head(torch.randn(9, 4) * 1e3, torch.full((9, 7), 1 / 7))
    for values in (out.valence, out.arousal, out.five):
        assert values.abs().max() <= 1


def test_fusion_is_the_average_of_what_models_answer() -> None:
    a = HeadOutput(torch.tensor([[2.0, 0, 0, 0, 0, 0, 0]]), torch.tensor([0.5]), torch.tensor([0.0]))
    b = HeadOutput(torch.tensor([[0.0, 2, 0, 0, 0, 0, 0]]))
    both = average_outputs([a, b])
    assert torch.allclose(both.probs, (a.probs + b.probs) / 2)
    assert both.valence is not None
    assert both.valence.item() == 0.5


def test_the_description_of_a_head_says_what_it_reads() -> None:
    config = paper_model(6, lstm=LstmConfig(form="recurrent", units=24), window=8)
    spec = head_spec_of(AffectHead(config, 16), version="1", sha256="0" * 64)
    assert (spec.stat, spec.window, spec.hidden, spec.windowed, spec.n_features) == ("probs", 8, 24, False, 16)


@pytest.mark.parametrize("wanted", [0, 7, "emotion", "model 4"])
def test_a_model_the_paper_has_not_is_wrong_use(wanted: int | str) -> None:
    with pytest.raises(WrongUse, match="the paper has no model"):
        paper_model(wanted)


def test_a_change_that_is_no_field_is_wrong_use() -> None:
    with pytest.raises(WrongUse, match="cannot be changed"):
        paper_model(4, units=3)


def test_a_model_is_read_from_yaml_and_unknown_keys_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.yaml"
    path.write_text("name: own\nstat: probs\nlstm: {form: windowed, layers: 2, units: 8}\n")
    assert load_model_config(path) == ModelConfig(
        name="own", stat="probs", lstm=LstmConfig(form="windowed", layers=2, units=8)
    )
    path.write_text("name: own\nstats: probs\n")
    with pytest.raises(WrongUse, match="stats"):
        load_model_config(path)
    with pytest.raises(WrongUse, match="cannot be read"):
        load_model_config(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    "text", ["lstm: {form: recurrent, layers: 2}", "window: 0", "dropout: 1.0", "backbone: {input_size_px: 3}"]
)
def test_values_that_cannot_be_meant_are_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "model.yaml"
    path.write_text(f"name: own\n{text}\n")
    with pytest.raises(WrongUse, match="describes no model"):
        load_model_config(path)


def test_configurations_survive_json() -> None:
    config = paper_model(6)
    assert msgspec.json.decode(msgspec.json.encode(config), type=ModelConfig) == config
