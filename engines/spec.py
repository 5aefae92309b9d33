"""What a model is: its inputs and outputs, how its crops are cut and normalised, its licence and its origin.

A `ModelSpec` carries everything that makes a model right or wrong in use. The streaming worker reads models
through it alone, so that changing a network never means changing a stage.
"""

from __future__ import annotations

from typing import Literal

import msgspec

EXPRESSIONS: tuple[str, ...] = ("Neutral", "Angry", "Disgust", "Fear", "Happy", "Sad", "Surprise")
"""The seven expressions of the paper, in the order used everywhere (section II.A)."""

N_PROBS = len(EXPRESSIONS)

Role = Literal["detector", "expression", "head"]
Precision = Literal["fp32", "bf16", "fp16", "int8"]
StatKind = Literal["none", "probs", "mean", "min_max_mean"]
ContextName = Literal["gap_s", "detector_score", "face_px", "roll_deg", "yaw_deg"]
"""What a head may be told of an observation besides its probabilities: seconds of media time since the track's last
observation (0 for its first), the detector's score, the face's shorter side in px as the detector saw it, and the
pose proxies in degrees. In the units of the records; scaling belongs inside the head."""


def row_width(kind: StatKind, n_features: int) -> int:
    """W, how many numbers of each observation STAT is taken of: the 7 probs, and the D features where it is of them."""
    return N_PROBS + (n_features if kind in ("mean", "min_max_mean") else 0)


def stat_size(kind: StatKind, n_features: int) -> int:
    """S, how many numbers STAT has: 0, 21, D+7 or 3(D+7)."""
    width = row_width(kind, n_features)
    return {"none": 0, "probs": 3 * width, "mean": width, "min_max_mean": 3 * width}[kind]


class TensorSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One named input or output. `shape` uses -1 for a dynamic axis; the first axis is the batch."""

    name: str
    shape: tuple[int, ...]
    dtype: Literal["float32", "uint8"] = "float32"


class CropGeometry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a face is cut out of a frame for this model.

    `five_point`: a least-squares similarity transform takes the five points (left eye, right eye, nose, left and
    right mouth corner, as seen in the image) onto `template`, given in pixels of the crop.
    `box`: the face box, widened on every side by `margin` times its longer side, made square and scaled.
    """

    kind: Literal["five_point", "box"]
    width: int
    height: int
    template: tuple[tuple[float, float], ...] = ()
    margin: float = 0.0
    interpolation: Literal["linear", "area", "cubic"] = "linear"
    border: Literal["constant", "replicate"] = "constant"


class Normalisation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`(x - mean) / std` per channel on 0..255 values, channels in the order of `colour`, laid out as `layout`."""

    colour: Literal["rgb", "bgr", "grey"]
    layout: Literal["nchw", "nhwc"]
    mean: tuple[float, ...]
    std: tuple[float, ...]


class Provenance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the weights come from, on what terms, and what is known of their training."""

    licence: str
    origin: str
    trained_on: str
    notes: str = ""


class Calibration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The softmax temperature and how it was found; 1.0 means the network's own probabilities."""

    temperature: float = 1.0
    fitted: str = "not fitted"


class ModelSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model as the rest of the software sees it.

    `class_order[i]` names what output column i means; columns that name none of EXPRESSIONS are dropped and the
    rest renormalised. `valence_arousal_trained_on` names human annotations when the network has a head trained on
    them; only then is its valence/arousal called `predicted`.
    `batch_invariant` records that outputs were proved bit-equal whatever the batch; when false the model always
    runs at the fixed padded batch `prepared_batches[-1]`.
    """

    name: str
    version: str
    role: Role
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    sha256: str
    normalisation: Normalisation
    provenance: Provenance
    crop: CropGeometry | None = None
    class_order: tuple[str, ...] = ()
    calibration: Calibration = Calibration()
    valence_arousal_trained_on: str | None = None
    n_features: int = 0
    input_multiple: int = 1
    prepared_batches: tuple[int, ...] = (1, 4, 8)
    batch_invariant: bool = False

    @property
    def model_id(self) -> str:
        """`name@version#sha8`: what records carry."""
        return f"{self.name}@{self.version}#{self.sha256[:8]}"


class HeadSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A temporal head: what it reads of a track's past and which state it carries.

    Inputs by name: `features` (B,D) when D > 0, `probs` (B,7), `stat` (B,S) when `stat` is not `none`, `block` (B,s,7)
    when `windowed`, `context` (B,K) when `context` names K quantities, and `h`, `c` (B,hidden) when `hidden` > 0, zero
    for a track's first observation. Outputs: `probs` (B,7), optionally `valence` (B,), `arousal` (B,), and `h`, `c`
    when `hidden` > 0. `probs` in are the backbone's calibrated probabilities.
    `stat` is of the block's rows: for `probs` the 7 probabilities, [min 7, max 7, mean 7], S = 21; with features a row
    is [features D, probs 7], and S is D+7 for `mean`, 3(D+7) for `min_max_mean` ([min, max, mean]). `block` and the
    rows of `stat` end with the current observation; before there are s of them the oldest is repeated in front.
    `backbone` names the expression model whose probabilities the head was made for; None: it takes anybody's.
    """

    name: str
    version: str
    sha256: str
    stat: StatKind
    window: int
    n_features: int
    hidden: int = 0
    windowed: bool = False
    context: tuple[ContextName, ...] = ()
    backbone: str | None = None
    valence_arousal_trained_on: str | None = None
    provenance: Provenance | None = None

    @property
    def model_id(self) -> str:
        """`name@version#sha8`."""
        return f"{self.name}@{self.version}#{self.sha256[:8]}"
