"""A GPU of numpy: streams that do their work as late as they may, so that what does not wait reads old values."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.errors import EngineError
from engines.runtime.cuda.kernels import SIGNATURES, grid_of
from engines.runtime.cuda.reference import cut_crops, normalise_crops
from engines.runtime.tensorrt_driver import Array, Port

Network = Callable[[dict[str, NDArray[np.float32]]], dict[str, NDArray[np.float32]]]


class Stream:
    """Pending work, oldest first; `recording` takes it instead while a graph is captured."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.pending: list[Callable[[], None]] = []
        self.recording: list[Callable[[], None]] | None = None
        self.n_done = 0

    def add(self, work: Callable[[], None]) -> None:
        (self.pending if self.recording is None else self.recording).append(work)


class FakeDriver:
    """`log` tells in which order lanes were marked and waited for; `n_made` counts buffers."""

    name = "Fake GPU (TensorRT 0)"

    def __init__(self, *, graphs: bool = True) -> None:
        self.memory: dict[int, NDArray[np.uint8]] = {}
        self.streams: list[Stream] = []
        self.log: list[str] = []
        self.n_made = 0
        self.n_graph_launches = 0
        self.closed = False
        self.fail_next_wait = False
        self._graphs = graphs

    def stream(self) -> Hashable:
        self.streams.append(Stream(len(self.streams)))
        return self.streams[-1]

    def pinned(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        self.n_made += 1
        return np.full(shape, 77, dtype)  # never zero by luck

    def allocate(self, n_bytes: int) -> int:
        self.n_made += 1
        address = 4096 * (1 + self.n_made)
        self.memory[address] = np.full(n_bytes, 77, np.uint8)
        return address

    def free(self, address: int) -> None:
        del self.memory[address]

    def to_device(self, address: int, array: Array, stream: Any) -> None:
        assert array.flags.c_contiguous
        assert array.nbytes <= self.memory[address].size

        def copy() -> None:
            self.memory[address][: array.nbytes] = array.reshape(-1).view(np.uint8)

        stream.add(copy)

    def to_host(self, array: Array, address: int, stream: Any) -> None:
        def copy() -> None:
            array.reshape(-1).view(np.uint8)[:] = self.memory[address][: array.nbytes]

        stream.add(copy)

    def launch(self, kernel: str, grid: tuple[int, int, int], arguments: tuple[int, ...], stream: Any) -> None:
        assert len(arguments) == len(SIGNATURES[kernel])
        stream.add(lambda: self._run(kernel, grid[2], arguments))
        width, height = arguments[3:5] if kernel.startswith("normalise") else arguments[6:8]
        assert grid == grid_of(width, height, grid[2])

    def capture(self, stream: Any, enqueue: Callable[[], None]) -> Callable[[], None] | None:
        if not self._graphs:
            return None
        stream.recording = []
        enqueue()
        recorded, stream.recording = stream.recording, None

        def launch() -> None:
            self.n_graph_launches += 1
            stream.pending.extend(recorded)

        return launch

    def mark(self, stream: Any) -> Hashable:
        self.log.append(f"submit {stream.index}")
        return stream, stream.n_done + len(stream.pending)

    def wait(self, event: Any) -> None:
        stream, until = event
        self.log.append(f"wait {stream.index}")
        while stream.n_done < until:
            stream.pending.pop(0)()
            stream.n_done += 1
        if self.fail_next_wait:
            self.fail_next_wait = False
            raise EngineError("the fake GPU failed on a batch")

    def close(self) -> None:
        self.closed = True
        self.memory = {}

    def view(self, address: int, shape: tuple[int, ...], dtype: Any) -> Any:
        n_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        return self.memory[address][:n_bytes].view(dtype).reshape(shape)

    def _run(self, kernel: str, n: int, arguments: tuple[int, ...]) -> None:
        kind = np.float16 if kernel.endswith("half") else np.float32
        if kernel.startswith("normalise"):
            crops, form, out, width, height = arguments
            pictures = self.view(crops, (n, height, width, 3), np.uint8)
            values = normalise_crops(pictures, self.view(form, (9,), np.float32))
        else:
            frame, parts, maps, colour, form, out, width, height, replicate = arguments
            values = cut_crops(
                self.memory[frame],
                self.view(parts, (3, 6), np.int32),
                self.view(maps, (n, 2, 6), np.float32),
                self.view(colour, (3, 4), np.float32),
                self.view(form, (9,), np.float32),
                width,
                height,
                "replicate" if replicate else "constant",
            )
        self.view(out, (n, 3, height, width), kind)[:] = values


class FakeEngine:
    """`network` as a loaded plan. `refuse` makes the next enqueue fail."""

    def __init__(
        self, driver: FakeDriver, inputs: tuple[Port, ...], outputs: tuple[Port, ...], network: Network
    ) -> None:
        self.driver, self.inputs, self.outputs, self.network = driver, inputs, outputs, network
        self.batches: list[int] = []
        self.n_contexts = 0
        self.refuse = False
        self.closed = False

    def context(self) -> FakeContext:
        self.n_contexts += 1
        return FakeContext(self)

    def close(self) -> None:
        self.closed = True


class FakeContext:
    """Runs the network over device memory when its stream comes to it."""

    def __init__(self, engine: FakeEngine) -> None:
        self._engine = engine
        self._addresses: dict[str, int] = {}
        self._batch = 0

    def bind(self, name: str, address: int) -> None:
        self._addresses[name] = address

    def resize(self, batch: int) -> None:
        self._batch = batch

    def enqueue(self, stream: Any) -> None:
        engine, batch = self._engine, self._batch
        if engine.refuse:
            engine.refuse = False
            raise EngineError("TensorRT refused a batch: so told")
        assert batch > 0
        assert self._addresses.keys() == {port.name for port in (*engine.inputs, *engine.outputs)}

        def run() -> None:
            def at(port: Port) -> Any:
                return engine.driver.view(self._addresses[port.name], (batch, *port.shape), port.dtype)

            engine.batches.append(batch)
            answers = engine.network({port.name: at(port).astype(np.float32) for port in engine.inputs})
            for port in engine.outputs:
                at(port)[:] = answers[port.name]

        stream.add(run)
