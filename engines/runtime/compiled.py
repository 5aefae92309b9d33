"""One network compiled by OpenVINO for one batch size, and the blobs that make the next start quick.

This and `openvino.py` are the only modules that import the engine.
"""

from __future__ import annotations

import functools
import hashlib
import io
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from engines.errors import EngineError
from engines.runtime.protocol import FloatArray, InputArray
from engines.zoo.cache import write_atomically

DEVICE = "CPU"
_PRECISIONS = {"f32": "fp32", "bf16": "bf16", "f16": "fp16", "i8": "int8", "u8": "int8"}
_ARITHMETIC = ("Convolution", "Deconvolution", "FullyConnected", "MatMul", "RNNCell", "RNNSeq", "LSTMCell", "LSTMSeq")


@functools.cache
def openvino() -> Any:
    """The `openvino` module, imported without its model converter.

    The converter is not used here, takes 0.25 s of every start and brings the telemetry client with it.
    """
    converter = "openvino.tools.ovc"
    if "openvino" not in sys.modules and converter not in sys.modules:
        sys.modules[converter] = None  # type: ignore[assignment]  # makes the import of it fail, which openvino allows for
        try:
            import openvino as engine
        finally:
            del sys.modules[converter]
    else:
        import openvino as engine
    return engine


@functools.cache
def core() -> Any:
    """The engine's one core of this process."""
    return openvino().Core()


def configuration(precision: str) -> dict[str, Any]:
    """One thread, not pinned to a core, one stream, lowest latency, exactly this precision."""
    hint = {"fp32": "f32", "bf16": "bf16", "fp16": "f16", "int8": "f32"}[precision]
    return {
        "INFERENCE_NUM_THREADS": 1,
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": hint,
    }


class CompiledNetwork:
    """Runs exactly `batch` rows. The arrays of `run` are the engine's own memory, overwritten by the next run."""

    def __init__(self, compiled: Any, batch: int) -> None:
        self.batch = batch
        self._compiled = compiled
        self._request = compiled.create_infer_request()
        self._inputs = {port.any_name: self._request.get_input_tensor(i).data for i, port in enumerate(compiled.inputs)}
        self._outputs = {  # one tensor can go by several names
            name: self._request.get_output_tensor(i).data
            for i, port in enumerate(compiled.outputs)
            for name in sorted(port.names)
        }

    @property
    def output_names(self) -> tuple[str, ...]:
        """Every name an output goes by."""
        return tuple(self._outputs)

    def run(self, inputs: Mapping[str, InputArray], start: int, stop: int) -> dict[str, FloatArray]:
        """All `batch` rows of the outputs for rows `start:stop` of the inputs, the rest of the batch zero."""
        rows = stop - start
        for name, held in self._inputs.items():
            held[:rows] = inputs[name][start:stop]
            held[rows:] = 0
        self._request.infer()
        return self._outputs

    def real_precision(self) -> str:
        """What most of the convolutions and matrix products are really computed in."""
        counts: Counter[str] = Counter()
        for node in self._compiled.get_runtime_model().get_ordered_ops():
            told = node.get_rt_info()
            if str(told["layerType"].value) in _ARITHMETIC:
                counts[str(told["runtimePrecision"].value)] += 1
        if not counts:
            counts[str(self._compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name())] += 1
        word = counts.most_common(1)[0][0]
        return _PRECISIONS.get(word, word)


def compile_or_restore(key: str, batch: int, precision: str, build: Callable[[], Any], folder: Path) -> CompiledNetwork:
    """The network of `build()` compiled for this CPU, or what an earlier start left in `folder` under `key`.

    A blob is taken only when its own digest is right and the engine accepts it; otherwise it is made again.
    Raises `EngineError` when the engine refuses the network.
    """
    path = folder / f"{key}.blob"
    content = _read_blob(path)
    if content is not None:
        try:
            return CompiledNetwork(core().import_model(content, DEVICE, configuration(precision)), batch)
        except RuntimeError:
            pass  # made by another build of the engine under the same version: compile again
    try:
        compiled = core().compile_model(build(), DEVICE, configuration(precision))
        network = CompiledNetwork(compiled, batch)
    except RuntimeError as error:
        raise EngineError(f"OpenVINO refuses the network: {_first_line(error)}") from error
    exported = io.BytesIO()
    compiled.export_model(exported)
    content = exported.getvalue()
    try:
        write_atomically(path, hashlib.sha256(content).digest() + content)
    except OSError:
        pass  # a full or read-only cache costs time at the next start, nothing else
    return network


def _read_blob(path: Path) -> bytes | None:
    try:
        content = path.read_bytes()
    except OSError:
        return None
    return content[32:] if hashlib.sha256(content[32:]).digest() == content[:32] else None


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def read_network(path: Path) -> Any:
    """The network in an ONNX file; raises `EngineError` when there is none."""
    try:
        return core().read_model(path)
    except RuntimeError as error:
        raise EngineError(f"{path} is no network that OpenVINO can read: {_first_line(error)}") from error


def is_quantised(network: Any) -> bool:
    """Whether the network's own weights or activations are int8."""
    return any(op.get_type_name() == "FakeQuantize" for op in network.get_ops())
