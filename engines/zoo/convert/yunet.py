"""YuNet as published is fixed at one picture of 640x640; only its reshapes and declared shapes make it so."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from engines.zoo.convert.centerface import keep_used_weights, rename
from engines.zoo.convert.graph import parsed, serialise, tensor, value

FILE = "face_detection_yunet_2023mar.onnx"
STRIDES_PX = (8, 16, 32)
MAPS = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}


def convert(files: Mapping[str, bytes]) -> bytes:
    """ONNX with input `image` (B,3,H,W) and `cls_8` .. `kps_32` (B,cells,C), cells in rows of the stride's grid."""
    source = parsed(files[FILE])
    graph = source.graph
    rename(graph, {"input": "image"})
    shapes = {node.input[1] for node in graph.node if node.op_type == "Reshape"}
    for i, weight in enumerate(graph.initializer):
        if weight.name in shapes:
            wanted = np.frombuffer(weight.raw_data, "<i8").copy() if weight.raw_data else np.array(weight.int64_data)
            wanted[0] = 0  # 0 keeps the batch axis as it comes, where a fixed 1 stood
            graph.initializer[i].CopyFrom(tensor(weight.name, wanted.astype(np.int64)))
    keep_used_weights(graph)
    del graph.input[:], graph.output[:], graph.value_info[:]
    graph.input.append(value("image", ["batch", 3, "height", "width"]))
    for kind, channels in MAPS.items():
        graph.output.extend(value(f"{kind}_{s}", ["batch", f"cells_{s}", channels]) for s in STRIDES_PX)
    return serialise(graph, source.opset_import[0].version)
