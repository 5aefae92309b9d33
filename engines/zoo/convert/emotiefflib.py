"""EmotiEffLib's multi-task nets answer one row: eight logits, then valence and arousal. Give each its own name."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from onnx import helper

from engines.zoo.convert.centerface import keep_used_weights, rename
from engines.zoo.convert.graph import parsed, serialise, tensor, value

FILE = "enet_b0_8_va_mtl.onnx"
N_CLASSES = 8


def convert(files: Mapping[str, bytes]) -> bytes:
    """ONNX with `features` (B,D), `logits` (B,8), `valence` (B,), `arousal` (B,).

    The last node must be the dense layer whose input are the features; anything else raises `ValueError`.
    """
    source = parsed(files[FILE])
    graph = source.graph
    if not graph.node or graph.node[-1].op_type != "Gemm" or len(graph.output) != 1:
        raise ValueError(f"{FILE} does not end in one dense layer")
    weights = {weight.name: weight for weight in graph.initializer}
    inputs = [entry.name for entry in graph.input if entry.name not in weights]
    if len(inputs) != 1:
        raise ValueError(f"{FILE} has {len(inputs)} inputs where one picture was expected")
    dense = graph.node[-1]
    matrix = weights.get(dense.input[1])
    transposed = any(attribute.name == "transB" and attribute.i for attribute in dense.attribute)
    if matrix is None or matrix.dims[0 if transposed else 1] != N_CLASSES + 2:
        raise ValueError(f"{FILE} does not answer {N_CLASSES} expressions, valence and arousal")
    n_features = matrix.dims[1 if transposed else 0]
    rename(graph, {inputs[0]: "image", dense.input[0]: "features", dense.output[0]: "row"})
    keep_used_weights(graph)
    # Gather means the same in every opset, which Slice and Split do not.
    for name, columns in (
        ("logits", np.arange(N_CLASSES)),
        ("valence", np.array(N_CLASSES)),
        ("arousal", np.array(N_CLASSES + 1)),
    ):
        graph.initializer.append(tensor(f"{name}/columns", columns.astype(np.int64)))
        graph.node.append(helper.make_node("Gather", ["row", f"{name}/columns"], [name], axis=1))
    del graph.input[:], graph.output[:], graph.value_info[:]
    graph.input.append(value("image", ["batch", 3, 224, 224]))
    outputs = {
        "features": ["batch", n_features],
        "logits": ["batch", N_CLASSES],
        "valence": ["batch"],
        "arousal": ["batch"],
    }
    graph.output.extend(value(name, shape) for name, shape in outputs.items())
    return serialise(graph, source.opset_import[0].version)
