"""The six models of the paper (Do, Nguyen-Quynh, Kim, ABAW 2020) by name. Their authors published no weights."""

from __future__ import annotations

from dataclasses import dataclass

from engines.errors import ModelUnavailable
from engines.spec import EXPRESSIONS, CropGeometry, ModelSpec, Normalisation, Provenance, TensorSpec

VGGFACE2 = Normalisation(colour="bgr", layout="nchw", mean=(91.4953, 103.8827, 131.0912), std=(1.0, 1.0, 1.0))
"""What ResNet50 of VGGFace2 was trained with, and so the paper's models."""
SIDE_PX = 224
N_FEATURES = 2048


@dataclass(frozen=True)
class Row:
    """One row of Table I: what the model is called and which parts it has."""

    number: int
    name: str
    title: str
    stat: bool
    lstm: bool
    valence_arousal: bool

    @property
    def names(self) -> tuple[str, ...]:
        """What it may be called: its number, `paper-NUMBER` and its name."""
        return (str(self.number), f"paper-{self.number}", self.name)


ROWS: tuple[Row, ...] = (
    Row(1, "emotion-image", "Emotion Image", False, False, False),
    Row(2, "emotion-va-image", "Emotion VA Image", False, False, True),
    Row(3, "emotion-frame", "Emotion Frame", True, False, False),
    Row(4, "emotion-va-frame", "Emotion VA Frame", True, False, True),
    Row(5, "emotion-frame-lstm", "Emotion Frame with LSTM", True, True, False),
    Row(6, "emotion-va-frame-lstm", "Emotion VA Frame with LSTM", True, True, True),
)


def _spec(row: Row) -> ModelSpec:
    return ModelSpec(
        name=f"paper-{row.number}",
        version="2020",
        role="expression",
        inputs=(TensorSpec(name="image", shape=(-1, SIDE_PX, SIDE_PX, 3), dtype="uint8"),),
        outputs=(
            TensorSpec(name="features", shape=(-1, N_FEATURES)),
            TensorSpec(name="logits", shape=(-1, len(EXPRESSIONS))),
        ),
        sha256="",
        normalisation=VGGFACE2,
        provenance=Provenance(
            licence="none: no weights are published",
            origin=f"model {row.number} of the paper, {row.title}",
            trained_on="VGGFace2, then AffectNet, RAF-DB and Aff-Wild2, as the paper says",
            notes=_how(row),
        ),
        crop=CropGeometry(kind="box", width=SIDE_PX, height=SIDE_PX),
        class_order=EXPRESSIONS,
        n_features=N_FEATURES,
    )


def _how(row: Row) -> str:
    return (
        f"Train it: `engines train configs/training/paper-{row.number}.yaml --out RUN`, then `engines export RUN --out "
        "FOLDER`, and name that folder as the model."
    )


PAPER_MODELS: tuple[ModelSpec, ...] = tuple(_spec(row) for row in ROWS)


def refuse_paper_model(name: str) -> None:
    """Raises `ModelUnavailable`, saying how to have it all the same, when `name` is one of the paper's models."""
    for row in ROWS:
        if name in row.names[1:]:
            raise ModelUnavailable(
                f"{name} is model {row.number} of the paper ({row.title}), and its authors published no weights. "
                f"{_how(row)}"
            )
