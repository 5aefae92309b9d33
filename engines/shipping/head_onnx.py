"""A head in torch to ONNX, written node by node: one LSTM operator a layer, dense layers, nothing else.

torch's exporter surrounds an LSTM with dozens of shape computations; the head's parts are few and known, so its graph
is written down here and held against torch by tests and by `engines compare`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper
from torch import Tensor, nn

from engines.models import AffectHead
from engines.spec import N_PROBS, stat_size
from engines.zoo.convert.graph import OPSET, GraphWriter, serialise, value

_ONNX_GATES = (0, 3, 1, 2)
"""torch keeps the gates as input, forget, cell, output; ONNX as input, output, forget, cell."""


def head_onnx(head: AffectHead, metadata: Mapping[str, str], *, temperature: float = 1.0) -> bytes:
    """ONNX with the inputs and outputs of `engines.spec.HeadSpec`; an output called like an input ends in `_out`.

    The batch is the only dynamic axis. `temperature` divides the logits before the softmax. Same weights, same bytes.
    """
    graph = GraphWriter()
    outputs: dict[str, list[int]] = {"probs_out": [N_PROBS]}
    parts = [name for name in head.inputs if name in ("features", "probs", "stat")]
    if head.windowed is not None:
        parts.append(_windowed(graph, head.windowed.lstm))
    if head.recurrent is not None:
        parts.append(_recurrent(graph, head.recurrent.gates, head.hidden))
    fused = graph.node("Concat", parts, "fused", axis=1)
    logits = _branch(graph, fused, "expression", head.expression)
    if temperature != 1.0:
        divisor = graph.weight("expression/temperature", np.array([temperature], np.float32))
        logits = graph.node("Div", [logits, divisor], "expression/tempered")
    graph.node("Softmax", [logits], "probs_out", axis=1)
    for name, branch in (("valence", head.valence), ("arousal", head.arousal)):
        if branch is not None:
            row = graph.node("Tanh", [_branch(graph, fused, name, branch)], f"{name}/row")
            axis = graph.weight(f"{name}/axis", np.array([1], np.int64))
            graph.node("Squeeze", [row, axis], name)
            outputs[name] = []
    if head.hidden:
        outputs |= {"h_out": [head.hidden], "c_out": [head.hidden]}
    shapes = _input_shapes(head)
    made = helper.make_graph(
        graph.nodes,
        head.config.name,
        [value(name, ["batch", *shapes[name]]) for name in head.inputs],
        [value(name, ["batch", *shape]) for name, shape in outputs.items()],
        initializer=graph.weights,
    )
    return serialise(made, OPSET, metadata)


def _input_shapes(head: AffectHead) -> dict[str, list[int]]:
    return {
        "features": [head.n_features],
        "probs": [N_PROBS],
        "stat": [stat_size(head.config.stat, head.n_features)],
        "block": [head.config.window, N_PROBS],
        "h": [head.hidden],
        "c": [head.hidden],
    }


def _branch(graph: GraphWriter, x: str, name: str, layers: nn.Sequential) -> str:
    for i, layer in enumerate(layers):
        if isinstance(layer, nn.Linear):
            x = _dense(graph, x, f"{name}/{i}", layer)
        elif isinstance(layer, nn.ReLU):
            x = graph.node("Relu", [x], f"{name}/{i}")
        else:
            assert isinstance(layer, nn.Dropout), f"a head has no {type(layer).__name__}"
    return x


def _dense(graph: GraphWriter, x: str, name: str, layer: nn.Linear) -> str:
    weight = graph.weight(f"{name}/weight", _array(layer.weight))
    bias = graph.weight(f"{name}/bias", _array(layer.bias))
    return graph.node("Gemm", [x, weight, bias], name, transB=1)


def _recurrent(graph: GraphWriter, gates: nn.Linear, units: int) -> str:
    """One step of the forward LSTM, as the gates it is made of; the new h."""
    seen = graph.node("Concat", ["probs", "h"], "lstm/seen", axis=1)
    return graph.lstm_step(_dense(graph, seen, "lstm/gates", gates), units)


def _windowed(graph: GraphWriter, lstm: nn.LSTM) -> str:
    """The bidirectional LSTM over `block`: (B, 2 * units), each direction's state once it has read the whole block."""
    units = lstm.hidden_size
    x = graph.node("Transpose", ["block"], "lstm/steps", perm=[1, 0, 2])  # (s,B,7)
    for layer in range(lstm.num_layers):
        name = f"lstm/{layer}"
        inputs = [x, *(graph.weight(f"{name}/{kind}", array) for kind, array in _layer(lstm, layer).items())]
        last = layer == lstm.num_layers - 1
        outputs = ["", f"{name}/state"] if last else [f"{name}/all"]
        graph.nodes.append(
            helper.make_node("LSTM", inputs, outputs, direction="bidirectional", hidden_size=units, name=name)
        )
        if not last:  # (s,2,B,units) -> (s,B,2*units)
            turned = graph.node("Transpose", [f"{name}/all"], f"{name}/turned", perm=[0, 2, 1, 3])
            shape = graph.weight(f"{name}/shape", np.array([0, 0, 2 * units], np.int64))
            x = graph.node("Reshape", [turned, shape], f"{name}/joined")
    state = graph.node("Transpose", [f"{name}/state"], "lstm/directions", perm=[1, 0, 2])  # (2,B,units) -> (B,2,units)
    return graph.node("Flatten", [state], "lstm/answer", axis=1)


def _layer(lstm: nn.LSTM, layer: int) -> dict[str, NDArray[np.float32]]:
    """Both directions' weights of a layer as ONNX wants them: (2,4u,in), (2,4u,u), (2,8u)."""
    parts: dict[str, list[NDArray[np.float32]]] = {"input": [], "recurrent": [], "bias": []}
    for suffix in ("", "_reverse"):
        own: dict[str, Any] = {
            kind: _gates(getattr(lstm, f"{kind}_l{layer}{suffix}"))
            for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        }
        parts["input"].append(own["weight_ih"])
        parts["recurrent"].append(own["weight_hh"])
        parts["bias"].append(np.concatenate([own["bias_ih"], own["bias_hh"]]))
    return {kind: np.stack(arrays) for kind, arrays in parts.items()}


def _gates(weight: Tensor) -> NDArray[np.float32]:
    blocks = np.split(_array(weight), 4)
    return np.concatenate([blocks[i] for i in _ONNX_GATES])


def _array(weight: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = weight.detach().cpu().float().contiguous().numpy()
    return array
