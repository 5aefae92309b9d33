"""Which set is read, which part of it, and what is done with what is damaged: plain settings."""

from __future__ import annotations

from typing import Literal

import msgspec

from engines.data.synthetic.config import SyntheticConfig
from engines.errors import WrongUse

SetKind = Literal["affectnet", "raf-db", "aff-wild2", "synthetic"]
Split = Literal["train", "validation", "test", "stills"]
OnError = Literal["skip", "refuse"]
Crops = Literal["cropped", "aligned"]
Annotations = Literal["expression", "valence_arousal", "either", "both"]


class DataConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One set: `path` is its folder in the official layout, `split` the part of it.

    RAF-DB has train and test alone; its test part is also its `validation`, as in the paper.

    `crops`: `cropped` are boxes around the face, `aligned` are turned upright; left out, each set's own choice
    (AffectNet and Aff-Wild2 cropped, as the paper; RAF-DB aligned). `annotations` chooses Aff-Wild2's videos:
    `expression` those of the expression track (with valence and arousal where the same part has them), as the paper's
    models 1, 3 and 5; `both` those annotated twice, as its models 2, 4 and 6, where a frame that lacks one annotation
    counts as having none; `valence_arousal` those of that track; or `either`.
    `on_error`: what is missing or damaged is skipped and counted, or the set is refused. `check_images` decodes every
    picture while opening, so that `on_error` covers them too (minutes for a whole set). `limit` keeps the first so
    many pictures, to try something out. `test_list` names Aff-Wild2's list of test videos where it is not found.
    `synthetic` holds the settings of the drawn set, which needs no `path` and alone has the split `stills`.
    """

    kind: SetKind
    path: str | None = None
    split: Split = "train"
    crops: Crops | None = None
    annotations: Annotations = "expression"
    on_error: OnError = "skip"
    check_images: bool = False
    limit: int | None = None
    test_list: str | None = None
    synthetic: SyntheticConfig | None = None

    def __post_init__(self) -> None:
        if self.kind == "synthetic" and self.path is not None:
            raise ValueError("a synthetic set is drawn, not read: leave path out")
        if self.kind != "synthetic" and self.path is None:
            raise ValueError(f"path names the folder {self.kind} was unpacked to")
        if self.kind != "synthetic" and self.synthetic is not None:
            raise ValueError("synthetic holds settings of the kind synthetic alone")
        if self.kind != "synthetic" and self.split == "stills":
            raise ValueError("only the synthetic set has the split stills: split is train, validation or test")
        if self.kind == "affectnet" and self.crops == "aligned":
            raise ValueError("AffectNet comes with cropped faces only")
        if self.kind in ("affectnet", "raf-db") and self.annotations != "expression":
            raise ValueError(
                "annotations chooses among the videos of Aff-Wild2; still pictures come with what they have"
            )
        if self.kind == "affectnet" and self.split == "test":
            raise ValueError("AffectNet has published no test set: split is train or validation")
        if self.limit is not None and self.limit < 1:
            raise ValueError("limit counts pictures and is at least 1")


def data_config(plain: object) -> DataConfig:
    """The settings in a plain mapping, as YAML gives it; `WrongUse` says what is wrong with them."""
    try:
        return msgspec.convert(plain, DataConfig)
    except msgspec.ValidationError as error:
        raise WrongUse(f"this describes no data set: {error}") from error
