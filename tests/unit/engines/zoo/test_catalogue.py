import re

import msgspec
import pytest

from engines.spec import EXPRESSIONS, ModelSpec
from engines.zoo.catalogue import ENTRIES
from engines.zoo.entries import Entry


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.spec.name)
def test_every_entry_is_complete(entry: Entry) -> None:
    spec = entry.spec
    assert spec.sha256 == entry.artefacts[0].sha256
    assert all(re.fullmatch("[0-9a-f]{64}", artefact.sha256) for artefact in entry.artefacts)
    assert spec.provenance.licence
    assert spec.provenance.trained_on
    assert spec.provenance.notes
    assert entry.alternative
    assert 1 in spec.prepared_batches
    assert spec.inputs[0].name == "image"
    assert spec.inputs[0].shape[-1] == len(spec.normalisation.mean) == len(spec.normalisation.std) == 3
    assert msgspec.json.decode(msgspec.json.encode(spec), type=ModelSpec) == spec


@pytest.mark.parametrize("entry", [e for e in ENTRIES if e.spec.role == "expression"], ids=lambda e: e.spec.name)
def test_expression_models_name_their_classes_and_crops(entry: Entry) -> None:
    spec = entry.spec
    outputs = {output.name: output.shape for output in spec.outputs}
    assert outputs["logits"] == (-1, len(spec.class_order))
    assert outputs["features"] == (-1, spec.n_features)
    assert set(EXPRESSIONS) <= set(spec.class_order) <= {*EXPRESSIONS, "Contempt"}
    assert len(set(spec.class_order)) == len(spec.class_order)
    assert ("valence" in outputs) == (spec.valence_arousal_trained_on is not None)
    assert spec.crop is not None
    assert spec.inputs[0].shape == (-1, spec.crop.height, spec.crop.width, 3)
    assert len(spec.crop.template) == (5 if spec.crop.kind == "five_point" else 0)
    assert (spec.calibration.temperature == 1.0) == (spec.calibration.fitted == "not fitted")
