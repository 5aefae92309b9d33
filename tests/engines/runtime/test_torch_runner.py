"""The torch runner says what OpenVINO says of the same file, row by row, and names what it cannot run."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, shape_inference

from engines.errors import EngineError
from engines.runtime import open_head, open_runner, prove_batch_invariance
from engines.runtime.invariance import random_pictures
from engines.runtime.torch_graph import TorchGraph
from engines.runtime.torch_runner import TorchRunner, open_image_model, open_temporal_head
from engines.spec import ModelSpec
from engines.zoo import LoadedModel
from tests.engines.runtime.exported import HEADS, backbone, backbone_spec, head, head_rows, run_openvino, write

TOLERANCE = 1e-3


def small(folder: Path, **changes: Any) -> tuple[ModelSpec, Path]:
    spec = backbone_spec(backbone())
    return msgspec.structs.replace(spec, **changes), write(folder, "backbone.onnx", backbone())


@pytest.mark.parametrize(("name", "side_px"), [("small", 48), ("resnet50-vggface2", 64)])
def test_backbones_agree_with_openvino(tmp_path: Path, name: str, side_px: int) -> None:
    content = backbone(name, side_px)
    spec = backbone_spec(content, name, side_px)
    path = write(tmp_path, "backbone.onnx", content)
    ours = open_image_model(spec, path, device="cpu")
    theirs = open_runner(LoadedModel(spec, path), precision="fp32", cache=tmp_path)
    pictures = random_pictures(5, side_px, side_px)
    found, expected = ours.infer({"image": pictures}), theirs.infer({"image": pictures})
    assert found.keys() == expected.keys() == {"features", "logits"}
    for key, values in expected.items():
        assert found[key].dtype == np.float32
        assert found[key].shape == values.shape
        assert np.abs(found[key] - values).max() < TOLERANCE * max(1.0, float(np.abs(values).max()))
        assert np.abs(values).max() > 0.1, "an answer of zeros would agree with anything"
    swapped = ours.infer({"image": np.ascontiguousarray(pictures[..., ::-1], np.uint8)})
    assert np.abs(swapped["features"] - expected["features"]).max() > 0.01
    assert (ours.precision, ours.device) == ("fp32", "CPU (torch)")


@pytest.mark.parametrize("kind", list(HEADS))
def test_heads_agree_with_openvino(tmp_path: Path, kind: str) -> None:
    content, spec = head(kind)
    path = write(tmp_path, "head.onnx", content)
    ours = open_temporal_head(spec, path, batches=(1, 2, 4), device="cpu")
    theirs = open_head(path, spec, precision="fp32", cache=tmp_path)
    rows = head_rows(spec, 7)
    found, expected = ours.infer(rows), theirs.infer(rows)
    assert found.keys() == expected.keys()
    assert {"probs", "valence", "arousal"} | ({"h", "c"} if spec.hidden else set()) == found.keys()
    for key, values in expected.items():
        assert found[key].shape == values.shape
        assert np.abs(found[key] - values).max() < TOLERANCE, key


def test_a_row_does_not_depend_on_its_company(tmp_path: Path) -> None:
    for changes in ({}, {"batch_invariant": True}):
        spec, path = small(tmp_path, **changes)
        runner = open_image_model(spec, path, device="cpu")
        assert runner.batches[-1] == spec.prepared_batches[-1]
        assert prove_batch_invariance(runner, lambda n: {"image": random_pictures(n, 48, 48)}).holds


def test_a_model_without_the_proof_runs_at_one_batch(tmp_path: Path) -> None:
    spec, path = small(tmp_path, batch_invariant=False, prepared_batches=(1, 3))
    runner = open_image_model(spec, path, device="cpu")
    assert runner.batches == (3,)
    assert runner.infer({"image": random_pictures(0, 48, 48)})["logits"].shape == (0, 7)
    assert runner.infer({"image": random_pictures(4, 48, 48)})["logits"].shape == (4, 7)


def test_lower_precision_is_really_lower_and_said(tmp_path: Path) -> None:
    spec, path = small(tmp_path)
    pictures = {"image": random_pictures(2, 48, 48)}
    exact = open_image_model(spec, path, device="cpu").infer(pictures)["features"]
    runner = open_image_model(spec, path, device="cpu", precision="bf16")
    assert runner.precision == "bf16"
    assert 1e-5 < np.abs(runner.infer(pictures)["features"] - exact).max() < 0.1 * np.abs(exact).max()


@pytest.mark.parametrize(
    ("precision", "device", "said"),
    [("fp16", "cpu", "fp16 on a GPU only"), ("int8", "cpu", "no precision 'int8'"), ("auto", "cuda", "no CUDA device")],
)
def test_what_torch_cannot_do_here_is_refused(tmp_path: Path, precision: str, device: str, said: str) -> None:
    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("here is a CUDA device, so nothing is refused")
    spec, path = small(tmp_path)
    with pytest.raises(EngineError, match=said):
        open_image_model(spec, path, precision=precision, device=device)


def test_files_and_inputs_that_are_wrong_are_named(tmp_path: Path) -> None:
    spec, path = small(tmp_path)
    with pytest.raises(EngineError, match="no network that torch can run"):
        open_image_model(spec, write(tmp_path, "text.onnx", b"text"), device="cpu")
    with pytest.raises(EngineError, match="quantised for the CPU"):
        open_image_model(spec, write(tmp_path, "backbone-int8.xml", b"<net/>"), device="cpu")
    with pytest.raises(EngineError, match="HeadSpec needs inputs"):
        open_temporal_head(
            msgspec.structs.replace(head("none")[1], window=3, windowed=True),
            write(tmp_path, "head.onnx", head("none")[0]),
            batches=(1,),
            device="cpu",
        )
    runner = open_image_model(spec, path, device="cpu")
    with pytest.raises(EngineError, match="uint8"):
        runner.infer({"image": np.zeros((1, 48, 48, 3), np.float32)})
    runner.close()
    with pytest.raises(EngineError, match="closed"):
        runner.infer({"image": random_pictures(1, 48, 48)})


def weight(*shape: int) -> NDArray[np.float32]:
    return np.asarray(np.random.default_rng(len(shape)).standard_normal(shape), np.float32)


def ints(*values: int) -> NDArray[np.int64]:
    return np.array(values, np.int64)


OPERATORS: list[tuple[str, dict[str, Any], list[NDArray[Any]]]] = [
    ("Conv", {"pads": [0, 1, 1, 2], "strides": [2, 1], "kernel_shape": [3, 3]}, [weight(5, 4, 3, 3), weight(5)]),
    ("Conv", {"group": 4, "pads": [1, 1, 1, 1], "dilations": [2, 1]}, [weight(4, 1, 3, 3)]),
    (
        "ConvTranspose",
        {"strides": [2, 2], "group": 2, "pads": [1, 1, 1, 1], "kernel_shape": [4, 4]},
        [weight(4, 3, 4, 4)],
    ),
    ("MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}, []),
    ("MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [0, 0, 1, 1]}, []),
    ("AveragePool", {"kernel_shape": [3, 3], "strides": [1, 1], "pads": [1, 1, 1, 1]}, []),
    ("BatchNormalization", {"epsilon": 1e-3}, [weight(4), weight(4), weight(4), np.abs(weight(4))]),
    ("Clip", {}, [np.array(-0.5, np.float32), np.array(0.25, np.float32)]),
    ("PRelu", {}, [weight(4, 1, 1)]),
    ("LeakyRelu", {"alpha": 0.2}, []),
    ("HardSigmoid", {"alpha": 0.25, "beta": 0.4}, []),
    ("HardSwish", {}, []),
    ("Slice", {}, [ints(1, 0), ints(4, -1), ints(1, 2), ints(2, 1)]),
    ("Squeeze", {}, [ints(-1)]),
    ("Unsqueeze", {}, [ints(0, -1)]),
    ("Transpose", {"perm": [0, 2, 3, 1]}, []),
    ("Reshape", {}, [ints(0, -1, 2)]),
    ("ReduceMean", {"keepdims": 0}, [ints(1, 3)]),
    ("ReduceSum", {}, []),
    ("Softmax", {"axis": 1}, []),
    ("GlobalAveragePool", {}, []),
    ("Flatten", {"axis": 2}, []),
    ("Concat", {"axis": 1}, [weight(2, 3, 6, 8)]),
    ("MatMul", {}, [weight(8, 5)]),
    ("Erf", {}, []),
]


@pytest.mark.parametrize(
    ("op", "attributes", "constants"), OPERATORS, ids=[f"{i}-{o[0]}" for i, o in enumerate(OPERATORS)]
)
def test_operators_agree_with_openvino(
    tmp_path: Path, op: str, attributes: dict[str, Any], constants: list[NDArray[Any]]
) -> None:
    shape = [2, 4, 6, 1] if op == "Squeeze" else [2, 4, 6, 8]
    names = [f"c{i}" for i in range(len(constants))]
    graph = helper.make_graph(
        [helper.make_node(op, ["x", *names], ["y"], **attributes)],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_empty_tensor_value_info("y")],
        initializer=[numpy_helper.from_array(value, name) for name, value in zip(names, constants, strict=True)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    content: bytes = shape_inference.infer_shapes(model).SerializeToString()
    x = np.asarray(np.random.default_rng(3).standard_normal(shape), np.float32)
    found = TorchGraph(write(tmp_path, "one.onnx", content), "cpu").run({"x": torch.from_numpy(x)})["y"].numpy()
    expected = run_openvino(content, {"x": x})["y"]
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 1e-4


def test_an_unknown_operator_is_named(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Det", ["x"], ["y"])],
        "unknown",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    with pytest.raises(EngineError, match=r"operator Det, which the torch runner does not know: build a TensorRT plan"):
        TorchGraph(write(tmp_path, "unknown.onnx", model.SerializeToString()), "cpu")


@pytest.mark.gpu
def test_torch_on_the_gpu_agrees_with_openvino(tmp_path: Path) -> None:
    if not torch.cuda.is_available():
        pytest.skip("torch sees no CUDA device here")
    spec, path = small(tmp_path)
    pictures = {"image": random_pictures(5, 48, 48)}
    expected = open_runner(LoadedModel(spec, path), precision="fp32", cache=tmp_path).infer(pictures)
    for precision, tolerance in (("fp32", TOLERANCE), ("fp16", 2e-2)):
        runner = open_runner(LoadedModel(spec, path), precision=precision, cache=tmp_path, device="cuda")
        assert isinstance(runner, TorchRunner)
        assert prove_batch_invariance(runner, lambda n: {"image": random_pictures(n, 48, 48)}).holds
        for key, values in runner.infer(pictures).items():
            assert np.abs(values - expected[key]).max() < tolerance * np.abs(expected[key]).max()
