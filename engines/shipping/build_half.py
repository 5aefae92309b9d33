"""An ONNX network in half precision: float16 weights and arithmetic inside, float32 inputs and outputs as before.

TensorRT's networks are strongly typed by now: the precision is what the network says, not a flag of the builder. So it
is said here, operator by operator.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from engines.errors import WrongUse

_SUMS = frozenset({"GlobalAveragePool", "LogSoftmax", "ReduceMean", "ReduceSum", "Softmax"})
"""Kept in float32: many addends, or an answer whose last digits are read."""
_FOLLOWS = frozenset(
    {"Add", "Div", "Flatten", "Identity", "Mul", "Relu", "Reshape", "Sigmoid", "Squeeze", "Sub", "Tanh", "Transpose"}
    | {"Unsqueeze"}
)
"""Float32 when one of the values they read is: so a recurrent head's c is added up in float32, and a sum's answer
reaches its output unrounded."""
_FLOAT: int = TensorProto.FLOAT
_HALF: int = TensorProto.FLOAT16


def half_onnx(content: bytes) -> bytes:
    """The network of `content` with its convolutions, products and LSTMs in float16. Same bytes in, same bytes out.

    Every input and output keeps its name and its float32. Raises `WrongUse` for what cannot be written so: a network
    with branches, a weight beyond float16, or one that is half precision or quantised already.
    """
    model = onnx.load_model_from_string(content)
    graph = model.graph
    _refuse(graph)
    writer = _Writer(
        {weight.name: numpy_helper.to_array(weight) for weight in graph.initializer},
        {port.name: port.type.tensor_type.elem_type for port in graph.output},
    )
    writer.types.update({one.name: one.type.tensor_type.elem_type for one in graph.input})
    for node in graph.node:
        writer.add(node)
    writer.close()
    made = helper.make_graph(
        writer.nodes,
        graph.name,
        list(graph.input),
        list(graph.output),
        initializer=writer.weights(),
    )
    result = onnx.ModelProto()
    result.CopyFrom(model)
    result.graph.CopyFrom(made)
    onnx.checker.check_model(result)
    half: bytes = result.SerializeToString(deterministic=True)
    return half


def _refuse(graph: Any) -> None:
    for node in graph.node:
        if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
            raise WrongUse(f"{graph.name} has branches or loops; build it as fp32")
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            raise WrongUse(f"{graph.name} is quantised: build the network it was quantised from")
    if any(weight.data_type == _HALF for weight in graph.initializer):
        raise WrongUse(f"{graph.name} has half-precision weights already; build it as fp32, which leaves them so")


class _Writer:
    """The nodes written so far; `types` says what each value of the original network is here."""

    def __init__(self, constants: dict[str, NDArray[Any]], outputs: dict[str, int]) -> None:
        self.nodes: list[Any] = []
        self.types: dict[str, int] = {}
        self._constants = constants
        self._outputs = outputs
        self._names: dict[str, str] = {}  # outputs of the network that are half here -> what they are called
        self._casts: dict[tuple[str, int], str] = {}
        self._weights: dict[str, Any] = {}

    def add(self, node: Any) -> None:
        """The node in its precision, with the casts it needs in front."""
        if node.op_type == "Constant":
            self._constants[node.output[0]] = _constant(node)
            return
        wanted = self._wanted(node)
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.input[:] = [self._as(name, wanted) if name else "" for name in node.input]
        if node.op_type == "Cast":
            target = next(attribute for attribute in copy.attribute if attribute.name == "to")
            if target.i == _FLOAT:
                target.i = _HALF
            wanted = target.i
        elif node.op_type in ("Shape", "Size", "ArgMax", "ArgMin", "NonZero"):
            wanted = TensorProto.INT64
        self._names |= {name: f"{name}/half" for name in node.output if self._outputs.get(name, wanted) != wanted}
        copy.output[:] = [self._names.get(name, name) for name in node.output]
        self.nodes.append(copy)
        self.types.update(dict.fromkeys(node.output, wanted))

    def close(self) -> None:
        """Turn the outputs that are half here into what they are declared to be."""
        for name, here in self._names.items():
            self.nodes.append(helper.make_node("Cast", [here], [name], name=name, to=self._outputs[name]))

    def weights(self) -> list[Any]:
        """What the nodes read of constants, in the order it was first read."""
        return list(self._weights.values())

    def _wanted(self, node: Any) -> int:
        if node.op_type in _SUMS:
            return _FLOAT
        follows = node.op_type in _FOLLOWS and any(self.types.get(name) == _FLOAT for name in node.input)
        return _FLOAT if follows else _HALF

    def _as(self, name: str, wanted: int) -> str:
        """The value's name here, of type `wanted` where it is a float at all."""
        if name in self._constants:
            return self._weight(name, wanted)
        own = self.types.get(name)
        here = self._names.get(name, name)
        if own is None:
            raise WrongUse(f"the network reads {name}, which nothing gives; export it again")
        if own == wanted or own not in (_FLOAT, _HALF):
            return here
        if (name, wanted) not in self._casts:
            cast = f"{name}/{'float' if wanted == _FLOAT else 'half'}"
            self.nodes.append(helper.make_node("Cast", [here], [cast], name=cast, to=wanted))
            self._casts[name, wanted] = cast
        return self._casts[name, wanted]

    def _weight(self, name: str, wanted: int) -> str:
        value = self._constants[name]
        if value.dtype != np.float32 or wanted != _HALF:
            self._weights.setdefault(name, numpy_helper.from_array(np.asarray(value), name))
            return name
        half = f"{name}/half"
        if half not in self._weights:
            if value.size and not np.abs(value).max() <= np.finfo(np.float16).max:
                raise WrongUse(f"the weight {name} reaches {np.abs(value).max():.3g}, beyond float16; build it as fp32")
            self._weights[half] = numpy_helper.from_array(np.asarray(value).astype(np.float16), half)
        return half


def _constant(node: Any) -> NDArray[Any]:
    for attribute in node.attribute:
        if attribute.name == "value":
            return np.asarray(numpy_helper.to_array(attribute.t))
        if attribute.name in ("value_float", "value_floats"):
            return np.asarray(helper.get_attribute_value(attribute), np.float32)
        if attribute.name in ("value_int", "value_ints"):
            return np.asarray(helper.get_attribute_value(attribute), np.int64)
    raise WrongUse(f"the constant {node.output[0]} is neither numbers nor a tensor; build it as fp32")
