"""What an exported network says of itself, in its own file."""

from __future__ import annotations

import hashlib

import torch

from engines.models import AffectModel
from engines.spec import EXPRESSIONS

FORMAT_VERSION = "1"


def metadata_of(model: AffectModel, part: torch.nn.Module, *, licence: str, trained_on: str) -> dict[str, str]:
    """The `metadata_props` of an exported part of `model`: enough to tell where a stray file came from."""
    return {
        "format_version": FORMAT_VERSION,
        "class_order": ",".join(EXPRESSIONS),
        "model_name": model.config.name,
        "model_number": str(model.config.number),
        "backbone": model.config.backbone.name,
        "weights_sha256": sha256_of_weights(part),
        "licence": licence,
        "trained_on": trained_on,
    }


def sha256_of_weights(module: torch.nn.Module) -> str:
    """Over names, shapes, types and bytes of the state dict, whatever file it was kept in."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        array = value.detach().cpu().contiguous().numpy()
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
