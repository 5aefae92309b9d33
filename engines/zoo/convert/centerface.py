"""CenterFace as published has a fixed shape and numbers for names: free the one, replace the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engines.zoo.convert.graph import parsed, serialise, value

FILE = "centerface.onnx"
OUTPUTS = {"537": ("heat", 1), "538": ("scale", 2), "539": ("offset", 2), "540": ("points", 10)}


def convert(files: Mapping[str, bytes]) -> bytes:
    """ONNX with input `image` (B,3,H,W) and the four maps (B,C,H/4,W/4) by name."""
    source = parsed(files[FILE])
    graph = source.graph
    rename(graph, {"input.1": "image"} | {old: new for old, (new, _) in OUTPUTS.items()})
    keep_used_weights(graph)
    del graph.input[:], graph.output[:], graph.value_info[:]
    graph.input.append(value("image", ["batch", 3, "height", "width"]))
    graph.output.extend(value(name, ["batch", n, "rows", "columns"]) for name, n in OUTPUTS.values())
    return serialise(graph, source.opset_import[0].version)


def rename(graph: Any, names: Mapping[str, str]) -> None:
    """Rename tensors wherever a node reads or writes them. Raises `ValueError` when one of them is not there."""
    seen = set()
    for node in graph.node:
        for tensors in (node.input, node.output):
            for i, name in enumerate(tensors):
                if name in names:
                    tensors[i] = names[name]
                    seen.add(name)
    if missing := set(names) - seen:
        raise ValueError(f"this is another network than expected: it has no tensor {', '.join(sorted(missing))}")


def keep_used_weights(graph: Any) -> None:
    """Drop constants no node reads (training counters)."""
    read = {name for node in graph.node for name in node.input}
    kept = [weight for weight in graph.initializer if weight.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)
