from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper

from engines.errors import EngineError
from engines.runtime.operations import Work, main, work_of


def network() -> onnx.ModelProto:
    """A convolution of stride 2, a depthwise one, and a dense layer, for pictures of any size."""
    weights = {
        "first": np.zeros((4, 3, 3, 3), np.float32),
        "depthwise": np.zeros((4, 1, 3, 3), np.float32),
        "dense": np.zeros((4, 5), np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["image", "first"], ["a"], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["a", "depthwise"], ["b"], group=4, pads=[1, 1, 1, 1]),
        helper.make_node("GlobalAveragePool", ["b"], ["c"]),
        helper.make_node("Flatten", ["c"], ["d"]),
        helper.make_node("MatMul", ["d", "dense"], ["e"]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, "h", "w"])
    answer = helper.make_tensor_value_info("e", TensorProto.FLOAT, ["n", 5])
    stored = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "small", [image], [answer], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def test_work_is_counted_layer_by_layer() -> None:
    picture, half = 3 * 8 * 16, 4 * 4 * 8
    assert work_of(network(), 16, 8) == Work(
        multiply_adds=half * 27 + half * 9 + 4 * 5,
        values=(picture + half) + (half + half) + (4 + 5),
        weights=4 * 27 + 4 * 9 + 20,
        kernels=3,
    )


def test_work_grows_with_the_picture() -> None:
    small, large = work_of(network(), 16, 16), work_of(network(), 32, 32)
    assert large.multiply_adds - 20 == 4 * (small.multiply_adds - 20)
    assert large.weights == small.weights


def test_what_is_fed_no_picture_is_refused() -> None:
    model = network()
    del model.graph.input[0].type.tensor_type.shape.dim[0]
    with pytest.raises(EngineError, match="picture"):
        work_of(model, 16, 16)


def test_the_program_prints_json(tmp_path: Path) -> None:
    path = tmp_path / "small.onnx"
    onnx.save(network(), str(path))
    shown = CliRunner().invoke(main, [str(path), "--size", "16x8"])
    assert json.loads(shown.output)["kernels"] == 3
    assert CliRunner().invoke(main, [str(path), "--size", "16"]).exit_code == 2
