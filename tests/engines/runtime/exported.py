"""Networks exported from fresh weights, once a test run."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from engines.errors import WrongUse
from engines.models import AffectHead, BackboneConfig, LstmConfig, ModelConfig, build_backbone
from engines.models.head import head_spec_of
from engines.runtime.compiled import configuration, core
from engines.runtime.cuda import kernels
from engines.runtime.tensorrt_library import TensorRt, tensorrt_library
from engines.shipping.backbone_onnx import backbone_onnx
from engines.shipping.head_onnx import head_onnx
from engines.spec import EXPRESSIONS, CropGeometry, HeadSpec, ModelSpec, Provenance, TensorSpec
from engines.zoo.cache import sha256_of_bytes

N_FEATURES = 128
HEADS = {
    "none": None,
    "windowed": LstmConfig(form="windowed", units=12),
    "windowed2": LstmConfig(form="windowed", layers=2, units=12),
    "recurrent": LstmConfig(form="recurrent", units=12),
}


@functools.cache
def backbone(name: str = "small", side_px: int = 48) -> bytes:
    """The ONNX of a backbone with weights that are not degenerate: batch norms have seen pictures."""
    torch.manual_seed(5)
    network = build_backbone(BackboneConfig(name=name, input_size_px=side_px)).train()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            module.momentum = None  # the plain average of what was seen
    with torch.no_grad():
        for _ in range(2):
            network(torch.rand(4, 3, side_px, side_px) * 255)
    return backbone_onnx(network.eval(), {})


def backbone_spec(content: bytes, name: str = "small", side_px: int = 48) -> ModelSpec:
    """What an export would say of it."""
    with torch.device("meta"):
        network = build_backbone(BackboneConfig(name=name, input_size_px=side_px))
    return ModelSpec(
        name=name,
        version="1",
        role="expression",
        inputs=(TensorSpec(name="image", shape=(-1, side_px, side_px, 3), dtype="uint8"),),
        outputs=(
            TensorSpec(name="features", shape=(-1, network.n_features)),
            TensorSpec(name="logits", shape=(-1, 7)),
        ),
        sha256=sha256_of_bytes(content),
        normalisation=network.normalisation,
        provenance=Provenance(licence="none", origin="made up", trained_on="nothing"),
        crop=CropGeometry(kind="box", width=side_px, height=side_px),
        class_order=EXPRESSIONS,
        n_features=network.n_features,
    )


@functools.cache
def head(kind: str) -> tuple[bytes, HeadSpec]:
    """The ONNX and spec of a head over 128 features."""
    torch.manual_seed(6)
    config = ModelConfig(name=kind, stat="probs", lstm=HEADS[kind], window=5, head_units=24)
    made = AffectHead(config, N_FEATURES).eval()
    content = head_onnx(made, {})
    return content, head_spec_of(made, version="1", sha256=sha256_of_bytes(content))


def head_rows(spec: HeadSpec, n: int) -> dict[str, NDArray[np.float32]]:
    """Plausible inputs for n observations."""
    random = np.random.default_rng(9)
    shapes: dict[str, tuple[int, ...]] = {"features": (N_FEATURES,), "probs": (7,), "stat": (21,)}
    if spec.windowed:
        shapes["block"] = (spec.window, 7)
    if spec.hidden:
        shapes |= {"h": (spec.hidden,), "c": (spec.hidden,)}
    return {name: random.random((n, *shape), np.float32) for name, shape in shapes.items()}


def run_openvino(content: bytes, inputs: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """Every output of an ONNX network by its own name, at fp32."""
    compiled = core().compile_model(core().read_model(content), "CPU", configuration("fp32"))
    results = compiled(inputs)
    return {name: np.array(results[port]) for port in compiled.outputs for name in port.names}


def rtx() -> TensorRt:
    """The RTX edition; the test is skipped where it cannot be had, and fails in CI."""
    for name in ("tensorrt_rtx", "tensorrt_rtx_bindings"):
        try:
            return tensorrt_library(name)
        except WrongUse as error:
            said = str(error)
    if os.environ.get("CI") == "true":
        pytest.fail(said)
    pytest.skip(said)


def nvrtc() -> None:
    """The compiler of kernels is here; the test is skipped where it is not, and fails in CI."""
    try:
        kernels.compiled("8.0")
    except WrongUse as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))


def write(folder: Path, name: str, content: bytes) -> Path:
    """A file in a folder made for it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(content)
    return path
