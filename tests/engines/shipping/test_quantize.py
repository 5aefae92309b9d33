"""int8 is written only when it is both faithful and quicker, or when told to, and then it says so."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engines.data.frames import UInt8Array
from engines.errors import WrongUse, WrongWeights
from engines.runtime import open_runner
from engines.runtime.invariance import random_pictures
from engines.shipping import quantize as quantizing
from engines.shipping.quantize import quantize_export
from engines.shipping.speed import Speed
from engines.zoo import LoadedModel, load_export
from tests.engines import toys
from tests.engines.exports import Exports


@pytest.fixture
def folder(exports: Exports, tmp_path: Path) -> Path:
    shutil.copytree(exports("backbone"), tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture(scope="module")
def crops() -> UInt8Array:
    return toys.pictures(120, 31)[0]


_MADE: dict[tuple[bytes, bool], Any] = {}


@pytest.fixture(autouse=True)
def _quantised_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same crops give the same network: NNCF takes seconds and is asked once for each."""
    made = quantizing._quantised

    def once(model: LoadedModel, crops_rgb: UInt8Array, *, fast: bool) -> Any:
        key = (hashlib.sha256(crops_rgb.tobytes()).digest(), fast)
        if key not in _MADE:
            _MADE[key] = made(model, crops_rgb, fast=fast)
        return _MADE[key]

    monkeypatch.setattr(quantizing, "_quantised", once)


def measured(ratio: float) -> Callable[..., Speed]:
    """No assertion rests on a clock: the speed is as given."""

    def fake(*_: object, **__: object) -> Speed:
        return Speed("int8", "bf16", ratio, 100 * ratio, 100, 1, "a CPU")

    return fake


def test_a_faithful_and_quicker_network_is_added(
    folder: Path, crops: UInt8Array, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantizing, "time_in_pairs", measured(1.6))
    done = quantize_export(folder, crops)
    assert done.refusals == ()
    assert done.written
    assert done.n_calibrated == 90
    assert done.fidelity.fidelity.n_crops == 30
    model = load_export(folder, precision="int8")
    assert model.path.name == "backbone-int8.xml"
    assert "1.60 times the speed of bf16" in model.spec.provenance.notes
    assert "REFUSED" not in model.spec.provenance.notes
    runner = open_runner(model, precision="int8", cache=tmp_path)
    assert runner.precision == "int8"
    held_out, truth = toys.pictures(100, 32)
    assert (runner.infer({"image": held_out})["logits"].argmax(1) == truth).mean() > 0.9
    assert load_export(folder).path.name == "backbone.onnx"
    json.dumps(done.plain(), allow_nan=False)


def test_a_slower_network_is_refused_and_the_folder_unchanged(
    folder: Path, crops: UInt8Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setattr(quantizing, "time_in_pairs", measured(0.97))
    done = quantize_export(folder, crops)
    assert done.refusals == ("it is slower than bf16 on this CPU: 0.97 times its speed",)
    assert not done.written
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_kept_anyway_it_says_so(folder: Path, crops: UInt8Array, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantizing, "time_in_pairs", measured(0.5))
    done = quantize_export(folder, crops, keep_anyway=True)
    assert done.written
    notes = load_export(folder, precision="int8").spec.provenance.notes
    assert notes.startswith("KEPT ALTHOUGH REFUSED: it is slower than bf16")


def test_calibrated_on_the_wrong_pictures_it_is_refused_after_both_corrections(
    folder: Path, crops: UInt8Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nearly black pictures to calibrate on make every activation of real ones overflow."""
    monkeypatch.setattr(quantizing, "time_in_pairs", measured(2.0))
    dark = np.where((np.arange(len(crops)) % 4 == 0)[:, None, None, None], crops, crops // 40 + 100)
    said: list[str] = []
    done = quantize_export(folder, dark, say=said.append)
    assert not done.written
    assert any("dB" in refusal for refusal in done.refusals)
    assert [line.split(", ")[-1] for line in said if "calibrating" in line] == [
        "fast bias correction",
        "full bias correction",
    ]
    kept = next(one for one in done.fidelity.fidelity.outputs if one.name == "features").snr_db
    assert kept is not None
    assert f"{kept:.1f} dB" in next(line for line in said if line.startswith(f"{done.correction} bias correction: "))
    assert not list(folder.glob("*int8*"))


def test_labels_may_change_by_no_more_than_the_drop(
    folder: Path, crops: UInt8Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantizing, "time_in_pairs", measured(2.0))
    done = quantize_export(folder, crops, drop=-0.01)  # not even all labels equal is enough
    assert [refusal for refusal in done.refusals if "clear labels change, more than -1.0%" in refusal]


def test_untrained_weights_cannot_be_judged(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantizing, "time_in_pairs", measured(2.0))
    alike = np.broadcast_to(random_pictures(1, 32, 32), (48, 32, 32, 3)).astype(np.uint8)
    done = quantize_export(folder, alike)
    assert not done.written
    assert any("dB" in refusal for refusal in done.refusals)


def test_too_few_crops_and_damaged_exports_are_refused(folder: Path, crops: UInt8Array) -> None:
    with pytest.raises(WrongUse, match="39 crops are too few"):
        quantize_export(folder, crops[:39])
    network = folder / "backbone.onnx"
    network.write_bytes(network.read_bytes() + b"\0")
    with pytest.raises(WrongWeights, match="export the model again"):
        quantize_export(folder, crops)


def test_it_is_timed_for_real(folder: Path, crops: UInt8Array) -> None:
    done = quantize_export(folder, crops, n_repeats=3, keep_anyway=True)
    assert done.speed.n_repeats == 3
    assert done.speed.ratio > 0
    assert done.speed.against in ("bf16", "fp32")
    assert ("slower" in " ".join(done.refusals)) == (done.speed.ratio < 1)


def test_nothing_is_reported_to_anyone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NNCF counts its users over the network unless `NNCF_CI` is set when it is first imported."""
    (tmp_path / "nncf.py").write_text("import os\nseen = os.environ.get('NNCF_CI')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "nncf", raising=False)
    monkeypatch.delenv("NNCF_CI", raising=False)
    with quantizing._quiet_nncf() as stand_in:
        assert stand_in.seen == "1"
    assert "NNCF_CI" not in os.environ
    monkeypatch.delitem(sys.modules, "nncf")  # the real one comes back with the end of the test
