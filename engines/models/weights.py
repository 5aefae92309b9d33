"""Public state dicts of face networks: which layout a file has, and what of it fits.

Two layouts of the VGGFace2 ResNet50 are about: the usual PyTorch names (`conv1`, `layer1.0.conv1`, `fc`), also as a
pickled dict of numpy arrays, and those of the converted Oxford release, which keep Caffe's names
(`conv1_7x7_s2`, `conv2_1_1x1_reduce`, ..., `classifier`).
"""

from __future__ import annotations

import hashlib
import pickle
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from engines.errors import WrongUse, WrongWeights
from engines.models.backbone import Backbone
from engines.spec import EXPRESSIONS, N_PROBS

Layout = Literal["own", "torchvision", "caffe_names"]
_BLOCK = re.compile(r"^conv([2-5])_(\d)_(1x1_reduce|3x3|1x1_increase|1x1_proj)(_bn)?\.(.+)$")
_WITHIN = {"1x1_reduce": "1", "3x3": "2", "1x1_increase": "3"}
_CLASSIFIERS = ("fc", "classifier", "head.fc", "last_linear")
_OLD_TORCH = (
    b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # how files of torch before 1.6 begin; newer ones are zip archives
)
_SAFE = {("numpy._core.multiarray", "_reconstruct"), ("numpy.core.multiarray", "_reconstruct"), ("numpy", "ndarray")}
_SAFE |= {("numpy", "dtype"), ("collections", "OrderedDict"), ("_codecs", "encode")}


@dataclass(frozen=True)
class LoadReport:
    """What was taken: the layout, how many tensors, and whether the file's classification layer was one of ours."""

    layout: Layout
    n_tensors: int
    classifier: Literal["taken", "dropped", "absent"]


def load_backbone_weights(backbone: Backbone, path: Path, *, class_order: Sequence[str] | None = None) -> LoadReport:
    """Fill the backbone from a public file; nothing is changed unless all of its trunk fits.

    A classification layer of seven classes is taken when `class_order` says what its rows mean, any other is dropped
    (VGGFace2's tells 8,631 people apart). Raises `WrongWeights` for a file that is none of the layouts, is partial or
    has other shapes, and `WrongUse` for a class order that is no permutation of the seven.
    """
    if class_order is not None and sorted(class_order) != sorted(EXPRESSIONS):
        raise WrongUse(f"the class order must name {', '.join(EXPRESSIONS)} once each, it is {', '.join(class_order)}")
    found = _without_prefixes(_read(path))
    layout, renamed = _renamed(found)
    top = {name: value for name, value in renamed.items() if name.rpartition(".")[0] in _CLASSIFIERS}
    trunk = {name.removeprefix("trunk."): value for name, value in renamed.items() if name not in top}
    _check(backbone.trunk.state_dict(), trunk, path)
    head = _classifier(top, class_order, backbone, path)
    backbone.trunk.load_state_dict({**backbone.trunk.state_dict(), **trunk})
    if head is not None:
        backbone.classifier.load_state_dict(head)
    return LoadReport(layout, len(trunk), "taken" if head else "dropped" if top else "absent")


def sha256_of_weights(module: nn.Module) -> str:
    """Over names, shapes, types and bytes of the state dict, whatever file it was kept in."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        array = value.detach().cpu().contiguous().numpy()
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _read(path: Path) -> dict[str, Tensor]:
    try:
        with path.open("rb") as file:
            by_torch = file.read(len(_OLD_TORCH)).startswith((b"PK", _OLD_TORCH))
        plain: Any = torch.load(path, map_location="cpu", weights_only=True) if by_torch else _read_arrays(path)
    except OSError as error:
        raise WrongWeights(f"{path} cannot be read ({error.strerror}); name the file with the weights") from error
    except (
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        ValueError,
        LookupError,
        AttributeError,
        ImportError,
    ) as error:
        raise WrongWeights(
            f"{path} is neither a PyTorch state dict nor a pickled dict of arrays ({error}); it was refused"
        ) from error
    while isinstance(plain, Mapping) and isinstance(inner := plain.get("state_dict"), Mapping):
        plain = inner
    if not isinstance(plain, Mapping) or not plain:
        raise WrongWeights(f"{path} holds no state dict")
    tensors = {}
    for name, value in plain.items():
        if isinstance(value, np.ndarray):
            value = torch.from_numpy(np.array(value, order="C"))
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise WrongWeights(f"{path} holds {name!r}, which is no named tensor: save the model's state dict alone")
        tensors[name] = value
    return tensors


class _ArraysOnly(pickle.Unpickler):
    """Admits dicts of numpy arrays: a pickle may otherwise run whatever its author liked."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _SAFE:
            raise pickle.UnpicklingError(f"{module}.{name} is not admitted")
        return super().find_class(module, name)


