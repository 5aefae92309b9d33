"""What the TensorRT runner needs of a GPU: a few calls, so that all that is decided above them is tested without one.

Work given to a stream happens later, in order; `wait` is the only call that waits for it. `tensorrt_pycuda` is the
real one.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Port:
    """An input or output of an engine; `shape` is without the batch."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def n_bytes(self, batch: int) -> int:
        """Of a batch."""
        return batch * int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


class Context(Protocol):
    """One activation of an engine: runs one batch at a time, always of the size it was last given."""

    def bind(self, name: str, address: int) -> None:
        """Where a port's data lies on the device."""

    def resize(self, batch: int) -> None:
        """The batch of the next `enqueue`."""

    def enqueue(self, stream: Hashable) -> None:
        """Give the network to the stream. Raises `EngineError` when it is refused."""


class Engine(Protocol):
    """A loaded plan."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]

    def context(self) -> Context:
        """A new activation."""

    def close(self) -> None:
        """Frees it; its contexts must not be used any more."""


class Driver(Protocol):
    """One GPU. Streams and events are the driver's own objects, addresses are ints."""

    name: str

    def stream(self) -> Hashable:
        """A new stream."""

    def pinned(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """Host memory that the GPU copies from and to by itself."""

    def allocate(self, n_bytes: int) -> int:
        """Device memory; it lives as long as the driver, or until `free`."""

    def free(self, address: int) -> None:
        """Give device memory back."""

    def to_device(self, address: int, array: Array, stream: Hashable) -> None:
        """Copy a contiguous pinned array; it must stay as it is until the copy is done."""

    def to_host(self, array: Array, address: int, stream: Hashable) -> None:
        """Copy into a contiguous pinned array."""

    def launch(self, kernel: str, grid: tuple[int, int, int], arguments: tuple[int, ...], stream: Hashable) -> None:
        """One of `kernels.NAMES`."""

    def capture(self, stream: Hashable, enqueue: Callable[[], None]) -> Callable[[], None] | None:
        """What `enqueue` gives to the stream as one CUDA graph to be launched there; None where it cannot be one."""

    def mark(self, stream: Hashable) -> Hashable:
        """An event after all that the stream was given so far."""

    def wait(self, event: Hashable) -> None:
        """Return once the event has happened. Raises `EngineError` when the GPU failed on the way."""

    def close(self) -> None:
        """Frees everything."""
