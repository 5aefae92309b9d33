"""Temporal heads: a `head.json` with the HeadSpec, and the ONNX beside it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from engines.errors import ModelUnavailable, WrongUse, WrongWeights
from engines.spec import HeadSpec, ModelSpec
from engines.zoo.cache import sha256_of


def load_head(path_to_json: Path) -> tuple[HeadSpec, Path]:
    """The spec in `path_to_json` and the ONNX file of the same name beside it, its sha256 checked now.

    Raises `ModelUnavailable` when one of the two is missing or unreadable, `WrongWeights` for another sha256.
    """
    network = path_to_json.with_suffix(".onnx")
    try:
        spec = msgspec.json.decode(path_to_json.read_bytes(), type=HeadSpec)
        found = sha256_of(network)
    except OSError as error:
        raise ModelUnavailable(
            f"the head cannot be read: {error}; name the head.json that `engines export` wrote"
        ) from error
    except msgspec.DecodeError as error:
        raise ModelUnavailable(
            f"{path_to_json} describes no head: {error}; write it again with `engines export`"
        ) from error
    if found != spec.sha256:
        raise WrongWeights(
            f"{network} was refused: its sha256 is {found}, expected {spec.sha256}; export the head again"
        )
    return spec, network


def check_fit(head: HeadSpec, backbone: ModelSpec) -> None:
    """Raises `WrongUse` when the head reads other features than the backbone gives."""
    if head.n_features and head.n_features != backbone.n_features:
        raise WrongUse(
            f"the head {head.model_id} reads {head.n_features} features and {backbone.model_id} gives "
            f"{backbone.n_features}: use the head with the backbone it was trained on"
        )
