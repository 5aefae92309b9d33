"""A model in torch to a folder that the streamer runs: networks, specs and a model card, checked before they stay.

A model is shipped in two parts. `backbone` is a picture's own network; `head` is everything behind it, also for the
paper's models 1 and 2, whose dense layers read the current picture alone: their head reads no STAT and carries nothing.
A head was trained on the backbone's own probabilities, and its STAT cannot be re-scaled afterwards. So where there is a
head the temperature is folded into the head's answer and the backbone keeps 1; without a head it stands in the spec.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from engines.errors import WrongUse
from engines.models import AffectHead, Backbone, ModelConfig, head_spec_of
from engines.runtime.tensorrt_plan import FOLDER as PLANS
from engines.shipping.backbone_onnx import backbone_onnx
from engines.shipping.card import card_text
from engines.shipping.head_onnx import head_onnx
from engines.shipping.metadata import About, metadata_of
from engines.shipping.proof import prove_backbone, prove_head
from engines.spec import EXPRESSIONS, N_PROBS, Calibration, CropGeometry, HeadSpec, ModelSpec, TensorSpec
from engines.zoo.cache import sha256_of_bytes
from engines.zoo.catalogue import FACE_TEMPLATE
from engines.zoo.exports import BACKBONE, HEAD, INT8_BACKBONE

CARD = "card.md"
_TEMPLATE_SIDE_PX = 112
_OURS = frozenset(
    [CARD, *(f"{part}.{kind}" for part in (BACKBONE, HEAD) for kind in ("onnx", "json"))]
    + [f"{INT8_BACKBONE}.{kind}" for kind in ("xml", "bin", "json")]
    + [PLANS]
)
NOT_FITTED = Calibration()
OWN_PROBABILITIES = "none: the head was trained on the network's own probabilities; its answer carries the temperature"


@dataclass(frozen=True)
class Exported:
    """What was written, and by how much its numbers differ from torch's, per output."""

    folder: Path
    backbone: ModelSpec
    head: HeadSpec | None
    differences: dict[str, float]


def box_crop(side_px: int, margin: float = 0.0) -> CropGeometry:
    """The unaligned square around the face's box that the paper's models are fed."""
    return CropGeometry(kind="box", width=side_px, height=side_px, margin=margin)


def aligned_crop(side_px: int) -> CropGeometry:
    """The usual alignment of five points, scaled to a crop of `side_px`."""
    scale = side_px / _TEMPLATE_SIDE_PX
    template = tuple((x * scale, y * scale) for x, y in FACE_TEMPLATE)
    return CropGeometry(kind="five_point", width=side_px, height=side_px, template=template)


def export_model(
    backbone: Backbone,
    head: AffectHead | None,
    folder: Path,
    about: About,
    *,
    crop: CropGeometry,
    calibration: Calibration = NOT_FITTED,
) -> Exported:
    """Write `folder` and prove that what it holds answers as torch does. Same weights and words, same bytes.

    What an earlier export left in `folder` is replaced, its quantised network and plans with it. Nothing is left
    behind when the proof fails. Raises `WrongUse` for a folder with other things in it or a crop of another size than
    the backbone's, and `EngineError` when torch and the engine disagree.
    """
    _check(backbone, crop, folder)
    with _replacing(folder) as partial:
        own = calibration if head is None else Calibration(fitted=OWN_PROBABILITIES)
        metadata = metadata_of(backbone, about, own, architecture=backbone.config.name)
        content = backbone_onnx(backbone, metadata)
        spec = _backbone_spec(backbone, about, crop, own, sha256_of_bytes(content))
        _write(partial, BACKBONE, content, msgspec.json.encode(spec))
        differences = prove_backbone(backbone, spec, partial / f"{BACKBONE}.onnx")
        head_spec = None
        if head is not None:
            head_spec, content = _head(head, about, calibration)
            _write(partial, HEAD, content, msgspec.json.encode(head_spec))
            differences |= prove_head(head, head_spec, partial / f"{HEAD}.onnx", calibration.temperature)
        (partial / CARD).write_text(card_text(spec, head_spec, about, calibration), encoding="utf-8")
    return Exported(folder, spec, head_spec, differences)


def _check(backbone: Backbone, crop: CropGeometry, folder: Path) -> None:
    side = backbone.input_size_px
    if (crop.width, crop.height) != (side, side):
        raise WrongUse(f"the backbone takes pictures of {side} px and the crop is {crop.width}x{crop.height}")
    if folder.exists() and not folder.is_dir():
        raise WrongUse(f"{folder} is a file; name a folder to write the model to")
    strange = sorted(path.name for path in folder.iterdir() if path.name not in _OURS) if folder.is_dir() else []
    if strange:
        raise WrongUse(f"{folder} holds {strange[0]}, which no export wrote; name a new or an empty folder")


def _backbone_spec(
    backbone: Backbone, about: About, crop: CropGeometry, calibration: Calibration, sha256: str
) -> ModelSpec:
    side = backbone.input_size_px
    return ModelSpec(
        name=about.name,
        version=about.version,
        role="expression",
        inputs=(TensorSpec(name="image", shape=(-1, side, side, 3), dtype="uint8"),),
        outputs=(
            TensorSpec(name="features", shape=(-1, backbone.n_features)),
            TensorSpec(name="logits", shape=(-1, N_PROBS)),
        ),
        sha256=sha256,
        normalisation=backbone.normalisation,
        provenance=about.provenance,
        crop=crop,
        class_order=EXPRESSIONS,
        calibration=calibration,
        n_features=backbone.n_features,
        # A runner proves on its own machine which of its batch sizes give the bits of batch 1, and uses no other.
        batch_invariant=True,
    )


def _head(head: AffectHead, about: About, calibration: Calibration) -> tuple[HeadSpec, bytes]:
    metadata = metadata_of(head, about, calibration, architecture=_parts_of(head.config))
    content = head_onnx(head, metadata, temperature=calibration.temperature)
    spec = head_spec_of(
        head,
        version=about.version,
        sha256=sha256_of_bytes(content),
        valence_arousal_trained_on=about.valence_arousal_trained_on,
    )
    notes = " ".join(filter(None, [about.provenance.notes, f"Calibration: {calibration.fitted}."]))
    return (
        msgspec.structs.replace(
            spec,
            name=about.name,
            # Without a past nothing has to be waited for: the first answer is as good as any.
            window=spec.window if head.config.temporal else 1,
            provenance=msgspec.structs.replace(about.provenance, notes=notes),
        ),
        content,
    )


def _parts_of(config: ModelConfig) -> str:
    lstm = f"{config.lstm.form} LSTM of {config.lstm.layers} x {config.lstm.units}" if config.lstm else "no LSTM"
    return f"STAT {config.stat} over {config.window}, {lstm}, dense layers of {config.head_units}"


def _write(folder: Path, part: str, network: bytes, spec: bytes) -> None:
    (folder / f"{part}.onnx").write_bytes(network)
    (folder / f"{part}.json").write_bytes(msgspec.json.format(spec, indent=2) + b"\n")


@contextmanager
def _replacing(folder: Path) -> Iterator[Path]:
    """A folder beside `folder` that takes its place once everything in it is right."""
    parent = folder.absolute().parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=parent))
    except OSError as error:
        raise WrongUse(f"nothing can be written to {parent} ({error.strerror}); name another folder") from error
    try:
        yield partial
        partial.chmod(0o755)
        for path in partial.iterdir():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
