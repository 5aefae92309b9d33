"""TensorRT plans from ONNX: strongly typed, one dynamic-batch profile, a name that says what it is for.

The RTX edition builds for a GPU that is not here; `tensorrt` builds for the GPU it runs on, where it
measures, and keeps what it measured in a timing cache.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from engines.errors import BadData, EngineError, WrongUse
from engines.runtime.cuda.devices import CudaDevice, cuda_devices, sm_of
from engines.runtime.tensorrt_library import TensorRt, tensorrt_library
from engines.runtime.tensorrt_plan import (
    FOLDER,
    BatchProfile,
    PlanKey,
    PlanPrecision,
    PlanRecord,
    library_kind,
    read_record,
)
from engines.shipping.build_half import half_onnx
from engines.spec import TensorSpec
from engines.zoo.cache import cache_folder, sha256_of_bytes, write_atomically
from engines.zoo.exports import BACKBONE, HEAD

DEFAULT_PROFILE = BatchProfile(min=1, opt=8, max=32)
HOPPER = ("9.0",)


@dataclass(frozen=True)
class BuiltPlan:
    """`seconds` is 0.0 for a plan that was there already."""

    path: Path
    record: PlanRecord
    seconds: float

    @property
    def was_there(self) -> bool:
        """Whether an earlier build had made the very same."""
        return self.seconds == 0.0


@dataclass(frozen=True)
class BuildSettings:
    """How plans are built. `capability` as `8.6`; None means the GPU of this machine."""

    precision: PlanPrecision = "fp16"
    profile: BatchProfile = DEFAULT_PROFILE
    capability: str | None = None
    input_size_wh: tuple[int, int] | None = None


def networks_in(path: Path) -> tuple[Path, ...]:
    """The ONNX files that `path` means: itself, or an exported folder's backbone and, where it has one, its head.

    Raises `WrongUse` when there is none.
    """
    if path.is_dir():
        found = tuple(one for name in (BACKBONE, HEAD) if (one := path / f"{name}.onnx").is_file())
        if not found:
            raise WrongUse(f"{path} has neither {BACKBONE}.onnx nor {HEAD}.onnx; name a folder `engines export` wrote")
        return found
    if not path.is_file():
        raise WrongUse(f"there is no {path}; name an ONNX file or a folder that `engines export` wrote")
    return (path,)


def build_plans(
    networks: Sequence[Path],
    settings: BuildSettings,
    *,
    out: Path | None = None,
    cache: Path | None = None,
    library: TensorRt | None = None,
    devices: Sequence[CudaDevice] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> list[BuiltPlan]:
    """One plan a network, each with its JSON, in `out` or the folder `plans` beside the network.

    A plan that is there already, whole and of the same digest, is not built again. `cache` is the zoo's folder, where
    the timing cache is kept. Raises `WrongUse` for what this library or machine cannot build, `BadData` for a file
    that is no network, `EngineError` when the library refuses one.
    """
    trt = library or tensorrt_library()
    capability, device = target(trt, settings.capability, cuda_devices() if devices is None else devices)
    built = []
    for network in networks:
        content = _read(network)
        key = PlanKey(
            network=network.stem,
            network_sha256=sha256_of_bytes(content),
            library=library_kind(trt.name),
            library_version=trt.version,
            capability=capability,
            device=device,
            precision=settings.precision,
            profile=settings.profile,
            input_size_wh=settings.input_size_wh,
        )
        path = (network.parent / FOLDER if out is None else out) / key.file_name
        there = _there(path, key)
        if there is not None:
            built.append(BuiltPlan(path, there, 0.0))
            continue
        start = clock()
        timing = cache_folder(cache) / "compiled" / f"timing-{key.library}-{trt.version}-{sm_of(capability)}.cache"
        plan, inputs, outputs = _build(trt, network, content, key, timing)
        record = PlanRecord(
            key=key, plan_sha256=sha256_of_bytes(plan), plan_bytes=len(plan), inputs=inputs, outputs=outputs
        )
        try:
            write_atomically(path, plan)
            write_atomically(path.with_suffix(".json"), msgspec.json.format(msgspec.json.encode(record)) + b"\n")
        except OSError as error:
            raise WrongUse(f"the plan cannot be written to {path.parent}: {error.strerror}; give another --out") from (
                error
            )
        built.append(BuiltPlan(path, record, clock() - start))
    return built


def target(trt: TensorRt, capability: str | None, devices: Sequence[CudaDevice]) -> tuple[str, str]:
    """The compute capability to build for and, for `tensorrt`, the GPU's name.

    Raises `WrongUse` where this library cannot build for it.
    """
    here = devices[0] if devices else None
    if not trt.rtx:
        if here is None:
            raise WrongUse(
                "tensorrt builds only on a machine with the GPU that shall run the plan, and here is none: build "
                "there, or with the RTX edition and --compute-capability"
            )
        if capability not in (None, here.capability):
            raise WrongUse(
                f"tensorrt builds for the GPU it runs on, {here.name} of compute capability {here.capability}, not "
                f"for {capability}: build on such a machine"
            )
        return here.capability, here.name
    if capability is None and here is None:
        raise WrongUse(f"here is no GPU to build for: name one by --compute-capability ({', '.join(trt.capabilities)})")
    wanted = capability or (here.capability if here else "")
    if wanted not in trt.capabilities:
        hopper = "; for Hopper use `tensorrt` on a machine that has one" if wanted in HOPPER else ""
        raise WrongUse(
            f"TensorRT for RTX {trt.version} cannot build for compute capability {wanted}, only for "
            f"{', '.join(trt.capabilities)}{hopper}"
        )
    return wanted, ""


def _read(network: Path) -> bytes:
    try:
        return network.read_bytes()
    except OSError as error:
        raise WrongUse(f"{network} cannot be read: {error.strerror}") from error


def _there(path: Path, key: PlanKey) -> PlanRecord | None:
    try:
        record = read_record(path)
        return record if record.key == key and sha256_of_bytes(path.read_bytes()) == record.plan_sha256 else None
    except (EngineError, OSError):
        return None


def _build(
    trt: TensorRt, network: Path, content: bytes, key: PlanKey, timing: Path
) -> tuple[bytes, tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    trt.forget()
    typed = _typed(network, content, key.precision)
    builder = trt.module.Builder(trt.logger)
    definition = builder.create_network(1 << int(trt.module.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.module.OnnxParser(definition, trt.logger)
    if not parser.parse(typed):
        errors = [str(parser.get_error(i).desc()) for i in range(parser.num_errors)]
        raise EngineError(f"TensorRT cannot read {network}: {' '.join((errors or [trt.why()])[0].split())}")
    config = builder.create_builder_config()
    config.clear_flag(trt.module.BuilderFlag.TF32)  # fp32 shall mean fp32
    if trt.rtx:
        config.num_compute_capabilities = 1
        chosen = getattr(trt.module.ComputeCapability, sm_of(key.capability).upper())
        if not config.set_compute_capability(chosen, 0):
            raise EngineError(f"TensorRT refuses compute capability {key.capability}: {trt.why()}")
    profile = builder.create_optimization_profile()
    for i in range(definition.num_inputs):
        port = definition.get_input(i)
        shape = _shape(network, port.name, tuple(port.shape), key.input_size_wh)
        sizes = (key.profile.min, key.profile.opt, key.profile.max)
        if port.shape[0] not in (-1, *((key.profile.max,) if key.profile.min == key.profile.max else ())):
            raise WrongUse(f"{network} takes batches of exactly {port.shape[0]}; export it with a dynamic batch")
        profile.set_shape(port.name, *((size, *shape) for size in sizes))
    if config.add_optimization_profile(profile) < 0:
        raise EngineError(f"TensorRT refuses the profile {key.profile} for {network}: {trt.why()}")
    if not trt.rtx:  # the RTX edition times nothing when it builds; it picks kernels at the first run
        use_timing_cache(config, timing)
    plan = builder.build_serialized_network(definition, config)
    if plan is None:
        raise EngineError(f"TensorRT cannot build {network}: {trt.why()}")
    if not trt.rtx:
        keep_timing_cache(config, timing)
    inputs = [definition.get_input(i) for i in range(definition.num_inputs)]
    outputs = [definition.get_output(i) for i in range(definition.num_outputs)]
    return bytes(plan), _specs(network, trt, inputs, key), _specs(network, trt, outputs, key)


def _typed(network: Path, content: bytes, precision: PlanPrecision) -> bytes:
    import onnx

    try:
        onnx.checker.check_model(content)
    except Exception as error:  # protobuf's error type and the checker's are not related
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise BadData(f"{network} is no ONNX network: {first}") from error
    return half_onnx(content) if precision == "fp16" else content


def _shape(network: Path, name: str, shape: tuple[int, ...], input_size_wh: tuple[int, int] | None) -> tuple[int, ...]:
    """Without the batch; the picture's height and width from `input_size_wh` where the network leaves them open."""
    rest = shape[1:]
    if rest.count(-1) == 2 and len(rest) == 3 and input_size_wh is not None:
        width, height = input_size_wh
        return (rest[0], height, width) if rest[0] != -1 else (height, width, rest[2])
    if -1 in rest:
        raise WrongUse(f"{network} runs at any size ({name} is {list(shape)}): give --input-size WIDTHxHEIGHT")
    if input_size_wh is not None and len(rest) == 3 and (rest[2], rest[1]) != input_size_wh:
        raise WrongUse(f"{network} takes pictures of {rest[2]}x{rest[1]} px: leave --input-size out")
    return rest


def _specs(network: Path, trt: TensorRt, ports: Sequence[Any], key: PlanKey) -> tuple[TensorSpec, ...]:
    specs = []
    for port in ports:
        dtype = np.dtype(trt.module.nptype(port.dtype)).name
        if dtype != "float32":
            raise WrongUse(f"{network}: {port.name} is {dtype}; networks take and give float32 here")
        specs.append(TensorSpec(name=port.name, shape=(-1, *tuple(port.shape)[1:])))
    return tuple(specs)


def use_timing_cache(config: Any, path: Path) -> None:
    """Let the builder start from what earlier builds measured; from nothing where the file is none of its own."""
    try:
        content = path.read_bytes()
    except OSError:
        content = b""
    cache = config.create_timing_cache(content) or config.create_timing_cache(b"")
    if cache is not None:
        config.set_timing_cache(cache, False)


def keep_timing_cache(config: Any, path: Path) -> None:
    """Put what the builder knows now where the next build looks for it."""
    cache = config.get_timing_cache()
    if cache is None:
        return
    try:
        write_atomically(path, bytes(cache.serialize()))
    except OSError:
        pass  # the next build measures again
