"""Which plan a machine may load, and which runner a model gets on a GPU."""

import importlib.util
import sys
from collections import deque
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from engines.errors import EngineError, WrongUse
from engines.runtime import gpu, open_head, open_runner
from engines.runtime.cuda.devices import CudaDevice, cuda_devices
from engines.runtime.tensorrt_library import TensorRt
from engines.runtime.tensorrt_plan import (
    BatchProfile,
    PlanKey,
    PlanRecord,
    check_plan,
    choose_plan,
    plans_of,
    read_record,
)
from engines.runtime.tensorrt_pycuda import PycudaDriver, TensorRtEngine, load_plan
from engines.shipping.build import BuildSettings, build_plans
from engines.zoo import LoadedModel
from engines.zoo.cache import sha256_of_bytes
from tests.engines.runtime.exported import backbone, backbone_spec, head, rtx, write

A10 = CudaDevice(0, "NVIDIA A10", "8.6")
HERE: dict[str, Any] = {"library": "tensorrt_rtx", "version": "1.7", "device": A10}


def key(**changes: Any) -> PlanKey:
    made = PlanKey(
        network="backbone",
        network_sha256=sha256_of_bytes(b"network"),
        library="tensorrt_rtx",
        library_version="1.7",
        capability="8.6",
        device="",
        precision="fp16",
        profile=BatchProfile(min=1, opt=4, max=8),
    )
    return msgspec.structs.replace(made, **changes)


