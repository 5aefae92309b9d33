"""Small made-up networks with the interfaces of the real ones."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from engines.zoo.convert import face_api

WIDTHS = (3, 32, 64, 128, 256)


def face_api_weights(seed: int) -> dict[str, NDArray[np.float32]]:
    """Weights by the published names, scaled so that activations stay near 1."""
    random = np.random.default_rng(seed)

    def draw(*shape: int, fan: int) -> NDArray[np.float32]:
        return np.asarray(random.standard_normal(shape) / np.sqrt(fan), np.float32)

    weights: dict[str, NDArray[np.float32]] = {}
    for block in range(4):
        n_in, n_out = WIDTHS[block], WIDTHS[block + 1]
        for conv in range(4):
            name = f"dense{block}/conv{conv}"
            c = n_in if conv == 0 else n_out
            if block == 0 and conv == 0:
                weights[f"{name}/filters"] = draw(3, 3, c, n_out, fan=9 * c)
            else:
                weights[f"{name}/depthwise_filter"] = draw(3, 3, c, 1, fan=9)
                weights[f"{name}/pointwise_filter"] = draw(1, 1, c, n_out, fan=c)
            weights[f"{name}/bias"] = draw(n_out, fan=100)
    weights["fc/weights"] = draw(256, 7, fan=256)
    weights["fc/bias"] = draw(7, fan=1)
    return weights


def face_api_files(weights: dict[str, NDArray[np.float32]]) -> tuple[dict[str, bytes], dict[str, NDArray[np.float32]]]:
    """Manifest and shard as published (kernels quantised to uint8, biases float), and what they stand for."""
    entries: list[dict[str, Any]] = []
    shard = b""
    meant: dict[str, NDArray[np.float32]] = {}
    for name, values in weights.items():
        entry: dict[str, Any] = {"name": name, "shape": list(values.shape), "dtype": "float32"}
        if name.endswith("bias"):
            shard += values.astype("<f4").tobytes()
            meant[name] = values
        else:
            low = float(values.min())
            scale = (float(values.max()) - low) / 255
            stored = np.round((values.astype(np.float64) - low) / scale).astype(np.uint8)
            entry["quantization"] = {"dtype": "uint8", "scale": scale, "min": low}
            shard += stored.tobytes()
            meant[name] = (stored * scale + low).astype(np.float32)
        entries.append(entry)
    manifest = json.dumps([{"weights": entries, "paths": [face_api.SHARD]}]).encode()
    return {face_api.MANIFEST: manifest, face_api.SHARD: shard}, meant


def emotiefflib_network(opset: int, n_features: int = 12, n_out: int = 10, seed: int = 3) -> bytes:
    """A convolution, a pool and one dense layer of `n_out` columns: input `input` (?,3,224,224), output `output`."""
    random = np.random.default_rng(seed)

    def constant(name: str, *shape: int) -> Any:
        values = (random.standard_normal(shape) * 0.3).astype(np.float32)
        return helper.make_tensor(name, TensorProto.FLOAT, shape, values.ravel())

    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["input", "kernel"], ["convolved"], strides=[16, 16], kernel_shape=[5, 5]),
            helper.make_node("Relu", ["convolved"], ["active"]),
            helper.make_node("GlobalAveragePool", ["active"], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], ["flat"], axis=1),
            helper.make_node("Gemm", ["flat", "matrix", "bias"], ["output"], transB=1),
        ],
        "made_up",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch_size", 3, 224, 224])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch_size", n_out])],
        initializer=[
            constant("kernel", n_features, 3, 5, 5),
            constant("matrix", n_out, n_features),
            constant("bias", n_out),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=6)
    content: bytes = model.SerializeToString()
    return content


def answers(content: bytes, image_nchw: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """Outputs of an ONNX network by name, run by the engine at fp32."""
    from engines.runtime.compiled import configuration, core

    compiled = core().compile_model(core().read_model(content), "CPU", configuration("fp32"))
    results = compiled([image_nchw])
    return {name: np.array(results[port]) for port in compiled.outputs for name in port.names}
