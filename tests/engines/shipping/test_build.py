"""Plans are really built here, for GPUs that are not; what cannot be built is refused in one sentence."""

import json
from collections import deque
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper

from engines.cli.build import build as command
from engines.errors import BadData, EngineError, WrongUse
from engines.runtime.cuda.devices import CudaDevice
from engines.runtime.tensorrt_library import TensorRt, tensorrt_library
from engines.runtime.tensorrt_plan import BatchProfile, plans_of, read_record
from engines.shipping.build import (
    BuildSettings,
    BuiltPlan,
    build_plans,
    keep_timing_cache,
    networks_in,
    target,
    use_timing_cache,
)
from engines.zoo.cache import sha256_of
from tests.engines.runtime.exported import HEADS, backbone, head, rtx, write

AMPERE = BuildSettings(capability="8.6")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "exported", "backbone.onnx", backbone())
    return write(tmp_path / "exported", "head.onnx", head("windowed")[0]).parent


def build(folder: Path, settings: BuildSettings = AMPERE, out: Path | None = None) -> list[BuiltPlan]:
    return build_plans(networks_in(folder), settings, out=out, cache=folder / "cache", library=rtx(), devices=())


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
def test_backbone_and_head_of_a_folder_become_plans(folder: Path, precision: str) -> None:
    settings = BuildSettings("fp16" if precision == "fp16" else "fp32", BatchProfile(min=1, opt=4, max=16), "8.9")
    plans = build(folder, settings)
    assert [one.path.name.split("-b1-4-16-")[0] for one in plans] == [
        f"{x}-{precision}-sm89" for x in ("backbone", "head")
    ]
    for one, network in zip(plans, networks_in(folder), strict=True):
        assert one.path.parent == folder / "plans"
        assert one.record == read_record(one.path)
        assert one.record.plan_sha256 == sha256_of(one.path)
        assert one.record.key.network_sha256 == sha256_of(network)
        assert one.record.key.digest[:12] in one.path.name
        assert not one.was_there
        assert plans_of(network) == ((one.path, one.record),)
    shapes = {port.name: port.shape for port in plans[0].record.inputs + plans[0].record.outputs}
    assert shapes == {"image": (-1, 3, 48, 48), "features": (-1, 128), "logits": (-1, 7)}


def test_half_precision_halves_the_plan_of_a_heavy_network(tmp_path: Path) -> None:
    network = write(tmp_path, "wide.onnx", dense((2048, 2048)))
    sizes = [
        build_plans([network], BuildSettings(one, capability="8.6"), cache=tmp_path, library=rtx(), devices=())[0]
        for one in ("fp16", "fp32")
    ]
    assert sizes[0].record.plan_bytes < 0.6 * sizes[1].record.plan_bytes


@pytest.mark.parametrize("kind", list(HEADS))
def test_every_head_can_be_built(tmp_path: Path, kind: str) -> None:
    network = write(tmp_path, "head.onnx", head(kind)[0])
    (built,) = build_plans([network], AMPERE, cache=tmp_path, library=rtx(), devices=())
    names = {port.name for port in built.record.outputs}
    assert {"probs_out", "valence", "arousal"} <= names
    assert ({"h_out", "c_out"} <= names) == (kind == "recurrent")


def test_the_same_plan_is_not_built_twice_and_a_damaged_one_is(folder: Path) -> None:
    first = build(folder)
    assert [one.was_there for one in build(folder)] == [True, True]
    first[0].path.write_bytes(first[0].path.read_bytes()[:-1])
    again = build(folder)
    assert [one.was_there for one in again] == [False, True]
    assert again[0].record.plan_sha256 == sha256_of(again[0].path)


def test_whatever_a_plan_depends_on_is_in_its_name(folder: Path) -> None:
    network = folder / "head.onnx"
    settings = [
        AMPERE,
        BuildSettings("fp32", capability="8.6"),
        BuildSettings(capability="8.0"),
        BuildSettings(profile=BatchProfile(min=1, opt=2, max=4), capability="8.6"),
    ]
    names = [
        build_plans([network], one, out=folder, cache=folder, library=rtx(), devices=())[0].path.name
        for one in settings
    ]
    key = read_record(folder / names[0]).key
    others = [
        msgspec.structs.replace(key, network_sha256="0" * 64),
        msgspec.structs.replace(key, library_version="9"),
        msgspec.structs.replace(key, library="tensorrt"),
        msgspec.structs.replace(key, device="NVIDIA A10"),
    ]
    assert len({*names, *(one.file_name for one in others)}) == len(names) + len(others)


def test_hopper_is_refused_by_the_rtx_edition() -> None:
    with pytest.raises(WrongUse, match=r"cannot build for compute capability 9\.0.*for Hopper use `tensorrt`"):
        target(rtx(), "9.0", ())
    with pytest.raises(WrongUse, match=r"capability 9\.0.*Hopper"):
        target(rtx(), None, [CudaDevice(0, "NVIDIA H100", "9.0")])


def test_without_a_gpu_the_capability_must_be_named() -> None:
    with pytest.raises(WrongUse, match=r"--compute-capability .*8\.6"):
        target(rtx(), None, ())
    assert target(rtx(), None, [CudaDevice(0, "NVIDIA A10", "8.6")]) == ("8.6", "")


