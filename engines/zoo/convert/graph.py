"""A few words for writing ONNX graphs whose bytes depend on nothing but what is said here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

IR_VERSION = 8
OPSET = 13


@dataclass
class GraphWriter:
    """Nodes and weights in the order they are added; `bytes_of` closes the graph."""

    nodes: list[Any] = field(default_factory=list)
    weights: list[Any] = field(default_factory=list)

    def weight(self, name: str, value: NDArray[Any]) -> str:
        """Add a constant, little-endian, and return its name."""
        self.weights.append(tensor(name, value))
        return name

    def node(self, op: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Add a node of one output and return that output's name."""
        self.nodes.append(helper.make_node(op, list(inputs), [output], **attributes))
        return output

    def conv(
        self,
        x: str,
        name: str,
        weight_oihw: NDArray[np.float32],
        bias: NDArray[np.float32] | None = None,
        *,
        stride: int = 1,
        groups: int = 1,
        pads_tlbr: tuple[int, int, int, int] = (0, 0, 0, 0),
    ) -> str:
        """A 2-D convolution; padding is given as top, left, bottom, right in pixels."""
        inputs = [x, self.weight(f"{name}/weight", weight_oihw)]
        if bias is not None:
            inputs.append(self.weight(f"{name}/bias", bias))
        return self.node(
            "Conv",
            inputs,
            name,
            group=groups,
            kernel_shape=list(weight_oihw.shape[2:]),
            pads=list(pads_tlbr),
            strides=[stride, stride],
        )

    def lstm_step(self, gates: str, units: int) -> str:
        """From the joined gates (B,4u) in torch's order and the input `c`: writes `c_out` and `h_out`; the new h."""
        raw = [f"lstm/{gate}_raw" for gate in "ifgo"]
        sizes = self.weight("lstm/sizes", np.full(4, units, np.int64))
        self.nodes.append(helper.make_node("Split", [gates, sizes], raw, axis=1))
        i, f, o = (self.node("Sigmoid", [f"lstm/{gate}_raw"], f"lstm/{gate}") for gate in "ifo")
        g = self.node("Tanh", ["lstm/g_raw"], "lstm/g")
        kept = self.node("Mul", [f, "c"], "lstm/kept")
        added = self.node("Mul", [i, g], "lstm/added")
        self.node("Add", [kept, added], "c_out")
        squashed = self.node("Tanh", ["c_out"], "lstm/squashed")
        return self.node("Mul", [o, squashed], "h_out")

    def bytes_of(self, name: str, input_shape: Sequence[int | str], outputs: dict[str, Sequence[int | str]]) -> bytes:
        """The serialised model with one float32 input `image` and the named outputs."""
        graph = helper.make_graph(
            self.nodes,
            name,
            [value("image", input_shape)],
            [value(output, shape) for output, shape in outputs.items()],
            initializer=self.weights,
        )
        return serialise(graph, OPSET)


def tensor(name: str, value: NDArray[Any]) -> Any:
    """A constant with its bytes as they are (float32 or int64)."""
    kinds = {np.dtype("float32"): TensorProto.FLOAT, np.dtype("int64"): TensorProto.INT64}
    return helper.make_tensor(name, kinds[value.dtype], value.shape, np.ascontiguousarray(value).tobytes(), raw=True)


def value(name: str, shape: Sequence[int | str]) -> Any:
    """A float32 input or output; a text names a dynamic axis."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))


def serialise(graph: Any, opset: int, metadata: Mapping[str, str] | None = None) -> bytes:
    """Check the graph and give its bytes, free of dates, versions and producers; `metadata` sorted by its keys."""
    model = onnx.ModelProto()
    model.ir_version = IR_VERSION
    model.graph.CopyFrom(graph)
    entry = model.opset_import.add()
    entry.domain = ""
    entry.version = opset
    for key, text in sorted((metadata or {}).items()):
        told = model.metadata_props.add()
        told.key, told.value = key, text
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def parsed(content: bytes) -> Any:
    """The ONNX model in `content`; raises `ValueError` when it is none."""
    try:
        return onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's own error type differs between its implementations
        raise ValueError(f"not an ONNX model: {error}") from error
