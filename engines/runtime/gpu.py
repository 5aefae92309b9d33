"""Which runner takes a model on an NVIDIA GPU: TensorRT where a plan fits, torch where none does."""

from __future__ import annotations

import functools
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from engines.errors import EngineError, WrongUse
from engines.runtime.cuda.devices import CudaDevice, cuda_devices
from engines.runtime.protocol import Runner
from engines.runtime.tensorrt_library import tensorrt_library
from engines.runtime.tensorrt_plan import PlanRecord, choose_plan, library_kind, mismatch, plans_of
from engines.spec import HeadSpec, ModelSpec


@dataclass(frozen=True)
class Choice:
    """The plan to load, or why there is none."""

    plan: Path | None
    record: PlanRecord | None
    why_not: str


def open_image_model_on_gpu(
    spec: ModelSpec,
    path: Path,
    *,
    precision: str,
    input_size_wh: tuple[int, int] | None,
    cache: Path | None,
) -> Runner:
    """See `engines.runtime.open_runner`."""
    device = the_gpu()
    choice = plan_for(path, device, precision, input_size_wh)
    if choice.plan is not None and choice.record is not None:
        from engines.runtime.tensorrt_pycuda import load_plan
        from engines.runtime.tensorrt_runner import open_image_model

        load = functools.partial(load_plan, cache=cache)
        return open_image_model(spec, choice.plan, choice.record, device, load=load, input_size_wh=input_size_wh)
    _need_torch(path, choice, device)
    from engines.runtime.torch_runner import open_image_model as open_in_torch

    return open_in_torch(spec, path, precision=precision, input_size_wh=input_size_wh, device=f"cuda:{device.index}")


def open_temporal_head_on_gpu(
    spec: HeadSpec, path: Path, *, precision: str, batches: tuple[int, ...], cache: Path | None
) -> Runner:
    """See `engines.runtime.open_head`. A recurrent head without a plan that fits stays on the CPU: its step takes some
    ten microseconds there, less than the way to the GPU and back."""
    device = the_gpu()
    choice = plan_for(path, device, precision, None)
    if choice.plan is not None and choice.record is not None:
        from engines.runtime.tensorrt_pycuda import load_plan
        from engines.runtime.tensorrt_runner import open_temporal_head

        load = functools.partial(load_plan, cache=cache)
        return open_temporal_head(spec, choice.plan, choice.record, device, load=load, batches=batches)
    if spec.hidden:
        from engines.runtime.openvino import open_temporal_head as open_on_cpu

        return open_on_cpu(spec, path, precision="fp32", batches=batches, cache=cache)
    _need_torch(path, choice, device)
    from engines.runtime.torch_runner import open_temporal_head as open_in_torch

    return open_in_torch(spec, path, precision=precision, batches=batches, device=f"cuda:{device.index}")


def the_gpu() -> CudaDevice:
    """The first GPU that the driver shows (CUDA_VISIBLE_DEVICES chooses); `EngineError` where there is none."""
    devices = cuda_devices()
    if not devices:
        raise EngineError("there is no NVIDIA GPU here, or no driver for it: ask for device cpu")
    return devices[0]


def plan_for(path: Path, device: CudaDevice, precision: str, input_size_wh: tuple[int, int] | None) -> Choice:
    """The plan beside a model's file that this machine can load, or the reason in a few words."""
    plans = plans_of(path)
    if not plans:
        return Choice(None, None, "no plan was built for it")
    if importlib.util.find_spec("pycuda") is None:
        return Choice(None, None, "pycuda is not installed")
    try:
        trt = tensorrt_library()
    except WrongUse:
        return Choice(None, None, "TensorRT is not installed")
    library, version = library_kind(trt.name), trt.version
    found = choose_plan(
        plans, library=library, version=version, device=device, precision=precision, input_size_wh=input_size_wh
    )
    if found is not None:
        return Choice(*found, "")
    plan, record = plans[-1]
    reason = mismatch(record.key, library=library, version=version, device=device)
    return Choice(None, None, f"{plan.name} {reason or f'is not what precision {precision} or the picture size asks'}")


def _need_torch(path: Path, choice: Choice, device: CudaDevice) -> None:
    if importlib.util.find_spec("torch") is None:
        raise EngineError(
            f"{path.name} cannot run on {device.name}: {choice.why_not}, and torch is not installed; build a plan here "
            "with `engines build`, or install affect-streamer[engines]"
        )
