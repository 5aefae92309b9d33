"""The half-precision network: what becomes float16, what stays, and that it says the same."""

from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from engines.errors import WrongUse
from engines.shipping.build_half import half_onnx
from tests.engines.runtime.exported import HEADS, backbone, head, head_rows, run_openvino


def types_of(content: bytes) -> dict[str, int]:
    model = onnx.shape_inference.infer_shapes(onnx.load_model_from_string(content), check_type=True, strict_mode=True)
    values = (*model.graph.value_info, *model.graph.input, *model.graph.output)
    return {value.name: value.type.tensor_type.elem_type for value in values}


def floats_of(content: bytes) -> list[str]:
    graph = onnx.load_model_from_string(content).graph
    return [weight.name for weight in graph.initializer if weight.data_type == TensorProto.FLOAT]


def test_a_backbone_has_half_weights_and_float_inputs_and_outputs() -> None:
    half = half_onnx(backbone())
    assert floats_of(half) == []
    types = types_of(half)
    assert {types[name] for name in ("image", "features", "logits")} == {TensorProto.FLOAT}
    assert half == half_onnx(backbone())
    assert len(half) < 0.6 * len(backbone())


def test_its_outputs_differ_by_rounding_alone() -> None:
    image = np.random.default_rng(0).standard_normal((3, 3, 48, 48), np.float32)
    exact, rounded = (run_openvino(content, {"image": image}) for content in (backbone(), half_onnx(backbone())))
    for name in ("features", "logits"):
        scale = np.abs(exact[name]).max()
        worst = np.abs(exact[name] - rounded[name]).max() / scale
        assert 1e-7 < worst < 5e-3, f"{name}: equal would mean that nothing was rounded"


@pytest.mark.parametrize("kind", list(HEADS))
def test_heads_keep_their_names_and_their_answers(kind: str) -> None:
    content, spec = head(kind)
    half = half_onnx(content)
    types = types_of(half)
    graph = onnx.load_model_from_string(content).graph
    assert all(types[port.name] == TensorProto.FLOAT for port in (*graph.input, *graph.output))
    rows = head_rows(spec, 4)
    exact, rounded = run_openvino(content, rows), run_openvino(half, rows)
    assert exact.keys() <= rounded.keys()
    for name, values in exact.items():
        assert np.abs(values - rounded[name]).max() < 3e-3, name


def test_the_carried_cell_state_is_added_up_in_float() -> None:
    content, _ = head("recurrent")
    types = types_of(half_onnx(content))
    assert types["lstm/kept"] == TensorProto.FLOAT
    assert types["lstm/gates"] == TensorProto.FLOAT16


def network(nodes: list[Any], weights: dict[str, NDArray[Any]], shape: tuple[int, ...] = (3,)) -> bytes:
    graph = helper.make_graph(
        nodes,
        "made",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *shape])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", *shape])],
        initializer=[numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    content: bytes = model.SerializeToString()
    return content


def test_a_weight_beyond_float16_is_refused() -> None:
    weights = {"w": np.full((3, 3), 1e5, np.float32)}
    with pytest.raises(WrongUse, match=r"weight w reaches 1e.05, beyond float16; build it as fp32"):
        half_onnx(network([helper.make_node("MatMul", ["x", "w"], ["y"])], weights))


def test_a_quantised_network_is_refused() -> None:
    weights: dict[str, NDArray[Any]] = {"scale": np.array(0.1, np.float32), "zero": np.array(0, np.int8)}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"]),
    ]
    with pytest.raises(WrongUse, match="quantised"):
        half_onnx(network(nodes, weights))


def test_constants_shapes_and_casts_are_understood() -> None:
    """A value read by two nodes in different precisions, a shape computed from the input, a constant node."""
    nodes = [
        helper.make_node("Constant", [], ["two"], value=numpy_helper.from_array(np.array(2.0, np.float32))),
        helper.make_node("MatMul", ["x", "w"], ["m"]),
        helper.make_node("Mul", ["m", "two"], ["doubled"]),
        helper.make_node("Shape", ["doubled"], ["shape"]),
        helper.make_node("Cast", ["shape"], ["sizes"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["sizes"], ["total"], keepdims=0),
        helper.make_node("Softmax", ["doubled"], ["shares"], axis=1),
        helper.make_node("Add", ["shares", "doubled"], ["sum"]),
        helper.make_node("Mul", ["sum", "total"], ["y"]),
    ]
    content = network(nodes, {"w": np.eye(3, dtype=np.float32)})
    x = np.array([[0.5, -1.0, 0.25], [2.0, 0.0, 1.0]], np.float32)
    exact, rounded = run_openvino(content, {"x": x})["y"], run_openvino(half_onnx(content), {"x": x})["y"]
    assert np.abs(exact - rounded).max() < 1e-2
