"""TensorRT plans as files: what one says of itself, where it lies, and whether this machine may load it.

A plan is NAME.plan with NAME.json beside it; both lie in the folder `plans` beside the network they were built from.
A plan runs on the kind of GPU and the very version of the library it was built for and nowhere else, so its name
carries the digest of all that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec

from engines.errors import EngineError
from engines.runtime.cuda.devices import CudaDevice, sm_of
from engines.spec import TensorSpec
from engines.zoo.cache import sha256_of

FOLDER = "plans"
FORMAT = 1
PlanPrecision = Literal["fp32", "fp16"]
_PREFERRED: tuple[PlanPrecision, ...] = ("fp16", "fp32")


class BatchProfile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The batch sizes that a plan takes, and the one it is made fastest for."""

    min: int
    opt: int
    max: int

    def __post_init__(self) -> None:
        if not 1 <= self.min <= self.opt <= self.max:
            raise ValueError(f"batches go from min over opt to max, from 1 up; not {self.min}, {self.opt}, {self.max}")

    def __str__(self) -> str:
        return f"b{self.min}-{self.opt}-{self.max}"


class PlanKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that a plan depends on. `device` is the GPU's name for `tensorrt`, empty where its capability is enough."""

    network: str
    network_sha256: str
    library: Literal["tensorrt", "tensorrt_rtx"]
    library_version: str
    capability: str
    device: str
    precision: PlanPrecision
    profile: BatchProfile
    input_size_wh: tuple[int, int] | None = None
    format: int = FORMAT

    @property
    def digest(self) -> str:
        """Of every field: two plans that may differ never share it."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()

    @property
    def file_name(self) -> str:
        """`backbone-fp16-sm86-b1-8-32-0123456789ab.plan`."""
        sm = sm_of(self.capability)
        return f"{self.network}-{self.precision}-{sm}-{self.profile}-{self.digest[:12]}.plan"


class PlanRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The JSON beside a plan. `inputs` and `outputs` as the plan has them, -1 for the batch."""

    key: PlanKey
    plan_sha256: str
    plan_bytes: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


def read_record(plan: Path) -> PlanRecord:
    """What the JSON beside a plan says; `EngineError` when there is none or it is damaged."""
    path = plan.with_suffix(".json")
    try:
        return msgspec.json.decode(path.read_bytes(), type=PlanRecord)
    except OSError as error:
        raise EngineError(
            f"{plan} has no record beside it ({path.name}: {error.strerror}); build it with `engines build`"
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise EngineError(f"{path} describes no plan: {error}; build it again with `engines build`") from error


def library_kind(name: str) -> Literal["tensorrt", "tensorrt_rtx"]:
    """A plan does not care by which of its two names the RTX edition was imported."""
    return "tensorrt" if name == "tensorrt" else "tensorrt_rtx"


def mismatch(key: PlanKey, *, library: str, version: str, device: CudaDevice) -> str | None:
    """Why a plan may not be loaded with this library on this GPU, in a few words; None when it may."""
    if key.format != FORMAT:
        return f"was written by another version of this software (format {key.format}, here {FORMAT})"
    if key.library != library:
        return f"was built by {key.library} and {library} is installed here"
    if key.library_version != version:
        return f"was built by {key.library} {key.library_version} and {version} is installed here"
    if key.capability != device.capability:
        return f"was built for compute capability {key.capability} and {device.name} has {device.capability}"
    if key.device and key.device != device.name:
        return f"was built on {key.device} and this is {device.name}"
    return None


def check_plan(plan: Path, record: PlanRecord, *, library: str, version: str, device: CudaDevice) -> None:
    """Raises `EngineError`, in one sentence, for a plan of another version or GPU, or a file that is not its own."""
    reason = mismatch(record.key, library=library, version=version, device=device)
    if reason is not None:
        raise EngineError(f"{plan.name} {reason}: build it again here with `engines build`")
    try:
        found = sha256_of(plan)
    except OSError as error:
        raise EngineError(f"{plan} cannot be read ({error.strerror}); build it again with `engines build`") from error
    if found != record.plan_sha256:
        raise EngineError(f"{plan.name} is damaged: its sha256 is not the one in its record; build it again")


def plans_of(network: Path) -> tuple[tuple[Path, PlanRecord], ...]:
    """The plans beside a network file that have its very sha256, by name; damaged records are left out."""
    folder = network.parent / FOLDER
    found = sorted(folder.glob(f"{network.stem}-*.plan")) if folder.is_dir() else []
    if not found:
        return ()
    wanted = sha256_of(network)
    plans = []
    for plan in found:
        try:
            record = read_record(plan)
        except EngineError:
            continue
        if record.key.network_sha256 == wanted:
            plans.append((plan, record))
    return tuple(plans)


def choose_plan(
    plans: Iterable[tuple[Path, PlanRecord]],
    *,
    library: str,
    version: str,
    device: CudaDevice,
    precision: str,
    input_size_wh: tuple[int, int] | None = None,
) -> tuple[Path, PlanRecord] | None:
    """The plan to load here: fp16 before fp32 where `precision` is `auto`, the larger batch where several fit.

    None when no plan fits. `input_size_wh` matters only for networks of any size.
    """
    wanted = _PREFERRED if precision == "auto" else (precision,)
    fitting = [
        (plan, record)
        for plan, record in plans
        if record.key.precision in wanted
        and record.key.input_size_wh in (None, input_size_wh)
        and mismatch(record.key, library=library, version=version, device=device) is None
    ]
    order = {name: rank for rank, name in enumerate(wanted)}
    fitting.sort(key=lambda one: (order[one[1].key.precision], -one[1].key.profile.max, one[0].name))
    return fitting[0] if fitting else None
