"""What only a GPU can show: the kernels' bits, and that a plan runs and says what the CPU says.

pytest -m gpu tests/engines
"""

import functools
import importlib.util
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from engines.errors import WrongUse
from engines.runtime import open_head, open_runner, prove_batch_invariance
from engines.runtime.cuda import kernels
from engines.runtime.cuda.devices import CudaDevice, cuda_devices
from engines.runtime.cuda.frames import crop_maps, normalising, rgb_layout
from engines.runtime.cuda.reference import cut_crops, normalise_crops
from engines.runtime.invariance import random_pictures
from engines.runtime.tensorrt_library import TensorRt, tensorrt_library
from engines.runtime.tensorrt_plan import BatchProfile
from engines.runtime.tensorrt_pycuda import PycudaDriver, load_plan
from engines.runtime.tensorrt_runner import TensorRtRunner, open_image_model, open_temporal_head
from engines.shipping.build import BuildSettings, BuiltPlan, build_plans, target
from engines.spec import CropGeometry
from engines.zoo import LoadedModel
from tests.engines.runtime.exported import backbone, backbone_spec, head, head_rows, write
from tests.engines.runtime.test_cuda_kernels import FORM, MAPS, SIDE, smooth, yuv_frame

pytestmark = pytest.mark.gpu
PRECISIONS = {"fp32": 1e-3, "fp16": 2e-2}


@pytest.fixture
def device() -> CudaDevice:
    """The GPU; no set-up can install one, so its absence is a skip, in CI too."""
    devices = cuda_devices()
    if not devices:
        pytest.skip("there is no NVIDIA GPU here")
    if importlib.util.find_spec("pycuda") is None:
        pytest.skip("pycuda is not installed: pip install affect-streamer[gpu]")
    return devices[0]


@pytest.fixture
def trt(device: CudaDevice) -> TensorRt:
    """A library that can build for the GPU that is here."""
    try:
        library = tensorrt_library()
        target(library, None, [device])
    except WrongUse as error:
        pytest.skip(str(error))
    return library


def on_device(driver: PycudaDriver, array: np.ndarray, stream: Any) -> int:
    held = driver.pinned(array.shape, array.dtype)
    held[:] = array
    address = driver.allocate(array.nbytes)
    driver.to_device(address, held, stream)
    driver.wait(driver.mark(stream))
    return address


@pytest.mark.parametrize("kind", ["float", "half"])
def test_the_kernels_give_the_bits_of_the_reference(device: CudaDevice, tmp_path: Path, kind: str) -> None:
    driver = PycudaDriver(device, kernels.kernels_for(device.capability, tmp_path), device.name)
    try:
        stream = driver.stream()
        dtype = np.dtype("float32" if kind == "float" else "float16")
        crops = np.asarray(random_pictures(3, 37, 45), np.uint8)
        form = normalising(FORM)
        found = driver.pinned((3, 3, 37, 45), dtype)
        out = driver.allocate(found.nbytes)
        arguments: tuple[int, ...] = (on_device(driver, crops, stream), on_device(driver, form, stream), out, 45, 37)
        driver.launch(f"normalise_crops_{kind}", kernels.grid_of(45, 37, 3), arguments, stream)
        driver.to_host(found, out, stream)
        driver.wait(driver.mark(stream))
        assert found.tobytes() == normalise_crops(crops, form).astype(dtype).tobytes()

        _, frame, layout = yuv_frame()
        tables = (layout.table(), crop_maps(MAPS, layout), layout.colour("bgr"), normalising(FORM, layout.black))
        cut = driver.pinned((len(MAPS), 3, SIDE, SIDE), dtype)
        out = driver.allocate(cut.nbytes)
        for replicate in (0, 1):
            addresses = [on_device(driver, array, stream) for array in (frame, *tables)]
            arguments = (*addresses, out, SIDE, SIDE, replicate)
            driver.launch(f"cut_crops_{kind}", kernels.grid_of(SIDE, SIDE, len(MAPS)), arguments, stream)
            driver.to_host(cut, out, stream)
            driver.wait(driver.mark(stream))
            expected = cut_crops(frame, *tables, SIDE, SIDE, "replicate" if replicate else "constant")
            assert cut.tobytes() == expected.astype(dtype).tobytes()
    finally:
        driver.close()


def plan_of(trt: TensorRt, network: Path, precision: str) -> BuiltPlan:
    settings = BuildSettings("fp16" if precision == "fp16" else "fp32", BatchProfile(min=1, opt=4, max=8))
    return build_plans([network], settings, cache=network.parent, library=trt)[0]


