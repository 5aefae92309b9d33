"""One way of running a model, as `engines compare` sees it: crops in, every output out, whatever runs it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast, get_args

import numpy as np
import onnx
import torch

from engines.errors import EngineError, WrongUse
from engines.faces import UInt8Array
from engines.models import AffectHead, Backbone
from engines.runtime import Device, Runner, head_precision, open_head, open_runner
from engines.runtime.gpu import plan_for, the_gpu
from engines.runtime.offline import Sequence, coloured, probabilities, run_head
from engines.runtime.protocol import FloatArray
from engines.shipping.metadata import TEMPERATURE_KEY
from engines.spec import EXPRESSIONS, CropGeometry, HeadSpec, ModelSpec, Precision
from engines.training.features import network_input
from engines.training.folder import is_training_folder, load_trained
from engines.zoo import check_fit, exported_head, load, load_head

ENGINES = ("torch", "auto", "fp32", "bf16", "fp16", "int8", "cuda", "tensorrt")
_BATCH = 8


@dataclass(frozen=True)
class Temperatures:
    """What the answers were divided by: the backbone's logits, and the head's where there is one."""

    backbone: float = 1.0
    head: float = 1.0


class Side(Protocol):
    """A model in an engine. `temperatures` is None where the other side's are to be taken: training knows of none."""

    @property
    def title(self) -> str:
        """What it is called in the table."""

    @property
    def precision(self) -> Precision:
        """What it really computes in."""

    @property
    def crop(self) -> CropGeometry | None:
        """How a face is cut for it; None where training does not say."""

    @property
    def side_px(self) -> int:
        """The crops' side."""

    @property
    def temperatures(self) -> Temperatures | None:
        """See above."""

    def answers(self, crops_rgb: UInt8Array, temperatures: Temperatures) -> dict[str, FloatArray]:
        """Every output for crops (N,side,side,3), rows as they come: `features`, `logits` and `probs` in the order of
        EXPRESSIONS, and `head/...` for crops taken as one track in time order. The arrays are the caller's.
        """

    def close(self) -> None:
        """Frees what runs it."""


class EngineSide:
    """A model of the zoo or an exported folder in an engine of the worker's: OpenVINO; TensorRT or torch on a GPU."""

    def __init__(
        self, title: str, spec: ModelSpec, runner: Runner, head: tuple[HeadSpec, Runner, float] | None
    ) -> None:
        self.title = title
        self.spec = spec
        self.crop = spec.crop
        self._runner = runner
        self._head = head
        self.temperatures = Temperatures(spec.calibration.temperature, head[2] if head else 1.0)

    @property
    def precision(self) -> Precision:
        return cast(Precision, self._runner.precision)

    @property
    def side_px(self) -> int:
        assert self.crop is not None, "an expression model has a crop"
        return self.crop.height

    def answers(self, crops_rgb: UInt8Array, temperatures: Temperatures) -> dict[str, FloatArray]:
        found = _joined(self._runner, coloured(crops_rgb, self.spec))
        columns = [self.spec.class_order.index(name) for name in EXPRESSIONS]
        found["probs"] = probabilities(found["logits"], self.spec.class_order, temperatures.backbone)
        found["logits"] = found["logits"][:, columns]
        if self._head is not None:
            spec, runner, _ = self._head
            answered = run_head(runner, spec, Sequence(found["features"], found["probs"]))
            found |= {f"head/{name}": values for name, values in answered.items() if name not in ("h", "c")}
        return found

    def close(self) -> None:
        self._runner.close()
        if self._head is not None:
            self._head[1].close()


