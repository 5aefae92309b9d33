"""How large each set is, as the paper says (section III.A): what `engines data check` counts against."""

from __future__ import annotations

from dataclasses import dataclass

from engines.data.config import Annotations, SetKind, Split


@dataclass(frozen=True)
class PublishedPart:
    """A part as it was published: pictures that have the annotation, and videos that have such pictures."""

    title: str
    split: Split
    annotations: Annotations
    n_images: int
    n_videos: int | None = None
    annotated: bool = True


PUBLISHED: dict[SetKind, tuple[PublishedPart, ...]] = {
    "affectnet": (
        PublishedPart("train", "train", "expression", 283_901),
        PublishedPart("validation", "validation", "expression", 3_500),
    ),
    "raf-db": (
        PublishedPart("train", "train", "expression", 12_271),
        PublishedPart("test (the paper's validation)", "test", "expression", 3_068),
    ),
    "aff-wild2": (
        PublishedPart("expression, train", "train", "expression", 917_835, 251),
        PublishedPart("expression, validation", "validation", "expression", 318_503, 69),
        PublishedPart("expression, test", "test", "expression", 997_332, 223, annotated=False),
        PublishedPart("both, train", "train", "both", 720_365, 194),
        PublishedPart("both, validation", "validation", "both", 254_674, 57),
        PublishedPart("valence-arousal, test", "test", "valence_arousal", 714_986, 139, annotated=False),
    ),
}
"""AffectNet's sizes are of the seven expressions. Aff-Wild2's test parts have no annotation: all their crops count."""

WITHIN_PERCENT: dict[SetKind, float] = {"affectnet": 0.0, "raf-db": 0.0, "aff-wild2": 1.0}
"""How far a count may differ and be complete. Aff-Wild2's crops came in several releases that differ by a few frames;
even the paper's own confusion matrices count 255,683 validation frames where its text says 254,674.
"""
