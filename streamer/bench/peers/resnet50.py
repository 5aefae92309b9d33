"""A ResNet50 with random weights, in the form that the worker runs: enough to tell speed, and for nothing else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from engines.spec import EXPRESSIONS, CropGeometry, ModelSpec, Normalisation, Provenance, TensorSpec
from engines.zoo.cache import sha256_of_bytes
from engines.zoo.convert.graph import GraphWriter

SIDE = 224
N_FEATURES = 2048
_STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))
_BRANCH_GAIN = 0.2
"""Branches are small beside what goes around them, so that numbers stay of one size through fifty layers."""


def write_random_export(folder: Path) -> Path:
    """`backbone.onnx` and `backbone.json` in `folder`, as `engines export` writes them; always the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    content = _network(np.random.default_rng(0))
    (folder / "backbone.onnx").write_bytes(content)
    (folder / "backbone.json").write_bytes(msgspec.json.encode(_spec(sha256_of_bytes(content))))
    return folder


class _Layers:
    """Convolutions with weights that keep the size of what goes through."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self.graph = GraphWriter()

    def conv(self, x: str, name: str, n_in: int, n_out: int, side: int, stride: int = 1, gain: float = 1.0) -> str:
        scale = gain * math.sqrt(2 / (n_in * side * side))
        weight = (self._rng.standard_normal((n_out, n_in, side, side), np.float32) * scale).astype(np.float32)
        pad = side // 2
        bias = np.zeros(n_out, np.float32)
        return self.graph.conv(x, name, weight, bias, stride=stride, pads_tlbr=(pad, pad, pad, pad))

    def relu(self, x: str) -> str:
        return self.graph.node("Relu", [x], f"{x}/relu")


def _network(rng: np.random.Generator) -> bytes:
    """He et al. 2016 with a bottleneck's stride in its first convolution, batch normalisation folded away."""
    layers = _Layers(rng)
    graph = layers.graph
    x = layers.relu(layers.conv("image", "stem", 3, 64, 7, 2, gain=0.01))  # pictures come with a spread of about 60
    x = graph.node("MaxPool", [x], "pooled", kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1])
    n_in = 64
    for stage, (width, n_blocks, stride) in enumerate(_STAGES):
        for block in range(n_blocks):
            name, n_out = f"layer{stage + 1}.{block}", 4 * width
            first = stride if block == 0 else 1
            inner = layers.relu(layers.conv(x, f"{name}/conv1", n_in, width, 1, first))
            inner = layers.relu(layers.conv(inner, f"{name}/conv2", width, width, 3))
            inner = layers.conv(inner, f"{name}/conv3", width, n_out, 1, gain=_BRANCH_GAIN)
            around = layers.conv(x, f"{name}/around", n_in, n_out, 1, first) if block == 0 else x
            x = layers.relu(graph.node("Add", [inner, around], f"{name}/sum"))
            n_in = n_out
    x = graph.node("GlobalAveragePool", [x], "averaged")
    graph.node("Flatten", [x], "features", axis=1)
    head = rng.standard_normal((len(EXPRESSIONS), N_FEATURES), np.float32) / np.float32(math.sqrt(N_FEATURES))
    weights = [graph.weight("fc/weight", head), graph.weight("fc/bias", np.zeros(len(EXPRESSIONS), np.float32))]
    graph.node("Gemm", ["features", *weights], "logits", transB=1)
    outputs: dict[str, Sequence[int | str]] = {
        "features": ("batch", N_FEATURES),
        "logits": ("batch", len(EXPRESSIONS)),
    }
    return graph.bytes_of("resnet50-random", ("batch", 3, SIDE, SIDE), outputs)


def _spec(sha256: str) -> ModelSpec:
    return ModelSpec(
        name="resnet50-random",
        version="1",
        role="expression",
        inputs=(TensorSpec(name="image", shape=(-1, SIDE, SIDE, 3), dtype="uint8"),),
        outputs=(
            TensorSpec(name="features", shape=(-1, N_FEATURES)),
            TensorSpec(name="logits", shape=(-1, len(EXPRESSIONS))),
        ),
        sha256=sha256,
        normalisation=Normalisation(
            colour="bgr", layout="nchw", mean=(91.4953, 103.8827, 131.0912), std=(1.0, 1.0, 1.0)
        ),
        provenance=Provenance(
            licence="CC0-1.0",
            origin="made up by `streamer bench peers`",
            trained_on="nothing: its weights are random",
            notes="For measurements of speed only; its labels mean nothing.",
        ),
        crop=CropGeometry(kind="box", width=SIDE, height=SIDE),
        class_order=tuple(EXPRESSIONS),
        n_features=N_FEATURES,
        prepared_batches=(1, 4, 8),
        batch_invariant=True,
    )
