"""The GPU's kernels without a GPU: their compiled form, their arithmetic bit for bit, and the CPU path they replace."""

import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from engines.errors import EngineError, WrongUse
from engines.runtime.cuda import kernels
from engines.runtime.cuda.frames import (
    Component,
    FrameLayout,
    check_cut,
    crop_maps,
    normalising,
    rgb_layout,
    yuv420_layout,
)
from engines.runtime.cuda.reference import cut_crops, normalise_crops
from engines.runtime.invariance import random_pictures
from engines.spec import CropGeometry, Normalisation
from streamer.pixels.colour import to_rgb_matrix
from streamer.pixels.frames import picture_of
from streamer.pixels.picture import Picture
from tests.engines.runtime.exported import nvrtc
from tests.engines.runtime.kernels_on_cpu import KernelsOnCpu, kernels_on_cpu

FORM = Normalisation(colour="bgr", layout="nchw", mean=(91.4953, 103.8827, 131.0912), std=(57.0, 58.0, 59.5))
PLAIN = Normalisation(colour="rgb", layout="nchw", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
SIDE = 56
FRAME_WH = (150, 91)  # odd, so that chroma has a last column of its own


@pytest.fixture(scope="module")
def on_cpu(tmp_path_factory: pytest.TempPathFactory) -> KernelsOnCpu:
    return kernels_on_cpu(tmp_path_factory.mktemp("kernels"))


def turned(angle_deg: float, scale: float, x: float, y: float) -> NDArray[np.float64]:
    """From frame to crop: the frame's point (x, y) comes to the crop's centre."""
    angle = np.deg2rad(angle_deg)
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.column_stack([linear, SIDE / 2 - linear @ (x, y)])


MAPS = np.stack(
    [turned(0, 1.0, 75.5, 45.5), turned(17, 0.8, 60, 40), turned(-140, 1.7, 5, 88), turned(0, 1.0, 3000, 3000)]
)


def smooth(width: int, height: int, seed: int = 1) -> NDArray[np.uint8]:
    """(height,width,3): a picture whose neighbours are alike, as in video."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (6, 8, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def yuv_frame() -> tuple[av.VideoFrame, NDArray[np.uint8], FrameLayout]:
    """A picture as PyAV has it and as one buffer of I420."""
    width, height = FRAME_WH
    frame = av.VideoFrame.from_ndarray(smooth(width, height), format="rgb24").reformat(format="yuv420p")
    picture = picture_of(frame)
    rows = [np.ascontiguousarray(plane.pixels) for plane in picture.planes]
    matrix = to_rgb_matrix(picture.space, "rgb").tolist()
    luma, blue, red = picture.space.black()
    layout = yuv420_layout(width, height, matrix, black=(float(luma), float(blue), float(red)))
    return frame, np.concatenate([one.ravel() for one in rows]), layout


@pytest.mark.parametrize("capability", ["8.0", "8.9", "9.0"])
def test_every_kernel_is_compiled_for_data_centre_and_desk_without_a_gpu(tmp_path: Path, capability: str) -> None:
    nvrtc()
    cubin = kernels.kernels_for(capability, tmp_path)
    assert cubin[:4] == b"\x7fELF"
    flags = int.from_bytes(cubin[0x30:0x34], "little")
    assert flags >> 8 & 0xFF == int(capability.replace(".", ""))
    for name in kernels.NAMES:
        assert f".text.{name}\0".encode() in cubin, name
    ptx = kernels.compiled(capability, ptx=True).decode()
    assert f".target sm_{capability.replace('.', '')}" in ptx
    assert "fma.rn.f32" not in ptx, "contracted arithmetic would differ from the reference"
    assert ptx.count(".visible .entry") == len(kernels.NAMES)


def test_a_compiled_kernel_is_kept_and_a_damaged_one_compiled_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvrtc()
    first = kernels.kernels_for("8.6", tmp_path)
    (kept,) = (tmp_path / "compiled").iterdir()
    with monkeypatch.context() as patched:
        patched.setattr(kernels, "compiled", lambda _: pytest.fail("compiled although it was there"))
        assert kernels.kernels_for("8.6", tmp_path) == first
    kept.write_bytes(kept.read_bytes()[:-1])
    assert kernels.kernels_for("8.6", tmp_path) == first


def test_an_architecture_that_is_none_is_refused(tmp_path: Path) -> None:
    nvrtc()
    with pytest.raises(EngineError, match=r"for 1\.0"):
        kernels.kernels_for("1.0", tmp_path)


def test_a_missing_compiler_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    with pytest.raises(WrongUse, match=r"affect-streamer\[gpu\]"):
        kernels.kernels_for("8.6", tmp_path)


@pytest.mark.parametrize("half", [False, True])
def test_normalising_gives_the_bits_of_the_reference(on_cpu: KernelsOnCpu, half: bool) -> None:
    crops = np.asarray(random_pictures(3, 37, 45), np.uint8)
    form = normalising(FORM)
    expected = normalise_crops(crops, form)
    found = on_cpu.normalise(crops, form, half)
    assert found.tobytes() == expected.astype(found.dtype).tobytes()
    by_hand = (crops.transpose(0, 3, 1, 2) - np.array(FORM.mean)[:, None, None]) / np.array(FORM.std)[:, None, None]
    assert np.abs(expected - by_hand).max() < 1e-5


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("border", ["constant", "replicate"])
@pytest.mark.parametrize("kind", ["rgb", "planar", "i420", "nv12"])
def test_cutting_gives_the_bits_of_the_reference(on_cpu: KernelsOnCpu, kind: str, border: str, half: bool) -> None:
    width, height = FRAME_WH
    picture = smooth(width, height)
    if kind == "rgb":
        frame, layout = picture.ravel(), rgb_layout(width, height)
    elif kind == "planar":
        frame, layout = picture.transpose(2, 0, 1).ravel(), rgb_layout(width, height, planar=True)
    else:
        _, frame, layout = yuv_frame()
        if kind == "nv12":
            frame, layout = interleaved(frame, layout)
    frame = np.ascontiguousarray(frame)
    arrays = (layout.table(), crop_maps(MAPS, layout), layout.colour("bgr"), normalising(FORM, layout.black))
    expected = cut_crops(frame, *arrays, SIDE, SIDE - 4, "replicate" if border == "replicate" else "constant")
    found = on_cpu.cut(frame, *arrays, SIDE, SIDE - 4, border == "replicate", half)
    assert found.tobytes() == expected.astype(found.dtype).tobytes()


def interleaved(frame: NDArray[np.uint8], layout: FrameLayout) -> tuple[NDArray[np.uint8], FrameLayout]:
    width, height = FRAME_WH
    area = width * height
    u, v = np.split(frame[area:], 2)
    nv12 = yuv420_layout(width, height, layout.to_rgb, black=layout.black, interleaved=True)
    return np.concatenate([frame[:area], np.stack([u, v], 1).ravel()]), nv12


def test_planes_and_interleaved_chroma_are_the_same_frame() -> None:
    _, frame, layout = yuv_frame()
    crops = []
    for buffer, form in ((frame, layout), interleaved(frame, layout)):
        tables = (form.table(), crop_maps(MAPS, form), form.colour("rgb"), normalising(PLAIN, form.black))
        crops.append(cut_crops(buffer, *tables, SIDE, SIDE, "constant"))
    assert np.array_equal(crops[0], crops[1])


@pytest.mark.parametrize("border", [cv2.BORDER_CONSTANT, cv2.BORDER_REPLICATE])
def test_the_reference_is_opencv_s_affine_sampling(border: int) -> None:
    """OpenCV takes coordinates in 32nds of a pixel and rounds to whole values: that is all they may differ by."""
    width, height = FRAME_WH
    picture = smooth(width, height)
    layout = rgb_layout(width, height)
    tables = (layout.table(), crop_maps(MAPS, layout), layout.colour("rgb"), normalising(PLAIN))
    found = cut_crops(
        picture.ravel(), *tables, SIDE, SIDE, "constant" if border == cv2.BORDER_CONSTANT else "replicate"
    )
    for crop, frame_to_crop in zip(found, MAPS, strict=True):
        indexed = frame_to_crop.copy()
        indexed[:, 2] += frame_to_crop[:, :2] @ (0.5, 0.5) - 0.5
        expected = cv2.warpAffine(picture, indexed, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=border)
        difference = np.abs(crop.transpose(1, 2, 0) - expected)
        assert difference.mean() < 0.6
        assert np.quantile(difference, 0.99) < 3.0


@pytest.mark.parametrize("border", ["constant", "replicate"])
def test_a_decoded_frame_gives_the_crops_of_the_cpu_path(border: str) -> None:
    frame, buffer, layout = yuv_frame()
    picture: Picture = picture_of(frame)
    tables = (layout.table(), crop_maps(MAPS, layout), layout.colour("rgb"), normalising(PLAIN, layout.black))
    replicate = border == "replicate"
    found = cut_crops(buffer, *tables, SIDE, SIDE, "replicate" if replicate else "constant")
    for crop, frame_to_crop in zip(found, MAPS, strict=True):
        expected = picture.warp(frame_to_crop, SIDE, SIDE, "rgb", border="replicate" if replicate else "constant")
        difference = np.abs(crop.transpose(1, 2, 0) - expected)
        assert difference.mean() < 1.0
        assert np.quantile(difference, 0.99) < 4.0
    shifted = cut_crops(buffer, *_moved(tables), SIDE, SIDE, "replicate" if replicate else "constant")
    assert np.abs(found[:3] - shifted[:3]).mean() > 1.0, "a shift by one pixel would not have been noticed"


def _moved(
    tables: tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]],
) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    parts, maps, colour, form = tables
    moved = maps.copy()
    moved[:, 0, 2] += 1.0
    moved[:, 1, 2] += 0.5
    return parts, moved, colour, form


def test_layouts_and_maps_that_cannot_be_are_refused() -> None:
    layout = rgb_layout(8, 4)
    part = Component(0, 24, 3, 8, 5)
    with pytest.raises(EngineError, match="reaches byte"):
        FrameLayout((part, part, part), layout.to_rgb, layout.black, 96)
    grids = [Component(0, 8, 1, 8, 4, x_step=step) for step in (1.0, 2.0, 4.0)]
    with pytest.raises(EngineError, match="two grids"):
        FrameLayout((grids[0], grids[1], grids[2]), layout.to_rgb, layout.black, 96)
    with pytest.raises(EngineError, match="flattens"):
        crop_maps(np.zeros((1, 2, 3)), layout)
    with pytest.raises(EngineError, match=r"\(B,2,3\)"):
        crop_maps(np.zeros((2, 3)), layout)
    with pytest.raises(EngineError, match="fold"):
        normalising(Normalisation(colour="grey", layout="nchw", mean=(0.0,), std=(1.0,)))
    with pytest.raises(EngineError, match="linear"):
        check_cut(CropGeometry(kind="box", width=4, height=4, interpolation="area"))
