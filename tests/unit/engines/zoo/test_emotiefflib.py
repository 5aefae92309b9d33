"""EmotiEffLib's multi-task net, by a stand-in of its interface: from the published file to an observation's values."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from engines import zoo
from engines.errors import WrongWeights
from engines.runtime import open_runner
from engines.spec import EXPRESSIONS
from engines.zoo import store
from engines.zoo.cache import sha256_of_bytes
from engines.zoo.catalogue import ENET_B0_8_VA_MTL, ENTRIES
from engines.zoo.convert import emotiefflib
from engines.zoo.entries import Artefact
from streamer.faces.align import crop_transform
from streamer.faces.embed import Embedder
from streamer.state.va import origin
from tests.unit.engines.zoo.networks import answers, emotiefflib_network

THEIRS = ("Anger", "Contempt", "Disgust", "Fear", "Happiness", "Neutral", "Sadness", "Surprise")
"""Their own names, in the order of their columns."""
OURS = {"Anger": "Angry", "Happiness": "Happy", "Sadness": "Sad"}
D = 1280


def pulled(published: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> zoo.LoadedModel:
    """The model as the zoo gives it, had its published file been this one."""
    sha256 = sha256_of_bytes(published)
    entry = dataclasses.replace(
        ENET_B0_8_VA_MTL,
        spec=msgspec.structs.replace(ENET_B0_8_VA_MTL.spec, sha256=sha256),
        artefacts=(Artefact(emotiefflib.FILE, sha256),),
        sources=(),
    )
    others = tuple(one for one in ENTRIES if one.spec.name != entry.spec.name)
    monkeypatch.setattr(store, "ENTRIES", (*others, entry))
    folder = tmp_path / "published"
    folder.mkdir()
    (folder / emotiefflib.FILE).write_bytes(published)
    return zoo.load("enet_b0_8_va_mtl", cache=tmp_path / "cache", folder=folder, role="expression")


@pytest.fixture
def embedder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Embedder]:
    model = pulled(emotiefflib_network(11, n_features=D), tmp_path, monkeypatch)
    opened = Embedder(open_runner(model, precision="fp32", cache=tmp_path / "cache"), model.spec)
    yield opened
    opened.close()


def crops(n: int) -> np.ndarray:
    return np.random.default_rng(6).integers(0, 256, (n, 224, 224, 3)).astype(np.uint8)


def test_ten_outputs_become_seven_probabilities_and_two_values(embedder: Embedder) -> None:
    images = crops(3)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    normalised = ((images / 255.0 - mean) / std).astype(np.float32).transpose(0, 3, 1, 2)
    rows = answers(emotiefflib_network(11, n_features=D), np.ascontiguousarray(normalised))["output"]
    assert rows.shape == (3, 10)
    seen = embedder.embed(images)
    for row, embedding in zip(rows.astype(np.float64), seen.embeddings, strict=True):
        assert embedding is not None
        assert embedding.features.shape == (D,)
        powers = {OURS.get(name, name): float(np.exp(row[i])) for i, name in enumerate(THEIRS)}
        del powers["Contempt"]  # removed, and the rest renormalised
        wanted = np.array([powers[name] for name in EXPRESSIONS]) / sum(powers.values())
        assert np.abs(embedding.probs - wanted).max() < 1e-4
        assert embedding.probs.sum() == pytest.approx(1)
        assert embedding.valence == pytest.approx(np.clip(row[8], -1, 1), abs=1e-4)
        assert embedding.arousal == pytest.approx(np.clip(row[9], -1, 1), abs=1e-4)


def test_its_values_are_called_predicted_and_its_crop_is_the_box(embedder: Embedder) -> None:
    spec = embedder.spec
    assert origin(spec.valence_arousal_trained_on) == "predicted"
    assert spec.crop is not None
    assert (spec.crop.kind, spec.crop.width, spec.crop.height) == ("box", 224, 224)
    box = np.array([50, 20, 150, 140], np.float32)
    points = np.zeros((5, 2), np.float32)  # a box crop looks at no points
    map_to_crop = crop_transform(box, points, spec.crop)
    centre = map_to_crop @ np.array([100, 80, 1])
    top = map_to_crop @ np.array([100, 20, 1])
    assert centre == pytest.approx([112, 112])
    assert top == pytest.approx([112, 0])  # the longer side fills the crop


@pytest.mark.parametrize("n_out", [7, 8, 9, 11])
def test_any_other_number_of_outputs_is_refused(n_out: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WrongWeights, match="does not answer 8 expressions, valence and arousal"):
        pulled(emotiefflib_network(11, n_features=D, n_out=n_out), tmp_path, monkeypatch)
    assert zoo.verify("enet_b0_8_va_mtl", cache=tmp_path / "cache").state == "absent"


def test_a_net_of_other_features_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WrongWeights, match=r"answers `features` as \(-1, 12\) where \(-1, 1280\) was expected"):
        pulled(emotiefflib_network(11, n_features=12), tmp_path, monkeypatch)
