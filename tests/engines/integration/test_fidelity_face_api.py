"""The comparison on a real network and real faces: mistakes fail at every precision's limits, bf16 passes its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from engines.data.frames import UInt8Array
from engines.runtime import open_runner
from engines.shipping.comparison import compare_sides
from engines.shipping.crops import read_crops
from engines.shipping.fidelity import LIMITS, compare
from engines.shipping.sides import EngineSide, Side, Temperatures, open_side
from engines.spec import Normalisation
from engines.zoo import LoadedModel, load
from engines.zoo.convert import face_api
from engines.zoo.sample import fetch_sample
from tests.engines.shipping.shifted import Shifted
from tests.unit.engines.zoo.networks import face_api_files, face_api_weights

pytestmark = [pytest.mark.models, pytest.mark.usefixtures("models")]


@pytest.fixture(scope="module")
def crops() -> UInt8Array:
    crop = load("face-api").spec.crop
    assert crop is not None
    return read_crops(fetch_sample(), crop, limit=60)


@pytest.fixture(scope="module")
def reference() -> Iterator[EngineSide]:
    with open_side("face-api@fp32") as side:
        assert isinstance(side, EngineSide)
        yield side


def mistaken(mistake: str, reference: EngineSide, cache: Path) -> Side:
    model = load("face-api")
    spec = model.spec
    runner = open_runner(model, precision="fp32")
    if mistake == "shifted":
        return EngineSide("shifted", spec, Shifted(runner, 2), None)
    if mistake == "colours":
        told = spec.normalisation
        turned = Normalisation(colour="bgr", layout=told.layout, mean=told.mean, std=told.std)
        return EngineSide("colours", msgspec.structs.replace(spec, normalisation=turned), runner, None)
    other = cache / "other.onnx"
    other.write_bytes(face_api.convert(face_api_files(face_api_weights(seed=3))[0]))
    return EngineSide("weights", spec, open_runner(LoadedModel(spec, other), precision="fp32", cache=cache), None)


@pytest.mark.parametrize("mistake", ["colours", "shifted", "weights"])
def test_a_mistake_fails_at_every_precision(
    mistake: str, reference: EngineSide, crops: UInt8Array, tmp_path: Path
) -> None:
    side = mistaken(mistake, reference, tmp_path)
    at = Temperatures(reference.spec.calibration.temperature)
    right, wrong = reference.answers(crops, at), side.answers(crops, at)
    for precision, limits in LIMITS.items():
        assert compare(right, right, limits).good, precision
        assert not compare(right, wrong, limits).good, precision
    side.close()


def test_what_the_cpu_is_best_at_passes(reference: EngineSide, crops: UInt8Array) -> None:
    with open_side("face-api@auto") as side:
        (found,) = compare_sides(reference, [side], crops)
    assert found.fidelity.good, found.fidelity.failures
    assert found.precision == side.precision
    assert len(np.unique(crops.reshape(len(crops), -1), axis=0)) > 30
