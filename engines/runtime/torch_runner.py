"""The torch runner: CUDA machines without TensorRT, and the CPU where parity is checked. The worker never needs it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from engines.errors import EngineError
from engines.runtime.forms import (
    InputForm,
    check_head,
    check_inputs,
    head_inputs,
    head_outputs,
    input_size,
    padded_pieces,
)
from engines.runtime.invariance import random_pictures, sizes_like_the_largest
from engines.runtime.protocol import FloatArray, InputArray
from engines.runtime.torch_graph import TorchGraph
from engines.spec import HeadSpec, ModelSpec, Normalisation

_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


class TorchRunner:
    """A `Runner`; opened by `open_image_model` and `open_temporal_head` of this module.

    A batch is padded to the prepared sizes that give the same bits, so a row's answer does not depend on its company.
    """

    def __init__(
        self,
        graph: TorchGraph,
        inputs: Mapping[str, InputForm],
        outputs: Mapping[str, str],
        name: str,
        *,
        device: str,
        precision: str,
        prepare: Callable[[str, Tensor], Tensor],
    ) -> None:
        if missing := set(outputs.values()) - set(graph.outputs):
            raise EngineError(f"{name} has no output {', '.join(sorted(missing))}; its file belongs to another model")
        self._graph: TorchGraph | None = graph
        self._inputs = dict(inputs)
        self._outputs = dict(outputs)
        self._name = name
        self._torch_device = torch.device(device)
        self._precision = precision
        self._prepare = prepare
        self._batches: tuple[int, ...] = (1,)

    @property
    def precision(self) -> str:
        return self._precision

    @property
    def device(self) -> str:
        if self._torch_device.type == "cuda":
            return f"{torch.cuda.get_device_name(self._torch_device)} (torch)"
        return "CPU (torch)"

    @property
    def batches(self) -> tuple[int, ...]:
        """The batch sizes in use here, smallest first."""
        return self._batches

    def settle(self, batches: Sequence[int], rows: Mapping[str, InputArray]) -> None:
        """Keep of `batches` those that give the bits of the largest; running them also warms the engine up."""
        self._batches = sizes_like_the_largest(self._run, rows, batches)

    def infer(self, inputs: Mapping[str, InputArray]) -> dict[str, FloatArray]:
        if self._graph is None:
            raise EngineError(f"the runner of {self._name} is closed; open a new one")
        n = check_inputs(self._name, self._inputs, inputs)
        parts = []
        for piece in padded_pieces(max(n, 1), self._batches):
            padded = {}
            for name, form in self._inputs.items():
                held = np.zeros((piece.batch, *form.shape), form.dtype)
                held[: min(n, piece.stop) - piece.start] = inputs[name][piece.start : piece.stop]
                padded[name] = held
            answer = self._run(padded)
            parts.append({name: values[: piece.stop - piece.start] for name, values in answer.items()})
        return {name: np.concatenate([part[name] for part in parts])[:n] for name in self._outputs}

    def close(self) -> None:
        self._graph = None

    def _run(self, inputs: Mapping[str, InputArray]) -> dict[str, FloatArray]:
        assert self._graph is not None, "infer refuses closed runners"
        try:
            with self._arithmetic():
                tensors = {
                    name: self._prepare(name, torch.from_numpy(np.ascontiguousarray(array)).to(self._torch_device))
                    for name, array in inputs.items()
                }
                values = self._graph.run(tensors)
                return {name: values[inner].float().cpu().numpy() for name, inner in self._outputs.items()}
        except RuntimeError as error:  # out of memory, a lost device, shapes that do not fit
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise EngineError(f"{self._name} failed in torch: {first}") from error

    @contextlib.contextmanager
    def _arithmetic(self) -> Iterator[None]:
        """fp32 without TF32, the same kernels every time; lower precisions by autocast, operator by operator."""
        kind = _AUTOCAST.get(self._precision)
        cast = torch.autocast(self._torch_device.type, kind) if kind is not None else contextlib.nullcontext()
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False), cast:
            yield


def open_image_model(
    spec: ModelSpec,
    path: Path,
    *,
    precision: str = "auto",
    input_size_wh: tuple[int, int] | None = None,
    device: str = "cuda",
) -> TorchRunner:
    """An image model; as `engines.runtime.open_runner`, on a torch device (`cuda`, `cuda:1`, `cpu`)."""
    width, height = input_size(spec, input_size_wh)
    if spec.normalisation.colour == "grey":
        raise EngineError(f"{spec.name}: fold the grey conversion into the network; runners take colour pictures")
    chosen = _precision(precision, device)
    graph = TorchGraph(_onnx(path), device)
    (port,) = graph.input_shapes
    prepare = _normalising(spec.normalisation, device, port)
    runner = TorchRunner(
        graph,
        {"image": InputForm((height, width, 3), np.dtype("uint8"))},
        {output.name: output.name for output in spec.outputs},
        spec.name,
        device=device,
        precision=chosen,
        prepare=prepare,
    )
    batches = spec.prepared_batches if spec.batch_invariant else spec.prepared_batches[-1:]
    runner.settle(batches, {"image": random_pictures(max(batches), height, width)})
    return runner


def open_temporal_head(
    spec: HeadSpec, path: Path, *, precision: str = "auto", batches: Sequence[int], device: str = "cuda"
) -> TorchRunner:
    """A temporal head; as `engines.runtime.open_head`, on a torch device."""
    chosen = _precision(precision, device)
    graph = TorchGraph(_onnx(path), device)
    inputs = head_inputs(spec, path, graph.input_shapes)
    outputs = head_outputs(inputs, graph.outputs)
    check_head(spec, inputs, list(outputs))
    runner = TorchRunner(
        graph, inputs, outputs, spec.name, device=device, precision=chosen, prepare=lambda _, tensor: tensor
    )
    random = np.random.default_rng(7)
    runner.settle(
        batches,
        {name: random.standard_normal((max(batches), *form.shape), np.float32) for name, form in inputs.items()},
    )
    return runner


def _onnx(path: Path) -> Path:
    if path.suffix == ".xml":
        raise EngineError(f"{path.name} is quantised for the CPU's engine: on a GPU ask for precision auto or fp16")
    return path


def _precision(requested: str, device: str) -> str:
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise EngineError("torch sees no CUDA device here: install NVIDIA's driver, or ask for device cpu")
    if requested == "auto":
        return "fp32"
    if requested == "fp16" and not device.startswith("cuda"):
        raise EngineError("torch computes fp16 on a GPU only; ask for auto, fp32 or bf16")
    if requested not in ("fp32", "fp16", "bf16"):
        raise EngineError(f"torch has no precision {requested!r} here; ask for auto, fp32, fp16 or bf16")
    return requested


def _normalising(form: Normalisation, device: str, port: str) -> Callable[[str, Tensor], Tensor]:
    """(B,H,W,3) uint8 to what the network reads, on the device. The network's one input goes by its own name."""
    mean = torch.tensor(np.broadcast_to(form.mean, 3).astype(np.float32), device=device)
    std = torch.tensor(np.broadcast_to(form.std, 3).astype(np.float32), device=device)
    if port != "image":
        raise EngineError(f"the network reads {port} and an image model reads image")

    def prepare(_: str, pictures: Tensor) -> Tensor:
        values = (pictures.float() - mean) / std
        return values.permute(0, 3, 1, 2).contiguous() if form.layout == "nchw" else values

    return prepare