class TorchSide:
    """The modules themselves, on the CPU in fp32."""

    precision: Precision = "fp32"
    crop = None
    temperatures = None

    def __init__(self, title: str, backbone: Backbone, head: AffectHead | None) -> None:
        self.title = title
        self.side_px = backbone.input_size_px
        self._backbone = backbone.cpu().float().eval()
        self._head = None if head is None else head.cpu().float().eval()

    @torch.no_grad()
    def answers(self, crops_rgb: UInt8Array, temperatures: Temperatures) -> dict[str, FloatArray]:
        pieces = [
            self._backbone(network_input(torch.from_numpy(crops_rgb[i : i + _BATCH]), self._backbone))
            for i in range(0, len(crops_rgb), _BATCH)
        ]
        features = torch.cat([piece.features for piece in pieces])
        logits = torch.cat([piece.logits for piece in pieces])
        probs = (logits / temperatures.backbone).softmax(-1)
        found = {"features": features.numpy(), "logits": logits.numpy(), "probs": probs.numpy()}
        if self._head is not None:
            output = self._head.forward_sequence(features[None], probs[None])
            found["head/probs"] = (output.logits[0] / temperatures.head).softmax(-1).numpy()
            if output.valence is not None and output.arousal is not None:
                found["head/valence"] = output.valence[0].numpy()
                found["head/arousal"] = output.arousal[0].numpy()
        return found

    def close(self) -> None:
        pass


@contextmanager
def open_side(name: str, *, cache: Path | None = None) -> Iterator[Side]:
    """The side that `MODEL@ENGINE` names: a model of the zoo, an exported folder or, for torch, a training folder.

    Without an engine a training folder is run by torch and everything else by OpenVINO in fp32. Raises `WrongUse` for
    what does not go together, and what the zoo and the runners raise.
    """
    side = _open(name, cache)
    try:
        yield side
    finally:
        side.close()


def _open(name: str, cache: Path | None) -> Side:
    model, at, engine = name.rpartition("@")
    if not at or "/" in engine:
        model, engine = name, ""
    if engine and engine not in ENGINES:
        raise WrongUse(f"{name}: no engine is called {engine!r}; there are {', '.join(ENGINES)}")
    folder = Path(model)
    if engine == "torch" or (not engine and is_training_folder(folder)):
        return _torch_side(model, folder)
    on_gpu = engine in ("cuda", "tensorrt")
    precision = "auto" if on_gpu else engine or "fp32"
    device: Device = "cuda" if on_gpu else "cpu"
    loaded = load(model, cache=cache, precision=precision, role="expression")
    if engine == "tensorrt":
        _need_plan(loaded.path)
    runner = open_runner(loaded, precision=precision, cache=cache, device=device)
    described = exported_head(model)
    head = None
    if described is not None:
        spec, path = load_head(described)
        check_fit(spec, loaded.spec)
        opened = open_head(path, spec, precision=head_precision(precision, spec, device), cache=cache, device=device)
        head = (spec, opened, head_temperature(path))
    return EngineSide(f"{model}@{runner.precision} on {runner.device}", loaded.spec, runner, head)


def head_temperature(network: Path) -> float:
    """What an exported head divides its logits by, as its own file says; 1 where it says nothing."""
    told: Mapping[str, str] = {entry.key: entry.value for entry in onnx.load(network).metadata_props}
    return float(told.get(TEMPERATURE_KEY, "1"))


def _torch_side(name: str, folder: Path) -> TorchSide:
    if not is_training_folder(folder):
        raise WrongUse(f"{name}: torch runs what `engines train` wrote, and {folder} is no such folder")
    model, info = load_trained(folder)
    return TorchSide(f"{name}@torch", model.backbone, None if info.config.part == "backbone" else model.head)


def _need_plan(network: Path) -> None:
    """Raises `EngineError` where `cuda` would quietly take torch: `tensorrt` means a plan."""
    choice = plan_for(network, the_gpu(), "auto", None)
    if choice.plan is None:
        raise EngineError(f"{network} has no plan for this machine ({choice.why_not}); make one with `engines build`")


def _joined(runner: Runner, crops: UInt8Array) -> dict[str, FloatArray]:
    gathered: dict[str, list[FloatArray]] = {}
    for start in range(0, len(crops), _BATCH):
        for output, values in runner.infer({"image": crops[start : start + _BATCH]}).items():
            gathered.setdefault(output, []).append(values.copy())
    return {output: np.concatenate(values) for output, values in gathered.items()}


assert set(get_args(Precision)) < set(ENGINES), "every precision can be asked for"