def put(folder: Path, content: bytes = b"plan", **changes: Any) -> Path:
    """A plan file with its record, in the folder beside the network."""
    wanted = key(**changes)
    plan = write(folder / "plans", wanted.file_name, content)
    record = PlanRecord(key=wanted, plan_sha256=sha256_of_bytes(b"plan"), plan_bytes=4, inputs=(), outputs=())
    plan.with_suffix(".json").write_bytes(msgspec.json.encode(record))
    return plan


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"library_version": "1.6"}, r"was built by tensorrt_rtx 1\.6 and 1\.7 is installed here"),
        ({"library": "tensorrt", "device": "NVIDIA A10"}, "was built by tensorrt and tensorrt_rtx is installed"),
        ({"capability": "8.9"}, r"was built for compute capability 8\.9 and NVIDIA A10 has 8\.6"),
        ({"device": "NVIDIA RTX A4000"}, "was built on NVIDIA RTX A4000 and this is NVIDIA A10"),
        ({"format": 0}, "another version of this software"),
    ],
)
def test_a_plan_of_another_version_or_gpu_is_refused_in_one_sentence(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    plan = put(tmp_path, **changes)
    with pytest.raises(EngineError, match=said) as refused:
        check_plan(plan, read_record(plan), **HERE)
    assert "build it again" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_plan_of_this_machine_is_taken_and_a_damaged_one_refused(tmp_path: Path) -> None:
    plan = put(tmp_path)
    check_plan(plan, read_record(plan), **HERE)
    plan.write_bytes(b"plaN")
    with pytest.raises(EngineError, match="damaged"):
        check_plan(plan, read_record(plan), **HERE)
    plan.unlink()
    with pytest.raises(EngineError, match="cannot be read"):
        check_plan(plan, read_record(plan.with_suffix(".plan")), **HERE)
    plan.with_suffix(".json").write_bytes(b"{}")
    with pytest.raises(EngineError, match="describes no plan"):
        read_record(plan)
    plan.with_suffix(".json").unlink()
    with pytest.raises(EngineError, match="no record beside it"):
        read_record(plan)


def test_a_profile_must_go_upwards() -> None:
    with pytest.raises(ValueError, match="from min over opt to max"):
        BatchProfile(min=2, opt=1, max=4)


def test_plans_of_another_network_or_without_a_record_are_left_out(tmp_path: Path) -> None:
    network = write(tmp_path, "backbone.onnx", b"network")
    assert plans_of(network) == ()
    own = put(tmp_path)
    put(tmp_path, network_sha256="f" * 64)
    write(tmp_path / "plans", "backbone-stray.plan", b"plan")
    assert [plan for plan, _ in plans_of(network)] == [own]


def test_half_precision_first_then_the_larger_batch_and_only_what_fits(tmp_path: Path) -> None:
    network = write(tmp_path, "backbone.onnx", b"network")
    put(tmp_path, capability="9.0")
    single = put(tmp_path, precision="fp32")
    half = put(tmp_path)
    large = put(tmp_path, profile=BatchProfile(min=1, opt=8, max=32))
    put(tmp_path, input_size_wh=(64, 64), profile=BatchProfile(min=1, opt=8, max=64))

    def chosen(precision: str, size: tuple[int, int] | None = None, **here: Any) -> Path | None:
        found = choose_plan(plans_of(network), **(HERE | here), precision=precision, input_size_wh=size)
        return found[0] if found else None

    assert chosen("auto") == large
    assert chosen("fp32") == single
    assert chosen("bf16") is None
    assert chosen("auto", version="2.0") is None
    large.with_suffix(".json").unlink()
    assert chosen("auto") == half
    assert chosen("auto", (64, 64)) != half


@pytest.fixture
def with_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with a GPU, TensorRT and pycuda, as far as choosing goes."""
    library = TensorRt(SimpleNamespace(), "tensorrt_rtx_bindings", "1.7", ("8.6",), None, deque())
    monkeypatch.setattr(gpu, "cuda_devices", lambda: (A10,))
    monkeypatch.setattr(gpu, "tensorrt_library", lambda: library)
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if name == "pycuda" else found(name))


@pytest.mark.usefixtures("with_gpu")
def test_the_plan_that_fits_is_chosen_and_otherwise_the_reason_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = write(tmp_path, "backbone.onnx", b"network")
    assert gpu.plan_for(network, A10, "auto", None).why_not == "no plan was built for it"
    plan = put(tmp_path)
    assert gpu.plan_for(network, A10, "auto", None).plan == plan
    assert "what precision fp32" in gpu.plan_for(network, A10, "fp32", None).why_not
    other = CudaDevice(0, "NVIDIA L4", "8.9")
    assert "compute capability 8.6 and NVIDIA L4 has 8.9" in gpu.plan_for(network, other, "auto", None).why_not

    def missing() -> TensorRt:
        raise WrongUse("there is no TensorRT here")

    monkeypatch.setattr(gpu, "tensorrt_library", missing)
    assert gpu.plan_for(network, A10, "auto", None).why_not == "TensorRT is not installed"
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert gpu.plan_for(network, A10, "auto", None).why_not == "pycuda is not installed"
    model = LoadedModel(backbone_spec(b"network"), network)
    with pytest.raises(
        EngineError, match=r"NVIDIA A10: pycuda is not installed, and torch is not installed; build a plan"
    ):
        open_runner(model, device="cuda")


@pytest.mark.usefixtures("with_gpu")
def test_a_plan_is_given_to_tensorrt_and_a_model_without_one_to_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engines.runtime import tensorrt_runner, torch_runner

    opened: list[tuple[str, Any]] = []
    monkeypatch.setattr(
        tensorrt_runner, "open_image_model", lambda spec, plan, *_, **__: opened.append(("tensorrt", plan))
    )
    monkeypatch.setattr(
        tensorrt_runner, "open_temporal_head", lambda spec, plan, *_, **__: opened.append(("trt", plan))
    )
    monkeypatch.setattr(torch_runner, "open_image_model", lambda *_, device, **__: opened.append(("torch", device)))
    monkeypatch.setattr(torch_runner, "open_temporal_head", lambda *_, device, **__: opened.append(("torch", device)))
    network = write(tmp_path, "backbone.onnx", b"network")
    model = LoadedModel(backbone_spec(b"network"), network)
    open_runner(model, device="cuda")
    content, spec = head("none")
    path = write(tmp_path, "head.onnx", content)
    open_head(path, spec, device="cuda")
    plan = put(tmp_path)
    open_runner(model, device="cuda")
    head_plan = put(tmp_path, network="head", network_sha256=sha256_of_bytes(content))
    open_head(path, spec, device="cuda")
    assert opened == [("torch", "cuda:0"), ("torch", "cuda:0"), ("tensorrt", plan), ("trt", head_plan)]


def test_without_a_gpu_the_device_is_refused_and_auto_is_the_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "cuda_devices", lambda: ())
    model = LoadedModel(backbone_spec(backbone()), write(tmp_path, "backbone.onnx", backbone()))
    with pytest.raises(EngineError, match="no NVIDIA GPU here, or no driver for it: ask for device cpu"):
        open_runner(model, device="cuda", cache=tmp_path)
    content, spec = head("none")
    with pytest.raises(EngineError, match="no NVIDIA GPU"):
        open_head(write(tmp_path, "head.onnx", content), spec, device="cuda", cache=tmp_path)
    runner = open_runner(model, precision="fp32", cache=tmp_path)
    assert "torch" not in runner.device


def test_the_driver_is_asked_without_any_package() -> None:
    for device in cuda_devices():
        assert device.sm == "sm" + device.capability.replace(".", "")


def test_loading_without_pycuda_or_a_gpu_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycuda", None)
    with pytest.raises(EngineError, match=r"install affect-streamer\[gpu\]"):
        PycudaDriver(A10, b"", "NVIDIA A10")
    library = rtx()
    if cuda_devices():
        pytest.skip("here is a GPU, which loads the plan")
    network = write(tmp_path, "head.onnx", head("none")[0])
    settings = BuildSettings(capability="8.6")
    (built,) = build_plans([network], settings, cache=tmp_path, library=library, devices=())
    with pytest.raises(EngineError, match=r"TensorRT cannot load head-fp16-sm86.*; build it again here"):
        TensorRtEngine(library, built.path.read_bytes(), built.path.name)


def test_a_plan_of_another_version_never_reaches_the_gpu(tmp_path: Path) -> None:
    rtx()
    plan = put(tmp_path, library_version="0.9")
    with pytest.raises(EngineError, match=r"was built by tensorrt_rtx .*is installed here: build it again"):
        load_plan(plan, read_record(plan), A10, cache=tmp_path)
