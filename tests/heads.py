"""A temporal head with made-up weights, for tests of everything that carries state from frame to frame."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from onnx import helper

from engines.spec import ContextName, HeadSpec, StatKind, stat_size
from engines.zoo.convert.graph import OPSET, serialise, tensor, value


def write_test_head(
    folder: Path,
    stat: StatKind = "probs",
    window: int = 16,
    n_features: int = 256,
    hidden: int = 32,
    seed: int = 5,
    context: tuple[ContextName, ...] = (),
) -> Path:
    """Write `head.onnx` and `head.json` into `folder` and return the latter.

    One forward LSTM step over the probs, state in and out, then one dense layer over features, probs, STAT, context
    and h. No features are read when `n_features` is 0. The seed fixes the bytes.
    """
    random = np.random.default_rng(seed)
    nodes: list[Any] = []
    weights: list[Any] = []

    def node(op: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(op, list(inputs), [output], **attributes))
        return output

    def dense(x: str, name: str, n_in: int, n_out: int) -> str:
        matrix = random.standard_normal((n_in, n_out)).astype(np.float32) / np.float32(np.sqrt(n_in))
        weights.append(tensor(f"{name}/weight", matrix))
        weights.append(tensor(f"{name}/bias", (random.standard_normal(n_out) * 0.1).astype(np.float32)))
        return node("Gemm", [x, f"{name}/weight", f"{name}/bias"], name)

    read = {"features": n_features, "probs": 7} if n_features else {"probs": 7}
    if context:
        read["context"] = len(context)
    if stat != "none":
        read["stat"] = stat_size(stat, n_features)
    seen = node("Concat", ["probs", "h"], "step", axis=1)
    gates = dense(seen, "gates", 7 + hidden, 4 * hidden)
    nodes.append(helper.make_node("Split", [gates, "parts"], ["i_raw", "f_raw", "g_raw", "o_raw"], axis=1))
    weights.append(tensor("parts", np.full(4, hidden, np.int64)))
    for gate in "ifo":
        node("Sigmoid", [f"{gate}_raw"], gate)
    node("Tanh", ["g_raw"], "g")
    kept = node("Mul", ["f", "c"], "kept")
    added = node("Mul", ["i", "g"], "added")
    node("Add", [kept, added], "c_out")
    node("Tanh", ["c_out"], "c_squashed")
    node("Mul", ["o", "c_squashed"], "h_out")
    seen_now = list(read)
    if context:  # records' units are large numbers, which would drown the rest
        sizes = np.array([{"gap_s": 1, "detector_score": 1}.get(name, 64) for name in context], np.float32)
        weights.append(tensor("context/scale", 1 / sizes))
        seen_now[seen_now.index("context")] = node("Mul", ["context", "context/scale"], "context/scaled")
    fused = node("Concat", [*seen_now, "h_out"], "fused", axis=1)
    n_fused = sum(read.values()) + hidden
    node("Softmax", [dense(fused, "expression", n_fused, 7)], "probs_out", axis=1)
    for name in ("valence", "arousal"):
        row = node("Tanh", [dense(fused, f"{name}_raw", n_fused, 1)], f"{name}_row")
        weights.append(tensor(f"{name}_axis", np.array([1], np.int64)))
        node("Squeeze", [row, f"{name}_axis"], name)
    shapes = read | {"h": hidden, "c": hidden}
    outputs = {"probs_out": [7], "valence": [], "arousal": [], "h_out": [hidden], "c_out": [hidden]}
    graph = helper.make_graph(
        nodes,
        "test_head",
        [value(name, ["batch", size]) for name, size in shapes.items()],
        [value(name, ["batch", *size]) for name, size in outputs.items()],
        initializer=weights,
    )
    content = serialise(graph, OPSET)
    path = folder / "head.onnx"
    path.write_bytes(content)
    spec = HeadSpec(
        name=f"test-{stat}",
        version="1",
        sha256=hashlib.sha256(content).hexdigest(),
        stat=stat,
        window=window,
        n_features=n_features,
        hidden=hidden,
        context=context,
    )
    described = path.with_suffix(".json")
    described.write_bytes(msgspec.json.encode(spec))
    return described