def _read_arrays(path: Path) -> Any:
    with path.open("rb") as file:
        return _ArraysOnly(file, encoding="latin1").load()


def _without_prefixes(found: dict[str, Tensor]) -> dict[str, Tensor]:
    for prefix in ("module.", "model.", "backbone."):
        if all(name.startswith(prefix) for name in found):
            found = {name.removeprefix(prefix): value for name, value in found.items()}
    return found


def _renamed(found: dict[str, Tensor]) -> tuple[Layout, dict[str, Tensor]]:
    if any(name.startswith("trunk.") for name in found):
        return "own", found
    if not any(name.startswith("conv1_7x7_s2") for name in found):
        return "torchvision", found
    renamed = {}
    for name, value in found.items():
        if name.startswith("classifier."):
            value = value.flatten(1) if name == "classifier.weight" else value.flatten()
        renamed[_torch_name(name)] = value
    return "caffe_names", renamed


def _torch_name(caffe: str) -> str:
    """`conv4_1_1x1_reduce.weight` is `layer3.0.conv1.weight`, `..._reduce_bn.bias` is `layer3.0.bn1.bias`."""
    if caffe.startswith("conv1_7x7_s2_bn."):
        return "bn1." + caffe.rpartition(".")[2]
    if caffe.startswith("conv1_7x7_s2."):
        return "conv1." + caffe.rpartition(".")[2]
    match = _BLOCK.match(caffe)
    if match is None:
        return caffe
    stage, block, place, norm, rest = match.groups()
    part = f"downsample.{1 if norm else 0}" if place == "1x1_proj" else f"{'bn' if norm else 'conv'}{_WITHIN[place]}"
    return f"layer{int(stage) - 1}.{int(block) - 1}.{part}.{rest}"


def _check(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor], path: Path) -> None:
    # Counters of batches seen were not saved by older versions and change nothing.
    missing = [name for name in wanted if name not in found and not name.endswith("num_batches_tracked")]
    if missing:
        raise WrongWeights(f"{path} lacks {len(missing)} of {len(wanted)} tensors: {_some(missing)}; it was refused")
    strange = [name for name in found if name not in wanted]
    if strange:
        raise WrongWeights(f"{path} has {len(strange)} tensors too many: {_some(strange)}; it is of another network")
    other = [f"{name} {tuple(found[name].shape)}" for name in found if found[name].shape != wanted[name].shape]
    if other:
        raise WrongWeights(
            f"{path} has {len(other)} tensors of another shape: {_some(other)}; it is of another network"
        )
    broken = [name for name, value in found.items() if value.is_floating_point() and not value.isfinite().all()]
    if broken:
        raise WrongWeights(f"{path} holds numbers that are not finite in {_some(broken)}; it was refused")


def _classifier(
    top: Mapping[str, Tensor], class_order: Sequence[str] | None, backbone: Backbone, path: Path
) -> dict[str, Tensor] | None:
    weight = next((value for name, value in top.items() if name.endswith(".weight")), None)
    bias = next((value for name, value in top.items() if name.endswith(".bias")), None)
    if class_order is None:
        return None
    if weight is None or bias is None or weight.shape != (N_PROBS, backbone.n_features) or bias.shape != (N_PROBS,):
        shape = "none" if weight is None else tuple(weight.shape)
        raise WrongWeights(
            f"{path}: a class order was given for a layer of ({N_PROBS}, {backbone.n_features}), the file has {shape}"
        )
    rows = torch.tensor([list(class_order).index(name) for name in EXPRESSIONS])
    return {"weight": weight[rows], "bias": bias[rows]}


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
