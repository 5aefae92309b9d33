"""The six models of the paper (Do, Nguyen-Quynh, Kim, ABAW 2020) by name. Their authors published no weights."""

from __future__ import annotations

from engines.errors import ModelUnavailable
from engines.spec import EXPRESSIONS, CropGeometry, ModelSpec, Normalisation, Provenance, TensorSpec

VGGFACE2 = Normalisation(colour="bgr", layout="nchw", mean=(91.4953, 103.8827, 131.0912), std=(1.0, 1.0, 1.0))
"""What ResNet50 of VGGFace2 was trained with, and so the paper's models."""
SIDE_PX = 224
N_FEATURES = 2048

TITLES: dict[int, str] = {
    1: "Emotion Image",
    2: "Emotion VA Image",
    3: "Emotion Frame",
    4: "Emotion VA Frame",
    5: "Emotion Frame with LSTM",
    6: "Emotion VA Frame with LSTM",
}
"""The rows of Table I; each goes by `paper-NUMBER` and by its title in small letters with hyphens."""


def _spec(number: int, title: str) -> ModelSpec:
    return ModelSpec(
        name=f"paper-{number}",
        version="2020",
        role="expression",
        inputs=(TensorSpec(name="image", shape=(-1, SIDE_PX, SIDE_PX, 3), dtype="uint8"),),
        outputs=(
            TensorSpec(name="features", shape=(-1, 2048)),
            TensorSpec(name="logits", shape=(-1, len(EXPRESSIONS))),
        ),
        sha256="",
        normalisation=VGGFACE2,
        provenance=Provenance(
            licence="none: no weights are published",
            origin=f"model {number} of the paper, {title}",
            trained_on="VGGFace2, then AffectNet, RAF-DB and Aff-Wild2, as the paper says",
            notes=_how(number),
        ),
        crop=CropGeometry(kind="box", width=SIDE_PX, height=SIDE_PX),
        class_order=EXPRESSIONS,
        n_features=N_FEATURES,
    )


def _how(number: int) -> str:
    return (
        f"Train it: `engines train configs/training/paper-{number}.yaml --out RUN`, then `engines export RUN --out "
        "FOLDER`, and name that folder as the model."
    )


PAPER_MODELS: tuple[ModelSpec, ...] = tuple(_spec(number, title) for number, title in TITLES.items())


def refuse_paper_model(name: str) -> None:
    """Raises `ModelUnavailable`, saying how to have it all the same, when `name` is one of the paper's models."""
    for (number, title), spec in zip(TITLES.items(), PAPER_MODELS, strict=True):
        slug = title.lower().replace(" with ", " ").replace(" ", "-")
        if name in (spec.name, slug):
            raise ModelUnavailable(
                f"{name} is model {number} of the paper ({title}), and its authors published no weights. {_how(number)}"
            )
