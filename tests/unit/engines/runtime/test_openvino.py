import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from engines.errors import EngineError
from engines.runtime import open_runner
from engines.runtime.background import BACKGROUND
from engines.runtime.compiled import configuration, core
from engines.runtime.invariance import random_pictures
from engines.runtime.openvino import OpenVinoRunner
from engines.spec import ModelSpec, Normalisation, Provenance, TensorSpec
from engines.zoo import LoadedModel
from engines.zoo.catalogue import ENET_B0_8_VA_MTL
from engines.zoo.convert import emotiefflib
from engines.zoo.convert.graph import GraphWriter
from tests.unit.engines.zoo.networks import emotiefflib_network

SIZE_WH = (48, 32)
MEAN, STD = (10.0, 20.0, 30.0), (2.0, 4.0, 8.0)


def spec_of(**changes: Any) -> ModelSpec:
    spec = ModelSpec(
        name="little",
        version="1",
        role="detector",
        inputs=(TensorSpec(name="image", shape=(-1, -1, -1, 3), dtype="uint8"),),
        outputs=(TensorSpec(name="sums", shape=(-1, 3)),),
        sha256="0" * 64,
        normalisation=Normalisation(colour="rgb", layout="nchw", mean=MEAN, std=STD),
        provenance=Provenance(licence="none", origin="made up", trained_on="nothing"),
        input_multiple=16,
        prepared_batches=(1, 2, 4),
        batch_invariant=True,
    )
    return msgspec.structs.replace(spec, **changes)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Mean of each channel, through an identity convolution."""
    graph = GraphWriter()
    x = graph.conv("image", "same", np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1))
    graph.node("Flatten", [graph.node("GlobalAveragePool", [x], "pooled")], "sums", axis=1)
    path = tmp_path_factory.mktemp("little") / "little.onnx"
    path.write_bytes(graph.bytes_of("little", ["batch", 3, "height", "width"], {"sums": ["batch", 3]}))
    return path


@pytest.fixture
def runner(network: Path, tmp_path: Path) -> Iterator[OpenVinoRunner]:
    opened = open_little(network, tmp_path)
    yield opened
    opened.close()


def open_little(network: Path, cache: Path, at_once: bool = True, **changes: Any) -> OpenVinoRunner:
    model = LoadedModel(spec_of(**changes), network)
    opened = open_runner(model, input_size_wh=SIZE_WH, cache=cache, at_once=at_once)
    assert isinstance(opened, OpenVinoRunner)
    return opened


def pictures(n: int) -> NDArray[np.uint8]:
    return np.asarray(random_pictures(n, SIZE_WH[1], SIZE_WH[0]), np.uint8)


def expected(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    return np.asarray((images.mean((1, 2)) - np.array(MEAN)) / np.array(STD))


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7, 9])
def test_any_batch_is_normalised_cut_and_joined(runner: OpenVinoRunner, n: int) -> None:
    images = pictures(n)
    sums = runner.infer({"image": images})["sums"]
    assert sums.shape == (n, 3)
    assert np.abs(sums - expected(images)).max() < 1e-3
    assert runner.batches == (1, 2, 4)


def test_no_picture_is_no_answer(runner: OpenVinoRunner) -> None:
    assert runner.infer({"image": pictures(0)})["sums"].shape == (0, 3)


@pytest.mark.parametrize("n", [1, 3, 4, 6])
def test_a_model_that_is_not_invariant_runs_at_one_padded_batch(network: Path, tmp_path: Path, n: int) -> None:
    fixed = open_little(network, tmp_path, batch_invariant=False)
    assert fixed.batches == (4,)
    images = pictures(n)
    assert np.abs(fixed.infer({"image": images})["sums"] - expected(images)).max() < 1e-3
    fixed.close()


def test_what_was_compiled_before_answers_the_same_bits(network: Path, tmp_path: Path) -> None:
    fresh = open_little(network, tmp_path)
    first = fresh.infer({"image": pictures(7)})["sums"].copy()
    blobs = {path: path.stat().st_mtime_ns for path in (tmp_path / "compiled").glob("*.blob")}
    restored = open_little(network, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "compiled").glob("*.blob")} == blobs
    assert len(blobs) == 3
    assert np.array_equal(restored.infer({"image": pictures(7)})["sums"], first)


def test_what_is_not_wanted_at_once_begins_with_one_row_and_grows(network: Path, tmp_path: Path) -> None:
    fresh = open_little(network, tmp_path, at_once=False)
    assert fresh.batches == (1, 2, 4), "the proof needs all of them"
    expected = fresh.infer({"image": pictures(7)})["sums"].copy()
    gate = threading.Event()
    BACKGROUND.do(lambda: assert_true(gate.wait(60)))
    restored, closed = (open_little(network, tmp_path, at_once=False) for _ in range(2))
    assert list(restored.batches) == [1]
    assert np.array_equal(restored.infer({"image": pictures(7)})["sums"], expected)
    closed.close()
    gate.set()
    BACKGROUND.wait()
    assert list(restored.batches) == [1, 2, 4]
    assert np.array_equal(restored.infer({"image": pictures(7)})["sums"], expected)
    assert closed.batches == ()


def assert_true(value: bool) -> None:
    assert value


def test_damaged_blobs_and_notes_are_made_again(network: Path, tmp_path: Path) -> None:
    first = open_little(network, tmp_path).infer({"image": pictures(3)})["sums"].copy()
    for path in (tmp_path / "compiled").iterdir():
        path.write_bytes(path.read_bytes()[:-2] + b"!!")
    again = open_little(network, tmp_path)
    assert np.array_equal(again.infer({"image": pictures(3)})["sums"], first)
    assert again.batches == (1, 2, 4)


def test_a_cache_that_cannot_be_written_costs_only_time(network: Path, tmp_path: Path) -> None:
    (tmp_path / "compiled").write_bytes(b"a file where a folder should be")
    assert open_little(network, tmp_path).infer({"image": pictures(2)})["sums"].shape == (2, 3)


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"picture": pictures(1)}, "takes .'image'., not .'picture'."),
        ({"image": pictures(1).astype(np.float32)}, "uint8"),
        ({"image": pictures(1)[:, :-1]}, "32,48,3"),
        ({"image": pictures(1)[0]}, "B,32,48,3"),
    ],
)
def test_wrong_inputs_are_named(runner: OpenVinoRunner, inputs: dict[str, Any], said: str) -> None:
    with pytest.raises(EngineError, match=said):
        runner.infer(inputs)


def test_a_closed_runner_says_so(runner: OpenVinoRunner) -> None:
    kept = runner.infer({"image": pictures(1)})["sums"]
    runner.close()
    assert kept.shape == (1, 3)
    with pytest.raises(EngineError, match="closed"):
        runner.infer({"image": pictures(1)})


@pytest.mark.parametrize(("size_wh", "said"), [(None, "give input_size_wh"), ((50, 32), "multiples of 16")])
def test_wrong_sizes_are_refused(network: Path, tmp_path: Path, size_wh: tuple[int, int] | None, said: str) -> None:
    with pytest.raises(EngineError, match=said):
        open_runner(LoadedModel(spec_of(), network), input_size_wh=size_wh, cache=tmp_path)


def test_a_file_that_is_no_network_or_another_one_is_refused(network: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="has no output heat"):
        open_little(network, tmp_path, outputs=(TensorSpec(name="heat", shape=(-1, 3)),))
    (tmp_path / "broken.onnx").write_bytes(b"nothing")
    with pytest.raises(EngineError, match="OpenVINO can read"):
        open_runner(LoadedModel(spec_of(), tmp_path / "broken.onnx"), input_size_wh=SIZE_WH, cache=tmp_path)


def test_precision_is_what_the_engine_computes_in(network: Path, tmp_path: Path) -> None:
    asked = open_runner(LoadedModel(spec_of(), network), input_size_wh=SIZE_WH, cache=tmp_path, precision="fp32")
    assert asked.precision == "fp32"
    assert asked.device
    with pytest.raises(EngineError, match="quantised"):
        open_runner(LoadedModel(spec_of(), network), input_size_wh=SIZE_WH, cache=tmp_path, precision="int8")


def test_one_thread_and_no_pinning(network: Path) -> None:
    model = core().read_model(network)
    model.reshape([1, 3, 32, 48])
    compiled = core().compile_model(model, "CPU", configuration("fp32"))
    assert compiled.get_property("INFERENCE_NUM_THREADS") == 1
    assert compiled.get_property("ENABLE_CPU_PINNING") is False
    assert compiled.get_property("NUM_STREAMS") == 1


def test_an_expression_model_with_valence_and_arousal(tmp_path: Path) -> None:
    published = emotiefflib_network(11)
    path = tmp_path / "made-up.onnx"
    path.write_bytes(emotiefflib.convert({emotiefflib.FILE: published}))
    runner = open_runner(LoadedModel(ENET_B0_8_VA_MTL.spec, path), cache=tmp_path, precision="fp32")
    crops = random_pictures(3, 224, 224)
    answer = runner.infer({"image": crops})
    shapes = {name: values.shape for name, values in answer.items()}
    assert shapes == {"features": (3, 12), "logits": (3, 8), "valence": (3,), "arousal": (3,)}
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    image = ((crops / 255.0 - mean) / std).astype(np.float32).transpose(0, 3, 1, 2)
    plain = core().compile_model(core().read_model(published), "CPU", configuration("fp32"))
    row = plain([np.ascontiguousarray(image)])[0]
    assert np.abs(answer["logits"] - row[:, :8]).max() < 1e-4
    assert np.abs(answer["arousal"] - row[:, 9]).max() < 1e-4


def test_opening_and_running_needs_no_network_and_sends_nothing(network: Path, tmp_path: Path) -> None:
    program = f"""
import socket, sys
class Refused(socket.socket):
    def connect(self, *_): raise AssertionError("a connection was tried")
    connect_ex = connect
socket.socket = Refused
import numpy as np
from pathlib import Path
from tests.unit.engines.runtime.test_openvino import open_little, pictures
open_little(Path({str(network)!r}), Path({str(tmp_path)!r})).infer({{"image": pictures(1)}})
assert "openvino" in sys.modules
assert not [name for name in sys.modules if "telemetry" in name]
"""
    root = Path(__file__).parents[4]
    subprocess.run([sys.executable, "-c", program], check=True, cwd=root, env={**os.environ, "PYTHONPATH": str(root)})
