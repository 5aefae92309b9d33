"""What a network asks of a machine, counted from its ONNX file: multiplications, values moved, kernels.

python -m engines.runtime.operations FILE.onnx --size 112x112
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path

import click
import onnx
from onnx import numpy_helper

from engines.errors import EngineError

_HEAVY = {"Conv", "ConvTranspose", "Gemm", "MatMul"}


@dataclass(frozen=True, slots=True)
class Work:
    """Of one picture. `multiply_adds` of convolutions and products (twice that are operations); `values` that they read
    and write besides their weights, as if everything else were done on the way; `weights` there are; `kernels`, one for
    each of them."""

    multiply_adds: int
    values: int
    weights: int
    kernels: int


def work_of(network: onnx.ModelProto, width: int, height: int) -> Work:
    """The work for one picture of that size. Raises `EngineError` where shapes cannot be told."""
    model = onnx.ModelProto()
    model.CopyFrom(network)
    constant = {one.name: one for one in model.graph.initializer}
    (image,) = [one for one in model.graph.input if one.name not in constant][:1]
    dims = image.type.tensor_type.shape.dim
    if len(dims) != 4:
        raise EngineError(f"{image.name} is no picture: it has {len(dims)} dimensions")
    for dim, size in zip(dims, (1, 3, height, width), strict=True):
        dim.Clear()
        dim.dim_value = size
    for inner in (*model.graph.output, *model.graph.value_info):
        inner.type.tensor_type.ClearField("shape")
    del model.graph.value_info[:]
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=False, data_prop=True).graph
    shapes = {
        one.name: [dim.dim_value for dim in one.type.tensor_type.shape.dim]
        for one in (*inferred.input, *inferred.output, *inferred.value_info)
    }
    shapes |= {name: list(one.dims) for name, one in constant.items()}
    for node in model.graph.node:
        if node.op_type == "Constant":
            shapes[node.output[0]] = list(numpy_helper.to_array(node.attribute[0].t).shape)
    total = [0, 0, 0, 0]
    for node in model.graph.node:
        if node.op_type in _HEAVY:
            for place, more in enumerate(_of(node, shapes)):
                total[place] += more
    return Work(*total)


def _of(node: onnx.NodeProto, shapes: dict[str, list[int]]) -> tuple[int, int, int, int]:
    given, weight, made = (shapes.get(name, []) for name in (node.input[0], node.input[1], node.output[0]))
    if not (given and weight and made) or 0 in (*given, *weight, *made):
        raise EngineError(f"the shapes around {node.name or node.op_type} cannot be told")
    if node.op_type == "ConvTranspose":
        products = prod(given) * prod(weight[1:])
    elif node.op_type == "Conv":
        products = prod(made) * prod(weight[1:])
    else:
        products = prod(made) * given[-1]
    return products, prod(given) + prod(made), prod(weight), 1


@click.command()
@click.argument("path", type=click.Path(path_type=Path, exists=True))
@click.option("--size", required=True, metavar="WxH", help="Of the picture, in pixels.")
def main(path: Path, size: str) -> None:
    """What the network in PATH asks for each picture, as JSON.

    Example: python -m engines.runtime.operations face-api.onnx --size 112x112
    """
    found = re.fullmatch(r"(\d+)x(\d+)", size)
    if found is None:
        raise click.BadParameter("write width x height, as 112x112", param_hint="--size")
    try:
        click.echo(json.dumps(asdict(work_of(onnx.load(str(path)), int(found[1]), int(found[2])))))
    except EngineError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
