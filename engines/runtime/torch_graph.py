"""An ONNX network run by torch: a walk over its nodes, for the operators that exporters of such networks write.

Why a walk and not the module that was trained: what ships is the ONNX file, whose sha256 its spec names. Walking it
runs those very weights for any model (the zoo's, whose modules are not ours, included), keeps the runtime free of
the training code, and makes torch one more reader of the same file for `engines compare`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from engines.errors import EngineError
from engines.runtime.torch_operators import OPERATORS, Operator

Values = dict[str, Tensor]


@dataclass(frozen=True)
class _Step:
    run: Operator
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    done_with: tuple[str, ...]  # read here for the last time


class TorchGraph:
    """The network of an ONNX file on a torch device. `input_shapes` with -1 for dynamic axes, `outputs` by name.

    Raises `EngineError` for a file that is no network or has an operator that is not known here.
    """

    def __init__(self, path: Path, device: str) -> None:
        import onnx
        from onnx import helper, numpy_helper

        try:
            model = onnx.load(path)
            onnx.checker.check_model(model)
        except Exception as error:  # protobuf's error type and the checker's are not related
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise EngineError(f"{path} is no network that torch can run: {first}") from error
        graph = model.graph
        self._device = device
        self._opset = next((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), 0)
        self._constants: dict[str, Tensor] = {
            one.name: torch.from_numpy(np.array(numpy_helper.to_array(one))) for one in graph.initializer
        }
        self.input_shapes = {
            port.name: tuple(
                axis.dim_value if axis.HasField("dim_value") else -1 for axis in port.type.tensor_type.shape.dim
            )
            for port in graph.input
            if port.name not in self._constants
        }
        self.outputs = tuple(port.name for port in graph.output)
        self.operators: Counter[str] = Counter(node.op_type for node in graph.node)
        last = {name: i for i, node in enumerate(graph.node) for name in node.input}
        self._steps: list[_Step] = []
        for i, node in enumerate(graph.node):
            attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute}
            if node.op_type == "Constant":
                self._constants[node.output[0]] = _constant(attributes)
                continue
            done = tuple(n for n in dict.fromkeys(node.input) if last[n] == i and n not in self.outputs)
            run = self._operator(path, node, attributes)
            self._steps.append(_Step(run, tuple(node.input), tuple(node.output), done))
        # Shapes and axes stay where Python reads them; weights go to the device.
        self._constants = {
            name: value.to(device) if value.is_floating_point() else value for name, value in self._constants.items()
        }

    def run(self, inputs: Mapping[str, Tensor]) -> Values:
        """The outputs for inputs that are on the device already."""
        values: Values = dict(inputs)
        with torch.inference_mode():
            for step in self._steps:
                read = [self._read(values, name) for name in step.inputs]
                answer = step.run(*read)
                results = answer if isinstance(answer, tuple) else (answer,)
                values.update({name: one for name, one in zip(step.outputs, results, strict=False) if name})
                for name in step.done_with:
                    values.pop(name, None)
        return {name: self._read(values, name) for name in self.outputs}  # type: ignore[misc]  # outputs have names

    def _read(self, values: Values, name: str) -> Tensor | None:
        if not name:
            return None
        held = values.get(name)
        return held if held is not None else self._constants[name]

    def _operator(self, path: Path, node: Any, attributes: dict[str, Any]) -> Operator:
        if node.op_type == "LSTM":
            return self._lstm(node, attributes)
        make = OPERATORS.get(node.op_type)
        if make is None or node.domain not in ("", "ai.onnx"):
            raise EngineError(
                f"{path} has the operator {node.op_type}, which the torch runner does not know: build a TensorRT plan "
                "with `engines build`, or run it on the CPU"
            )
        return make(attributes, self._opset)

    def _lstm(self, node: Any, attributes: dict[str, Any]) -> Operator:
        """cuDNN's LSTM with the file's weights; ONNX keeps the gates as i, o, f, c and torch as i, f, c, o."""
        names = [*node.input, *[""] * (8 - len(node.input))]
        direction = attributes.get("direction", b"forward").decode()
        plain = not (names[4] or names[7]) and not {"activations", "clip", "input_forget"} & attributes.keys()
        if not plain or attributes.get("layout", 0) or direction == "reverse":
            raise EngineError(f"the LSTM {node.name} is of a form that the torch runner does not know")
        w, r, b = (self._constants.get(name) for name in names[1:4])
        if w is None or r is None:
            raise EngineError(f"the LSTM {node.name} has weights that are computed; the torch runner wants constants")
        units = int(attributes["hidden_size"])
        lstm = nn.LSTM(w.shape[2], units, bidirectional=direction == "bidirectional", bias=b is not None)
        with torch.no_grad():
            for d, suffix in enumerate(("", "_reverse")[: w.shape[0]]):
                getattr(lstm, f"weight_ih_l0{suffix}").copy_(_gates(w[d]))
                getattr(lstm, f"weight_hh_l0{suffix}").copy_(_gates(r[d]))
                if b is not None:
                    getattr(lstm, f"bias_ih_l0{suffix}").copy_(_gates(b[d, : 4 * units]))
                    getattr(lstm, f"bias_hh_l0{suffix}").copy_(_gates(b[d, 4 * units :]))
        lstm = lstm.to(self._device).eval().requires_grad_(False)
        n_directions = int(w.shape[0])

        def run(x: Tensor, *rest: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
            h, c = (*rest, None, None, None, None, None, None)[4:6]
            zero = x.new_zeros(n_directions, x.shape[1], units)
            out, (h_last, c_last) = lstm(x, (zero if h is None else h, zero if c is None else c))
            return out.unflatten(2, (n_directions, units)).transpose(1, 2), h_last, c_last

        return run


def _gates(weight: Tensor) -> Tensor:
    i, o, f, c = weight.chunk(4)
    return torch.cat([i, f, c, o])


def _constant(attributes: dict[str, Any]) -> Tensor:
    from onnx import numpy_helper

    if "value" in attributes:
        return torch.from_numpy(np.array(numpy_helper.to_array(attributes["value"])))
    (name,) = attributes
    return torch.tensor(attributes[name], dtype=torch.float32 if "float" in name else torch.int64)
