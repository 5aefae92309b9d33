"""The ONNX operators that the torch runner knows, each as torch computes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from engines.errors import EngineError

Operator = Callable[..., Any]
_CONV: dict[int, Callable[..., Tensor]] = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
_CONV_TRANSPOSE: dict[int, Callable[..., Tensor]] = {
    1: functional.conv_transpose1d,
    2: functional.conv_transpose2d,
    3: functional.conv_transpose3d,
}


def _ints(value: Tensor | None) -> list[int]:
    assert value is not None, "an operator lacks the sizes or axes it needs"
    return [int(one) for one in value.reshape(-1).tolist()]


def _pads(a: dict[str, Any], rank: int) -> tuple[list[int], bool]:
    """Padding before and after each axis, and whether both are the same."""
    if a.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        raise EngineError(
            f"the torch runner does not know auto_pad {a['auto_pad'].decode()}: export the padding itself"
        )
    pads = list(a.get("pads", [0] * 2 * rank))
    return pads, pads[:rank] == pads[rank:]


def _padded(x: Tensor, pads: list[int], value: float) -> Tensor:
    rank = len(pads) // 2
    order = [pads[axis + side * rank] for axis in reversed(range(rank)) for side in (0, 1)]
    return functional.pad(x, order, value=value)


def _conv(a: dict[str, Any], _: int) -> Operator:
    def run(x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
        rank = w.ndim - 2
        pads, even = _pads(a, rank)
        if not even:
            x = _padded(x, pads, 0.0)
        stride, dilation = a.get("strides", [1] * rank), a.get("dilations", [1] * rank)
        padding = pads[:rank] if even else [0] * rank
        return _CONV[rank](x, w, b, stride, padding, dilation, a.get("group", 1))

    return run


def _conv_transpose(a: dict[str, Any], _: int) -> Operator:
    def run(x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
        rank = w.ndim - 2
        pads, even = _pads(a, rank)
        if not even or "output_shape" in a:
            raise EngineError("the torch runner knows transposed convolutions with even padding only")
        stride, dilation = a.get("strides", [1] * rank), a.get("dilations", [1] * rank)
        extra = a.get("output_padding", [0] * rank)
        return _CONV_TRANSPOSE[rank](x, w, b, stride, pads[:rank], extra, a.get("group", 1), dilation)

    return run


def _pool(largest: bool) -> Callable[[dict[str, Any], int], Operator]:
    def make(a: dict[str, Any], _: int) -> Operator:
        def run(x: Tensor) -> Tensor:
            kernel = list(a["kernel_shape"])
            rank = len(kernel)
            if rank != 2 or a.get("dilations", [1, 1]) != [1, 1]:
                raise EngineError("the torch runner pools pictures, without dilation")
            pads, even = _pads(a, rank)
            stride, ceil = list(a.get("strides", [1] * rank)), bool(a.get("ceil_mode", 0))
            if largest:
                x, padding = (x, pads[:rank]) if even else (_padded(x, pads, float("-inf")), [0] * rank)
                return functional.max_pool2d(x, kernel, stride, padding, 1, ceil)
            if not even:
                raise EngineError("the torch runner averages with even padding only")
            return functional.avg_pool2d(x, kernel, stride, pads[:rank], ceil, bool(a.get("count_include_pad", 0)))

        return run

    return make


def _reduce(how: Callable[..., Tensor]) -> Callable[[dict[str, Any], int], Operator]:
    def make(a: dict[str, Any], _: int) -> Operator:
        def run(x: Tensor, axes: Tensor | None = None) -> Tensor:
            over = list(a["axes"]) if "axes" in a else _ints(axes) if axes is not None else list(range(x.ndim))
            return how(x, over, keepdim=bool(a.get("keepdims", 1)))

        return run

    return make


def _gemm(a: dict[str, Any], _: int) -> Operator:
    alpha, beta = a.get("alpha", 1.0), a.get("beta", 1.0)

    def run(x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
        x = x.T if a.get("transA", 0) else x
        w = w if a.get("transB", 0) else w.T
        if alpha == beta == 1.0 and (b is None or b.ndim == 1):
            product: Tensor = functional.linear(x, w, b)
            return product
        out: Tensor = alpha * functional.linear(x, w)
        return out if b is None else out + beta * b

    return run


def _reshape(a: dict[str, Any], _: int) -> Operator:
    def run(x: Tensor, shape: Tensor) -> Tensor:
        sizes = _ints(shape)
        if not a.get("allowzero", 0):
            sizes = [x.shape[i] if size == 0 else size for i, size in enumerate(sizes)]
        return x.reshape(sizes)

    return run


def _split(a: dict[str, Any], _: int) -> Operator:
    def run(x: Tensor, sizes: Tensor | None = None) -> tuple[Tensor, ...]:
        axis = a.get("axis", 0)
        if sizes is None and "split" not in a:
            return tuple(x.chunk(a["num_outputs"], axis))
        return tuple(x.split(list(a["split"]) if "split" in a else _ints(sizes), axis))

    return run


def _squeeze(a: dict[str, Any], _: int) -> Operator:
    def run(x: Tensor, axes: Tensor | None = None) -> Tensor:
        if "axes" not in a and axes is None:
            return x.squeeze()
        return x.squeeze(tuple(a["axes"]) if "axes" in a else tuple(_ints(axes)))

    return run


def _unsqueeze(a: dict[str, Any], _: int) -> Operator:
    def run(x: Tensor, axes: Tensor | None = None) -> Tensor:
        wanted = list(a["axes"]) if "axes" in a else _ints(axes)
        rank = x.ndim + len(wanted)
        for axis in sorted(axis % rank for axis in wanted):
            x = x.unsqueeze(axis)
        return x

    return run


def _clip(a: dict[str, Any], _: int) -> Operator:
    def run(x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
        least = a.get("min") if low is None else float(low)
        most = a.get("max") if high is None else float(high)
        return x if least is most is None else x.clamp(least, most)

    return run


def _softmax(a: dict[str, Any], opset: int) -> Operator:
    axis = a.get("axis", -1 if opset >= 13 else 1)

    def run(x: Tensor) -> Tensor:
        if opset >= 13 or axis in (-1, x.ndim - 1):
            return x.softmax(axis)
        return x.flatten(axis).softmax(-1).reshape(x.shape)

    return run


def _norm(a: dict[str, Any], _: int) -> Operator:
    def run(x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, var: Tensor) -> Tensor:
        normed: Tensor = functional.batch_norm(x, mean, var, scale, bias, eps=a.get("epsilon", 1e-5))
        return normed

    return run


def _slice(_: dict[str, Any], __: int) -> Operator:
    def run(x: Tensor, starts: Tensor, ends: Tensor, axes: Tensor | None = None, steps: Tensor | None = None) -> Tensor:
        begin, end = _ints(starts), _ints(ends)
        along = _ints(axes) if axes is not None else list(range(len(begin)))
        by = _ints(steps) if steps is not None else [1] * len(begin)
        if min(by) < 1:
            raise EngineError("the torch runner does not know slices that run backwards")
        index = [slice(None)] * x.ndim
        for axis, low, high, step in zip(along, begin, end, by, strict=True):
            index[axis] = slice(low, high, step)
        return x[tuple(index)]

    return run


def _plain(function: Operator) -> Callable[[dict[str, Any], int], Operator]:
    return lambda _, __: function


OPERATORS: dict[str, Callable[[dict[str, Any], int], Operator]] = {
    "Abs": _plain(torch.abs),
    "Add": _plain(torch.add),
    "AveragePool": _pool(False),
    "BatchNormalization": _norm,
    "Clip": _clip,
    "Concat": lambda a, _: lambda *x: torch.cat(x, a["axis"]),
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Div": _plain(torch.div),
    "Dropout": _plain(lambda x, *_: x),
    "Erf": _plain(torch.erf),
    "Exp": _plain(torch.exp),
    "Flatten": lambda a, _: lambda x: x.reshape(int(np.prod(x.shape[: a.get("axis", 1)])), -1),
    "Gemm": _gemm,
    "GlobalAveragePool": _plain(lambda x: x.mean(tuple(range(2, x.ndim)), keepdim=True)),
    "HardSigmoid": lambda a, _: lambda x: (x * a.get("alpha", 0.2) + a.get("beta", 0.5)).clamp(0, 1),
    "HardSwish": _plain(functional.hardswish),
    "Identity": _plain(lambda x: x),
    "LeakyRelu": lambda a, _: lambda x: functional.leaky_relu(x, a.get("alpha", 0.01)),
    "Log": _plain(torch.log),
    "MatMul": _plain(torch.matmul),
    "MaxPool": _pool(True),
    "Mul": _plain(torch.mul),
    "Neg": _plain(torch.neg),
    "Pow": _plain(torch.pow),
    "PRelu": _plain(lambda x, slope: torch.where(x < 0, x * slope, x)),
    "Reciprocal": _plain(torch.reciprocal),
    "ReduceMean": _reduce(torch.mean),
    "ReduceSum": _reduce(torch.sum),
    "Relu": _plain(torch.relu),
    "Reshape": _reshape,
    "Sigmoid": _plain(torch.sigmoid),
    "Slice": _slice,
    "Softmax": _softmax,
    "Split": _split,
    "Sqrt": _plain(torch.sqrt),
    "Squeeze": _squeeze,
    "Sub": _plain(torch.sub),
    "Tanh": _plain(torch.tanh),
    "Transpose": lambda a, _: lambda x: x.permute(a["perm"] if "perm" in a else list(reversed(range(x.ndim)))),
    "Unsqueeze": _unsqueeze,
}
"""By name: from a node's attributes and the file's opset to a function of its inputs."""