def test_the_data_centre_edition_builds_where_it_runs() -> None:
    full = TensorRt(SimpleNamespace(), "tensorrt", "11.0", (), None, deque())
    hopper = CudaDevice(0, "NVIDIA H100", "9.0")
    with pytest.raises(WrongUse, match="only on a machine with the GPU"):
        target(full, "8.6", ())
    with pytest.raises(WrongUse, match=r"NVIDIA H100 of compute capability 9\.0, not for 8\.6"):
        target(full, "8.6", [hopper])
    assert target(full, None, [hopper]) == ("9.0", "NVIDIA H100")


def test_a_missing_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engines.runtime.tensorrt_library.NAMES", ("tensorrt_of_nowhere",))
    tensorrt_library.__globals__["_find"].cache_clear()
    try:
        with pytest.raises(WrongUse, match=r"affect-streamer\[gpu\].*make engines"):
            tensorrt_library()
    finally:
        tensorrt_library.__globals__["_find"].cache_clear()


def dense(shape: tuple[int, int], batch: int | str = "batch", op: str = "MatMul") -> bytes:
    weight = np.random.default_rng(1).standard_normal(shape, np.float32)
    graph = helper.make_graph(
        [helper.make_node(op, ["x", "w"], ["y"], domain="" if op == "MatMul" else "made.up")],
        "dense",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, shape[0]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, shape[1]])],
        initializer=[numpy_helper.from_array(weight, "w")],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("made.up", 1)]
    content: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    return content


def test_what_cannot_be_built_is_named(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="batches of exactly 3"):
        build(write(tmp_path, "fixed.onnx", dense((4, 4), 3)))
    with pytest.raises(EngineError, match=r"TensorRT cannot read .*strange.onnx: .*Plugin not found"):
        build(write(tmp_path, "strange.onnx", dense((4, 4), op="Sorcery")), BuildSettings("fp32", capability="8.6"))
    with pytest.raises(BadData, match=r"text\.onnx is no ONNX network"):
        build(write(tmp_path, "text.onnx", b"not a network"))
    with pytest.raises(WrongUse, match=r"there is no .*absent"):
        networks_in(tmp_path / "absent")
    with pytest.raises(WrongUse, match=r"neither backbone.onnx nor head.onnx"):
        networks_in(tmp_path)


def any_size_network() -> bytes:
    graph = helper.make_graph(
        [helper.make_node("Conv", ["image", "w"], ["map"], kernel_shape=[1, 1])],
        "any",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, "height", "width"])],
        [helper.make_tensor_value_info("map", TensorProto.FLOAT, ["batch", 2, "height", "width"])],
        initializer=[numpy_helper.from_array(np.ones((2, 3, 1, 1), np.float32), "w")],
    )
    content: bytes = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8
    ).SerializeToString()
    return content


def test_a_network_of_any_size_is_built_for_one(tmp_path: Path) -> None:
    network = write(tmp_path, "detector.onnx", any_size_network())
    with pytest.raises(WrongUse, match="give --input-size"):
        build(network)
    (built,) = build_plans(
        [network], BuildSettings(capability="8.6", input_size_wh=(64, 32)), cache=tmp_path, library=rtx(), devices=()
    )
    assert built.record.key.input_size_wh == (64, 32)


def test_the_command_builds_and_says_so(folder: Path) -> None:
    rtx()
    args = [str(folder), "--compute-capability", "8.6", "--cache", str(folder), "--library", "tensorrt_rtx_bindings"]
    told = CliRunner().invoke(command, args)
    assert told.exit_code == 0, told.output
    assert "fp16, compute capability 8.6, batches 1/8/32, tensorrt_rtx" in told.output
    again = CliRunner().invoke(command, [*args, "--json"])
    rows = json.loads(again.output)
    assert [row["key"]["network"] for row in rows] == ["backbone", "head"]
    assert all(row["seconds"] == 0.0 for row in rows)


def test_a_size_that_is_none_is_wrong_use(folder: Path) -> None:
    told = CliRunner().invoke(command, [str(folder), "--input-size", "large"])
    assert told.exit_code == 2
    assert "write it as 320x192" in told.output


class TimingConfig:
    """What the timing cache needs of a builder's configuration; a cache that is not its own it answers with None."""

    def __init__(self) -> None:
        self.cache: bytes | None = None

    def create_timing_cache(self, content: bytes) -> bytes | None:
        return content if content.startswith(b"timed") or not content else None

    def set_timing_cache(self, cache: bytes, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch, "timings of another GPU are worse than none"
        self.cache = cache
        return True

    def get_timing_cache(self) -> SimpleNamespace:
        return SimpleNamespace(serialize=lambda: b"timed" + (self.cache or b""))


def test_the_timing_cache_is_kept_from_build_to_build_and_made_anew_when_damaged(tmp_path: Path) -> None:
    path = tmp_path / "compiled" / "timing.cache"
    found = []
    for _ in range(2):
        config = TimingConfig()
        use_timing_cache(config, path)
        found.append(config.cache)
        keep_timing_cache(config, path)
    assert found == [b"", b"timed"]
    path.write_bytes(b"damaged")
    config = TimingConfig()
    use_timing_cache(config, path)
    assert config.cache == b""
