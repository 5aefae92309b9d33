"""fer's network (a small Xception, TensorFlow Lite, partly int8 weights) to ONNX that takes colour pictures.

The published net reads 64x64 grey in [-1, 1]. A 1x1 convolution with the luma weights of ITU-R BT.601 stands before
it, so that it is fed like every other model; the weights sum to 1, so normalising first and mixing after is the same.
The runtime it was published for quantises activations on the way too; here weights are dequantised and all is float.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from engines.zoo.convert.graph import GraphWriter
from engines.zoo.convert.tflite import Network, Operator, read

FILE = "emotion_model_quantized.tflite"
LUMA_RGB = (0.299, 0.587, 0.114)
N_FEATURES = 128


def convert(files: Mapping[str, bytes]) -> bytes:
    """ONNX with outputs `features` (B,128), the pooled input of the last convolution, and `logits` (B,7)."""
    network = read(files[FILE])
    graph = GraphWriter()
    luma = np.array(LUMA_RGB, np.float32).reshape(1, 3, 1, 1)
    names = {network.inputs[0]: graph.conv("image", "luma", luma)}
    *body, last_conv, mean, softmax = network.operators
    if [op.kind for op in (last_conv, mean, softmax)] != ["CONV_2D", "MEAN", "SOFTMAX"]:
        raise ValueError(f"{FILE} does not end in a convolution, a mean and a softmax")
    for step, operator in enumerate([*body, last_conv]):
        names[operator.outputs[0]] = _write(graph, network, operator, names, f"step{step}")
    for output, source in (("features", last_conv.inputs[0]), ("logits", last_conv.outputs[0])):
        pooled = graph.node("GlobalAveragePool", [names[source]], f"{output}/pooled")
        graph.node("Flatten", [pooled], output, axis=1)
    outputs: dict[str, Sequence[int | str]] = {"features": ["batch", N_FEATURES], "logits": ["batch", 7]}
    return graph.bytes_of("fer", ["batch", 3, 64, 64], outputs)


def _write(graph: GraphWriter, network: Network, op: Operator, names: Mapping[int, str], name: str) -> str:
    x = names[op.inputs[0]]
    if op.kind in ("CONV_2D", "DEPTHWISE_CONV_2D"):
        kernel = _constant(network, op.inputs[1])
        bias = _constant(network, op.inputs[2])
        depthwise = op.kind == "DEPTHWISE_CONV_2D"
        weight = kernel.transpose(3, 0, 1, 2) if depthwise else kernel.transpose(0, 3, 1, 2)  # 1HWC | OHWI -> OIHW
        groups = weight.shape[0] if depthwise else 1
        pads = _pads_tlbr(network, op, (weight.shape[2], weight.shape[3]))
        out = graph.conv(x, name, weight, bias, stride=op.stride_hw[0], groups=groups, pads_tlbr=pads)
    elif op.kind == "MAX_POOL_2D":
        pads = _pads_tlbr(network, op, op.kernel_hw)
        out = graph.node(
            "MaxPool", [x], name, kernel_shape=list(op.kernel_hw), pads=list(pads), strides=list(op.stride_hw)
        )
    elif op.kind == "ADD":
        out = graph.node("Add", [x, names[op.inputs[1]]], name)
    else:
        raise ValueError(f"{FILE} has a {op.kind} where none was expected")
    return graph.node("Relu", [out], f"{name}/relu") if op.relu else out


def _pads_tlbr(network: Network, op: Operator, kernel_hw: tuple[int, int]) -> tuple[int, int, int, int]:
    """TensorFlow's "same" padding: just enough, the odd pixel below and to the right."""
    if not op.same_padding:
        return (0, 0, 0, 0)
    pads = []
    for size, kernel, stride in zip(network.tensors[op.inputs[0]].shape[1:3], kernel_hw, op.stride_hw, strict=True):
        total = max(0, (math.ceil(size / stride) - 1) * stride + kernel - size)
        pads.append((total // 2, total - total // 2))
    (top, bottom), (left, right) = pads
    return (top, left, bottom, right)


def _constant(network: Network, number: int) -> NDArray[np.float32]:
    constant = network.tensors[number].constant
    if constant is None:
        raise ValueError(f"{FILE}: {network.tensors[number].name} should be a constant")
    return constant.astype(np.float32)
