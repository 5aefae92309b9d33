"""face-api's expression net: uint8-quantised shards to ONNX.

Four dense blocks of 32, 64, 128 and 256 channels over 112x112 RGB. A block halves the picture in its first
convolution and then adds what its three further convolutions say, each having seen the sum so far; global average
pooling gives 256 features and one dense layer seven logits. Convolutions after the very first are depthwise 3x3
followed by 1x1. Architecture as published in the package's own sources (`src/faceFeatureExtractor`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.zoo.convert.graph import GraphWriter

MANIFEST = "face_expression_model-weights_manifest.json"
SHARD = "face_expression_model.bin"
# "same" padding of a 3x3 convolution: all of the single pixel that stride 2 needs goes below and to the right.
PADS_TLBR = {1: (1, 1, 1, 1), 2: (0, 0, 1, 1)}


def convert(files: Mapping[str, bytes]) -> bytes:
    """ONNX with outputs `features` (B,256) and `logits` (B,7). Raises `ValueError` when the shard is too short."""
    weights = dequantise(json.loads(files[MANIFEST]), files[SHARD])
    graph = GraphWriter()
    x = "image"
    for block in range(4):
        x = _dense_block(graph, x, f"dense{block}", weights, stride=2, first=block == 0)
    x = graph.node("GlobalAveragePool", [x], "pooled")
    features = graph.node("Flatten", [x], "features", axis=1)
    matrix = graph.weight("fc/weight", weights["fc/weights"])
    bias = graph.weight("fc/bias", weights["fc/bias"])
    graph.node("Gemm", [features, matrix, bias], "logits")
    return graph.bytes_of(
        "face_expression", ["batch", 3, 112, 112], {"features": ["batch", 256], "logits": ["batch", 7]}
    )


def dequantise(manifest: list[dict[str, Any]], shard: bytes) -> dict[str, NDArray[np.float32]]:
    """Weights by name: `byte * scale + min` in float64, rounded once, as the original runtime does."""
    weights: dict[str, NDArray[np.float32]] = {}
    offset = 0
    for entry in manifest[0]["weights"]:
        count = int(np.prod(entry["shape"]))
        stored = np.dtype("u1") if "quantization" in entry else np.dtype("<f4")
        if offset + count * stored.itemsize > len(shard):
            raise ValueError(f"{SHARD} ends inside {entry['name']}")
        values = np.frombuffer(shard, stored, count, offset).reshape(entry["shape"])
        offset += values.nbytes
        if "quantization" in entry:
            how = entry["quantization"]
            values = (values.astype(np.float64) * how["scale"] + how["min"]).astype(np.float32)
        weights[entry["name"]] = values.astype(np.float32)
    if offset != len(shard):
        raise ValueError(f"{SHARD} holds {len(shard) - offset} bytes more than its manifest names")
    return weights


def _dense_block(
    graph: GraphWriter, x: str, name: str, weights: Mapping[str, NDArray[np.float32]], *, stride: int, first: bool
) -> str:
    if first:
        kernel = weights[f"{name}/conv0/filters"].transpose(3, 2, 0, 1)  # HWIO -> OIHW
        out = graph.conv(
            x, f"{name}/conv0", kernel, weights[f"{name}/conv0/bias"], stride=stride, pads_tlbr=PADS_TLBR[stride]
        )
    else:
        out = _separable(graph, x, f"{name}/conv0", weights, stride)
    total = out = graph.node("Relu", [out], f"{name}/relu0")
    for step in (1, 2, 3):
        added = _separable(graph, out, f"{name}/conv{step}", weights, 1)
        total = graph.node("Add", [total, added], f"{name}/sum{step}")
        out = graph.node("Relu", [total], f"{name}/relu{step}")
    return out


def _separable(graph: GraphWriter, x: str, name: str, weights: Mapping[str, NDArray[np.float32]], stride: int) -> str:
    depthwise = weights[f"{name}/depthwise_filter"].transpose(2, 3, 0, 1)  # HWC1 -> C1HW
    pointwise = weights[f"{name}/pointwise_filter"].transpose(3, 2, 0, 1)  # 11IO -> OI11
    x = graph.conv(
        x, f"{name}/depthwise", depthwise, stride=stride, groups=depthwise.shape[0], pads_tlbr=PADS_TLBR[stride]
    )
    return graph.conv(x, f"{name}/pointwise", pointwise, weights[f"{name}/bias"])