@pytest.mark.parametrize("precision", list(PRECISIONS))
def test_a_backbone_s_plan_says_what_the_cpu_says(
    trt: TensorRt, device: CudaDevice, tmp_path: Path, precision: str
) -> None:
    spec = msgspec.structs.replace(backbone_spec(backbone()), batch_invariant=True)
    model = LoadedModel(spec, write(tmp_path, "backbone.onnx", backbone()))
    plan_of(trt, model.path, precision)
    pictures = {"image": random_pictures(21, 48, 48)}
    expected = open_runner(model, precision="fp32", cache=tmp_path).infer(pictures)
    runner = open_runner(model, precision=precision, cache=tmp_path, device="cuda")
    try:
        assert isinstance(runner, TensorRtRunner)
        assert runner.precision == precision
        for name, values in runner.infer(pictures).items():
            assert np.abs(values - expected[name]).max() < PRECISIONS[precision] * np.abs(expected[name]).max()
        assert prove_batch_invariance(runner, lambda n: {"image": random_pictures(n, 48, 48)}).holds
    finally:
        runner.close()


def test_recorded_graphs_and_plain_calls_give_the_same_bits(trt: TensorRt, device: CudaDevice, tmp_path: Path) -> None:
    spec = backbone_spec(backbone())
    built = plan_of(trt, write(tmp_path, "backbone.onnx", backbone()), "fp16")
    load = functools.partial(load_plan, cache=tmp_path)
    pictures = {"image": random_pictures(40, 48, 48)}
    answers = []
    for graphs, lanes in ((True, 2), (False, 2), (False, 1)):
        runner = open_image_model(spec, built.path, built.record, device, load=load, graphs=graphs, lanes=lanes)
        answers.append({name: values.copy() for name, values in runner.infer(pictures).items()})
        runner.close()
    for other in answers[1:]:
        assert all(np.array_equal(values, other[name]) for name, values in answers[0].items())


def test_crops_cut_on_the_gpu_say_what_those_cut_on_the_cpu_say(
    trt: TensorRt, device: CudaDevice, tmp_path: Path
) -> None:
    spec = msgspec.structs.replace(
        backbone_spec(backbone("small", SIDE), "small", SIDE), crop=CropGeometry(kind="box", width=SIDE, height=SIDE)
    )
    built = plan_of(trt, write(tmp_path, "backbone.onnx", backbone("small", SIDE)), "fp32")
    runner = open_image_model(spec, built.path, built.record, device, load=functools.partial(load_plan, cache=tmp_path))
    try:
        frame = smooth(150, 91)
        layout = rgb_layout(150, 91)
        tables = (layout.table(), crop_maps(MAPS, layout), layout.colour("rgb"))
        plain = np.array([0, 0, 0, 1, 1, 1, 0, 0, 0], np.float32)
        crops = cut_crops(frame.ravel(), *tables, plain, SIDE, SIDE, "constant").round().astype(np.uint8)
        expected = runner.infer({"image": np.ascontiguousarray(crops.transpose(0, 2, 3, 1))})["features"].copy()
        found = runner.collect(runner.submit_cuts(frame, layout, MAPS))["features"]
        assert (
            np.abs(found - expected).max() < 2e-2 * np.abs(expected).max()
        )  # the CPU rounds its crops to whole values
    finally:
        runner.close()


@pytest.mark.parametrize("precision", list(PRECISIONS))
@pytest.mark.parametrize("kind", ["none", "windowed", "windowed2", "recurrent"])
def test_heads_say_what_the_cpu_says_also_over_many_steps(
    trt: TensorRt, device: CudaDevice, tmp_path: Path, kind: str, precision: str
) -> None:
    content, spec = head(kind)
    path = write(tmp_path, "head.onnx", content)
    built = plan_of(trt, path, precision)
    ours = open_temporal_head(
        spec, built.path, built.record, device, load=functools.partial(load_plan, cache=tmp_path), batches=(1, 2, 4)
    )
    theirs = open_head(path, spec, precision="fp32", cache=tmp_path)
    try:
        rows = [head_rows(spec, 5), head_rows(spec, 5)]
        for _ in range(50 if spec.hidden else 1):
            answers = [runner.infer(given) for runner, given in zip((ours, theirs), rows, strict=True)]
            for name in ("probs", "valence", "arousal"):
                assert np.abs(answers[0][name] - answers[1][name]).max() < PRECISIONS[precision]
            for given, answer in zip(rows, answers, strict=True):
                given.update({name: answer[name].copy() for name in ("h", "c") if name in answer})
    finally:
        ours.close()
