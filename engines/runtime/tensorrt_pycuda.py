"""The driver and the engine for real: pycuda for memory, streams and kernels, TensorRT for the network.

This is the only module that imports pycuda, and it does so when a runner is opened. Buffers, streams and TensorRT's
own work share the device's primary context.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

import numpy as np

from engines.errors import EngineError
from engines.runtime.cuda.devices import CudaDevice
from engines.runtime.cuda.kernels import BLOCK_WH, SIGNATURES, kernels_for
from engines.runtime.tensorrt_driver import Array, Port
from engines.runtime.tensorrt_library import TensorRt, tensorrt_library
from engines.runtime.tensorrt_plan import PlanRecord, check_plan, library_kind
from engines.zoo.cache import cache_folder


class PycudaDriver:
    """See `engines.runtime.tensorrt_driver.Driver`. Belongs to the thread that made it."""

    def __init__(self, device: CudaDevice, cubin: bytes, name: str) -> None:
        try:
            from pycuda import driver
        except ImportError as error:
            raise EngineError(f"pycuda cannot be loaded ({error}): install affect-streamer[gpu]") from error
        self.name = name
        self._cuda: Any = driver
        driver.init()
        self._context = driver.Device(device.index).retain_primary_context()
        self._context.push()
        self._memory: dict[int, Any] = {}
        self._graphs: list[Any] = []
        module = driver.module_from_buffer(cubin)
        self._module = module  # functions do not keep it alive
        self._functions = {name: module.get_function(name) for name in SIGNATURES}
        for name, function in self._functions.items():
            function.prepare(SIGNATURES[name])

    def stream(self) -> Hashable:
        made: Hashable = self._cuda.Stream()
        return made

    def pinned(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        held: Array = self._cuda.pagelocked_zeros(shape, dtype)
        return held

    def allocate(self, n_bytes: int) -> int:
        try:
            memory = self._cuda.mem_alloc(max(n_bytes, 1))
        except self._cuda.Error as error:
            raise EngineError(f"{self.name} has no room for {n_bytes} more bytes: {error}") from error
        self._memory[int(memory)] = memory
        return int(memory)

    def free(self, address: int) -> None:
        self._memory.pop(address).free()

    def to_device(self, address: int, array: Array, stream: Any) -> None:
        self._cuda.memcpy_htod_async(address, array, stream)

    def to_host(self, array: Array, address: int, stream: Any) -> None:
        self._cuda.memcpy_dtoh_async(array, address, stream)

    def launch(self, kernel: str, grid: tuple[int, int, int], arguments: tuple[int, ...], stream: Any) -> None:
        self._functions[kernel].prepared_async_call(grid, (*BLOCK_WH, 1), stream, *arguments)

    def capture(self, stream: Any, enqueue: Callable[[], None]) -> Callable[[], None] | None:
        """By the driver's own functions: pycuda has none for graphs."""
        from cuda.bindings import driver

        relaxed = driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_RELAXED
        handle = driver.CUstream(stream.handle)
        if int(driver.cuStreamBeginCapture(handle, relaxed)[0]):
            return None
        failed: EngineError | None = None
        try:
            enqueue()
        except EngineError as error:
            failed = error  # what cannot be recorded runs call by call
        status, graph = driver.cuStreamEndCapture(handle)
        if failed is not None or int(status):
            return None
        status, executable = driver.cuGraphInstantiate(graph, 0)
        driver.cuGraphDestroy(graph)
        if int(status):
            return None
        self._graphs.append(executable)

        def launch() -> None:
            (answer,) = driver.cuGraphLaunch(executable, handle)
            if int(answer):
                raise EngineError(f"{self.name} refused a recorded batch: {answer.name}")

        return launch

    def mark(self, stream: Any) -> Hashable:
        event = self._cuda.Event(self._cuda.event_flags.DISABLE_TIMING)
        event.record(stream)
        made: Hashable = event
        return made

    def wait(self, event: Any) -> None:
        try:
            event.synchronize()
        except self._cuda.Error as error:
            raise EngineError(f"{self.name} failed on a batch: {error}") from error

    def close(self) -> None:
        if self._graphs:
            from cuda.bindings import driver

            for executable in self._graphs:
                driver.cuGraphExecDestroy(executable)
            self._graphs = []
        for memory in self._memory.values():
            memory.free()
        self._memory = {}
        self._functions = {}
        self._module = None
        self._context.pop()
        self._context.detach()


class TensorRtContext:
    """See `engines.runtime.tensorrt_driver.Context`."""

    def __init__(self, trt: TensorRt, context: Any, inputs: tuple[Port, ...]) -> None:
        self._trt, self._context, self._inputs = trt, context, inputs

    def bind(self, name: str, address: int) -> None:
        self._must(self._context.set_tensor_address(name, address), f"the address of {name}")

    def resize(self, batch: int) -> None:
        for port in self._inputs:
            self._must(self._context.set_input_shape(port.name, (batch, *port.shape)), f"a batch of {batch}")

    def enqueue(self, stream: Any) -> None:
        self._trt.forget()
        self._must(self._context.execute_async_v3(stream.handle), "a batch")

    def _must(self, done: bool, what: str) -> None:
        if not done:
            raise EngineError(f"TensorRT refused {what}: {self._trt.why()}")


class TensorRtEngine:
    """See `engines.runtime.tensorrt_driver.Engine`."""

    def __init__(self, trt: TensorRt, content: bytes, name: str) -> None:
        trt.forget()
        self._trt = trt
        self._runtime = trt.module.Runtime(trt.logger)
        self._engine = self._runtime.deserialize_cuda_engine(content)
        if self._engine is None:
            raise EngineError(f"TensorRT cannot load {name}: {trt.why()}; build it again here with `engines build`")
        ports: dict[bool, list[Port]] = {True: [], False: []}
        for i in range(self._engine.num_io_tensors):
            port = self._engine.get_tensor_name(i)
            shape = tuple(self._engine.get_tensor_shape(port))[1:]
            dtype = np.dtype(trt.module.nptype(self._engine.get_tensor_dtype(port)))
            is_input = self._engine.get_tensor_mode(port) == trt.module.TensorIOMode.INPUT
            ports[is_input].append(Port(port, shape, dtype))
        self.inputs, self.outputs = tuple(ports[True]), tuple(ports[False])

    def context(self) -> TensorRtContext:
        made = self._engine.create_execution_context()
        if made is None:
            raise EngineError(f"TensorRT cannot make the network ready to run: {self._trt.why()}")
        return TensorRtContext(self._trt, made, self.inputs)

    def close(self) -> None:
        self._engine = None
        self._runtime = None


def load_plan(
    plan: Path, record: PlanRecord, device: CudaDevice, *, cache: Path | None = None
) -> tuple[PycudaDriver, TensorRtEngine]:
    """The GPU and a plan on it. Raises `EngineError` for a plan of another version or GPU, or one that is damaged."""
    trt = tensorrt_library()
    check_plan(plan, record, library=library_kind(trt.name), version=trt.version, device=device)
    cubin = kernels_for(device.capability, cache_folder(cache))
    driver = PycudaDriver(device, cubin, f"{device.name} (TensorRT {trt.version})")
    try:
        return driver, TensorRtEngine(trt, plan.read_bytes(), plan.name)
    except BaseException:
        driver.close()
        raise
