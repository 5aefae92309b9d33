"""`streamer run --model FOLDER` on a real clip, in processes of its own that have never heard of torch."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from engines.runtime.compiled import core
from engines.runtime.cpu import NATIVE_BF16_FLAGS, this_cpu
from engines.shipping.quantize import quantize_export
from engines.zoo import load_export, load_head
from engines.zoo.sample import fetch_sample
from streamer.messages import Observation
from tests.engines import toys
from tests.engines.exports import Exports
from tests.product import observations, runs, streamer

pytestmark = [pytest.mark.models, pytest.mark.usefixtures("models")]
HAS_BF16 = bool(NATIVE_BF16_FLAGS & this_cpu().flags) and "BF16" in core().get_property(
    "CPU", "OPTIMIZATION_CAPABILITIES"
)


def seen_by(folder: Path, precision: str, cwd: Path) -> list[Observation]:
    """Every picture searched whole: the networks are compared, not where the last digits of a box lead to."""
    cwd.mkdir()
    options = ("--precision", precision, "--search-every", "0", "--quiet")
    done = streamer("run", fetch_sample(), "--model", folder, *options, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return observations(cwd / "affect.db")


@pytest.fixture(scope="module")
def windowed(exports: Exports, tmp_path_factory: pytest.TempPathFactory) -> list[Observation]:
    return seen_by(exports("windowed"), "fp32", tmp_path_factory.mktemp("windowed") / "run")


def test_records_carry_the_exported_model_and_both_of_its_answers(
    windowed: list[Observation], exports: Exports
) -> None:
    folder = exports("windowed")
    assert len(windowed) > 100
    backbone, (head, _) = load_export(folder).spec, load_head(folder / "head.json")
    assert {tuple(one.model.split("+")[1:]) for one in windowed} == {(backbone.model_id, head.model_id)}
    assert {(one.precision, one.va_origin) for one in windowed} == {("fp32", "predicted")}
    answers, bare = (np.array([one.probs for one in windowed]), np.array([one.bare.probs for one in windowed]))
    assert np.abs(answers - bare).max() > 0.05


def test_a_quantised_network_runs_and_is_another_model(
    windowed: list[Observation], exports: Exports, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(exports("windowed"), folder)
    done = streamer("run", fetch_sample(), "--model", folder, "--precision", "int8", "--quiet", cwd=tmp_path)
    assert done.returncode == 1
    assert "engines quantize" in done.stderr
    assert quantize_export(folder, toys.pictures(64, 72)[0], keep_anyway=True, n_repeats=1).written
    seen = seen_by(folder, "int8", tmp_path / "run")
    assert {one.precision for one in seen} == {"int8"}
    assert len(seen) == len(windowed)
    apart = np.abs(np.array([one.bare.probs for one in seen]) - np.array([one.bare.probs for one in windowed]))
    assert 0 < apart.max() < 0.5
    int8, full = load_export(folder, precision="int8").spec, load_export(folder).spec
    assert seen[0].model.split("+")[1] == int8.model_id != full.model_id
    (record,) = runs(tmp_path / "run" / "affect.db").values()
    assert record.models["expression"] == int8.model_id


@pytest.mark.skipif(not HAS_BF16, reason="this CPU has no bf16")
def test_a_recurrent_model_runs_in_bf16_and_is_named(exports: Exports, tmp_path: Path) -> None:
    folder = exports("recurrent")
    seen = seen_by(folder, "bf16", tmp_path / "run")
    assert {one.precision for one in seen} == {"bf16"}
    (record,) = runs(tmp_path / "run" / "affect.db").values()
    assert record.models["expression"] == load_export(folder).spec.model_id
    assert record.models["head"] == load_head(folder / "head.json")[0].model_id
    answers, bare = (np.array([one.probs for one in seen]), np.array([one.bare.probs for one in seen]))
    assert np.abs(answers - bare).max() > 0.05


def test_a_damaged_network_is_refused_before_anything_runs(exports: Exports, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(exports("windowed"), folder)
    network = folder / "head.onnx"
    network.write_bytes(network.read_bytes()[:-1] + b"!")
    done = streamer("run", fetch_sample(), "--model", folder, "--quiet", cwd=tmp_path)
    assert done.returncode == 1
    assert "export the head again" in done.stderr
    assert not (tmp_path / "affect.db").exists()
