"""Temporal heads: those that come with the package, by name, and one's own: a `head.json` with the ONNX beside it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from engines.errors import ModelUnavailable, WrongUse, WrongWeights
from engines.spec import HeadSpec, ModelSpec
from engines.zoo.cache import sha256_of

SHIPPED = Path(__file__).parent / "shipped"
"""`NAME.json`, `NAME.onnx` and the card `NAME.md` of each head that comes with the package."""
NO_HEAD = "none"
DEFAULT_HEADS: dict[str, str] = {"face-api": "ema-hysteresis"}
"""By expression model, the head it has where nothing is said: what the table in `shipped/temporal.md` decided."""


def shipped_heads() -> tuple[str, ...]:
    """The names of the heads that come with the package."""
    return tuple(sorted(path.stem for path in SHIPPED.glob("*.json")))


def default_head(expression: str) -> str:
    """The head that an expression model of the zoo has unless told otherwise; `none` for those that have none.

    A head is made for one network's mistakes, and nothing is known of what it does with another's.
    """
    return DEFAULT_HEADS.get(expression, NO_HEAD)


def load_head(head: Path | str) -> tuple[HeadSpec, Path]:
    """The spec and the ONNX file of a shipped head by its name, or of a `head.json` by its path; its sha256 is checked.

    Raises `ModelUnavailable` when one of the two files is missing or unreadable, `WrongWeights` for another sha256.
    """
    shipped = shipped_heads()
    path = SHIPPED / f"{head}.json" if str(head) in shipped else Path(head)
    network = path.with_suffix(".onnx")
    try:
        spec = msgspec.json.decode(path.read_bytes(), type=HeadSpec)
        found = sha256_of(network)
    except OSError as error:
        raise ModelUnavailable(
            f"the head cannot be read: {error}; name the head.json that `engines export` wrote"
            + (f", or one of {', '.join(shipped)}" if shipped else "")
        ) from error
    except msgspec.DecodeError as error:
        raise ModelUnavailable(f"{path} describes no head: {error}; write it again with `engines export`") from error
    if found != spec.sha256:
        raise WrongWeights(
            f"{network} was refused: its sha256 is {found}, expected {spec.sha256}; export the head again"
        )
    return spec, network


def check_fit(head: HeadSpec, backbone: ModelSpec) -> None:
    """Raises `WrongUse` when the head reads other features than the backbone gives, or was made for another."""
    if head.n_features and head.n_features != backbone.n_features:
        raise WrongUse(
            f"the head {head.model_id} reads {head.n_features} features and {backbone.model_id} gives "
            f"{backbone.n_features}: use the head with the backbone it was trained on"
        )
    if head.backbone is not None and head.backbone != backbone.name:
        raise WrongUse(
            f"the head {head.model_id} was made for the probabilities of {head.backbone}, not of {backbone.name}: "
            "leave --head out, or take none, mean or a head of its own"
        )
