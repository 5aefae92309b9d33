"""Runners: one compiled model each, behind one small protocol.

Importing this package loads no engine; opening a runner does.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from engines.runtime.invariance import InvarianceReport, prove_batch_invariance
from engines.runtime.protocol import Runner
from engines.spec import HeadSpec
from engines.zoo import LoadedModel

__all__ = [
    "HEAD_BATCHES",
    "Device",
    "InvarianceReport",
    "Runner",
    "head_precision",
    "open_head",
    "open_runner",
    "precision_of_others",
    "prove_batch_invariance",
]

HEAD_BATCHES = (1, 2, 4, 8, 16)
Device = Literal["auto", "cpu", "cuda"]
"""`auto` is the CPU: a GPU is used where it is asked for."""


def open_runner(
    model: LoadedModel,
    *,
    precision: str = "auto",
    input_size_wh: tuple[int, int] | None = None,
    cache: Path | None = None,
    device: Device = "auto",
    at_once: bool = True,
) -> Runner:
    """A runner for an image model of the zoo: on the CPU with one thread, or on the first NVIDIA GPU.

    `input_size_wh` in pixels is needed for detectors and must be a multiple of the spec's `input_multiple`; expression
    models have the size of their crop. `cache` is the zoo's cache folder (found as the zoo finds it when None);
    what is compiled is kept there. Unless all sizes of batch are wanted `at_once`, a runner of the CPU may begin with
    single rows and open the others, which give the same bits, while it is used already. On `cuda` a TensorRT plan
    beside the model's file is used where one fits this machine and the precision, torch otherwise. Raises `EngineError`
    for a precision or device that is not to be had, a wrong size, or a file the engine refuses.
    """
    if device == "cuda":
        from engines.runtime.gpu import open_image_model_on_gpu

        return open_image_model_on_gpu(
            model.spec, model.path, precision=precision, input_size_wh=input_size_wh, cache=cache
        )
    from engines.runtime.openvino import open_image_model

    return open_image_model(
        model.spec, model.path, precision=precision, input_size_wh=input_size_wh, cache=cache, at_once=at_once
    )


def precision_of_others(requested: str) -> str:
    """The precision of detector and head where `requested` is asked for: int8 is for the expression network alone, as
    small nets lose by it."""
    return "auto" if requested == "int8" else requested


def head_precision(requested: str, spec: HeadSpec, device: Device = "auto") -> str:
    """What a head is opened at where `requested` is asked for, in the worker and wherever it is judged as there."""
    precision = precision_of_others(requested)
    if precision == "auto" and not spec.windowed and device != "cuda":
        return "fp32"  # a step is too small to gain by less (43 us against 64 in bf16), and errors would add up
    return precision


def open_head(
    path: Path,
    spec: HeadSpec,
    *,
    precision: str = "auto",
    batches: Sequence[int] = HEAD_BATCHES,
    cache: Path | None = None,
    device: Device = "auto",
    at_once: bool = True,
) -> Runner:
    """A runner for a temporal head: float32 inputs and outputs by the names `HeadSpec` gives; the rest as above.

    ONNX wants every tensor's name once, so in the file an output that is called like an input ends in `_out`
    (`probs_out`, `h_out`, `c_out`); the runner answers without it.
    """
    if device == "cuda":
        from engines.runtime.gpu import open_temporal_head_on_gpu

        return open_temporal_head_on_gpu(spec, path, precision=precision, batches=tuple(batches), cache=cache)
    from engines.runtime.openvino import open_temporal_head

    return open_temporal_head(spec, path, precision=precision, batches=tuple(batches), cache=cache, at_once=at_once)
