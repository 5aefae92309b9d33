"""The few parts of a TensorFlow Lite file that hold a plain convolutional network, read without TensorFlow.

A TFLite file is a FlatBuffer: tables whose fields are found through a vtable of 16-bit offsets (FlatBuffers internals,
"Encoding"; field numbers are those of TensorFlow's `schema.fbs`, version 3).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

OPERATORS = {0: "ADD", 3: "CONV_2D", 4: "DEPTHWISE_CONV_2D", 17: "MAX_POOL_2D", 25: "SOFTMAX", 40: "MEAN"}
ELEMENTS: dict[int, np.dtype[Any]] = {0: np.dtype("<f4"), 2: np.dtype("<i4"), 4: np.dtype("<i8"), 9: np.dtype("i1")}


@dataclass(frozen=True)
class Tensor:
    """`constant` holds float32 values (dequantised) or integers; None for what is computed."""

    name: str
    shape: tuple[int, ...]
    constant: NDArray[np.float32] | NDArray[np.int64] | None


@dataclass(frozen=True)
class Operator:
    """One step: tensor numbers in and out, and the options of convolutions, pooling and sums."""

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    same_padding: bool = False
    stride_hw: tuple[int, int] = (1, 1)
    kernel_hw: tuple[int, int] = (1, 1)
    relu: bool = False


@dataclass(frozen=True)
class Network:
    """The first subgraph of a file."""

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def read(content: bytes) -> Network:
    """The network in a `.tflite` file. Raises `ValueError` when it is none or uses what is not known here."""
    if content[4:8] != b"TFL3":
        raise ValueError("not a TensorFlow Lite file")
    try:
        model = _Table(content, struct.unpack_from("<I", content, 0)[0])
        kinds = [_kind(code) for code in model.tables(1)]
        buffers = model.tables(4)
        graph = model.tables(2)[0]
        tensors = tuple(_tensor(table, buffers) for table in graph.tables(0))
        operators = tuple(_operator(table, kinds) for table in graph.tables(3))
        return Network(tensors, operators, graph.integers(1), graph.integers(2))
    except (struct.error, IndexError) as error:
        raise ValueError(f"damaged TensorFlow Lite file: {error}") from error


class _Table:
    """A FlatBuffer table at byte `at`; fields by number, absent ones give their default."""

    def __init__(self, content: bytes, at: int) -> None:
        self.content = content
        self.at = at
        self._vtable = at - struct.unpack_from("<i", content, at)[0]

    def _field(self, number: int) -> int | None:
        (vtable_bytes,) = struct.unpack_from("<H", self.content, self._vtable)
        slot = 4 + 2 * number
        if slot >= vtable_bytes:
            return None
        (offset,) = struct.unpack_from("<H", self.content, self._vtable + slot)
        return self.at + offset if offset else None

    def number(self, number: int, form: str, default: int = 0) -> int:
        """A scalar field in `struct` notation."""
        at = self._field(number)
        return default if at is None else int(struct.unpack_from(form, self.content, at)[0])

    def table(self, number: int) -> _Table | None:
        """A table field."""
        at = self._field(number)
        return None if at is None else _Table(self.content, at + struct.unpack_from("<I", self.content, at)[0])

    def _vector(self, number: int) -> tuple[int, int]:
        at = self._field(number)
        if at is None:
            return 0, 0
        start = at + struct.unpack_from("<I", self.content, at)[0]
        return start + 4, struct.unpack_from("<I", self.content, start)[0]

    def tables(self, number: int) -> list[_Table]:
        """A vector of tables."""
        start, count = self._vector(number)
        places = range(start, start + 4 * count, 4)
        return [_Table(self.content, at + struct.unpack_from("<I", self.content, at)[0]) for at in places]

    def array(self, number: int, element: np.dtype[np.generic]) -> NDArray[np.generic]:
        """A vector of scalars."""
        start, count = self._vector(number)
        return np.frombuffer(self.content, element, count, start)

    def integers(self, number: int) -> tuple[int, ...]:
        """A vector of 32-bit integers."""
        return tuple(int(value) for value in self.array(number, np.dtype("<i4")))

    def data(self, number: int) -> bytes:
        """A vector of bytes, or a string."""
        start, count = self._vector(number)
        return self.content[start : start + count]


def _kind(code: _Table) -> str:
    # Newer files keep the code in field 3; field 0 is what older readers look at. The larger one is meant.
    number = max(code.number(0, "<b"), code.number(3, "<i"))
    if number not in OPERATORS:
        raise ValueError(f"TensorFlow Lite operator {number} is not known here")
    return OPERATORS[number]


def _tensor(table: _Table, buffers: list[_Table]) -> Tensor:
    shape = table.integers(0)
    kind = table.number(1, "<b")
    raw = buffers[table.number(2, "<I")].data(0)
    constant: NDArray[np.float32] | NDArray[np.int64] | None = None
    if raw:
        if kind not in ELEMENTS:
            raise ValueError(f"TensorFlow Lite element type {kind} is not known here")
        values = np.frombuffer(raw, ELEMENTS[kind]).reshape(shape)
        quantization = table.table(4)
        scales = quantization.array(2, np.dtype("<f4")) if quantization else np.zeros(0, np.float32)
        if kind == 9 and quantization is not None and scales.size:
            zero_points = quantization.array(3, np.dtype("<i8"))
            along = [1] * len(shape)
            along[quantization.number(6, "<i")] = scales.size
            values = values.astype(np.float32) - zero_points.astype(np.float32).reshape(along)
            constant = (values * scales.astype(np.float32).reshape(along)).astype(np.float32)
        elif kind == 0:
            constant = values.astype(np.float32)
        else:
            constant = values.astype(np.int64)
    return Tensor(table.data(3).decode("utf-8", "replace"), shape, constant)


def _operator(table: _Table, kinds: list[str]) -> Operator:
    kind = kinds[table.number(0, "<I")]
    options = table.table(4)
    inputs, outputs = table.integers(1), table.integers(2)
    if options is None:
        return Operator(kind, inputs, outputs)
    same = options.number(0, "<b") == 0
    stride_hw = options.number(2, "<i"), options.number(1, "<i")
    if kind == "CONV_2D":
        return Operator(kind, inputs, outputs, same, stride_hw, relu=_relu(options, 3))
    if kind == "DEPTHWISE_CONV_2D":
        return Operator(kind, inputs, outputs, same, stride_hw, relu=_relu(options, 4))
    if kind == "MAX_POOL_2D":
        kernel_hw = options.number(4, "<i"), options.number(3, "<i")
        return Operator(kind, inputs, outputs, same, stride_hw, kernel_hw, _relu(options, 5))
    return Operator(kind, inputs, outputs, relu=kind == "ADD" and _relu(options, 0))


def _relu(options: _Table, number: int) -> bool:
    activation = options.number(number, "<b")
    if activation not in (0, 1):
        raise ValueError(f"TensorFlow Lite activation {activation} is not known here")
    return activation == 1
