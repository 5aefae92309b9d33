"""Tables II and III of the paper, once: what `engines evaluate` prints beside its own figures.

Table II has a row headed 3 twice; the second, between 4 and 6, is
model 5. Its expression score is the authors' (0.66 class-weighted F1 + 0.33 accuracy), that of Table III is the
challenge's (0.67 macro-F1 + 0.33 accuracy): each table's F1 is the one of its score. Row 2 and the Fusion row of
Table II each join two runs, one for expression and one for valence and arousal.
"""

from __future__ import annotations

from dataclasses import dataclass

BASELINE, FUSION = "baseline", "Fusion"


@dataclass(frozen=True)
class PaperRow:
    """One row as printed; None where the paper prints a dash. `model` is a number, BASELINE ([7]) or FUSION."""

    model: str
    accuracy: float | None = None
    f1: float | None = None
    expression_score: float | None = None
    arousal: float | None = None
    valence: float | None = None
    va_score: float | None = None


@dataclass(frozen=True)
class Submission:
    """One row of Table III: `track` 1 is valence and arousal, 2 expression; `number` None for the baseline."""

    track: int
    number: int | None
    row: PaperRow


TABLE_2: tuple[PaperRow, ...] = (
    PaperRow(BASELINE, None, None, 0.36, 0.14, 0.24, 0.19),
    PaperRow("1", 0.408, 0.417, 0.409),
    PaperRow("2", 0.493, 0.512, 0.501, 0.484, 0.484, 0.484),
    PaperRow("3", 0.401, 0.414, 0.405),
    PaperRow("4", 0.479, 0.507, 0.492, 0.564, 0.504, 0.534),
    PaperRow("5", 0.4, 0.405, 0.399),
    PaperRow("6", 0.428, 0.441, 0.432, 0.57, 0.458, 0.514),
    PaperRow(FUSION, 0.534, 0.556, 0.543, 0.56, 0.495, 0.527),
)
"""Validation set. Accuracy, class-weighted F1, the authors' score, CCC of arousal and of valence, and their mean."""

TABLE_3: tuple[Submission, ...] = (
    Submission(1, None, PaperRow(BASELINE, arousal=0.27, valence=0.11, va_score=0.19)),
    Submission(1, 1, PaperRow("2", arousal=0.295, valence=0.356, va_score=0.325)),
    Submission(1, 2, PaperRow("4", arousal=0.342, valence=0.368, va_score=0.355)),
    Submission(1, 3, PaperRow("6", arousal=0.383, valence=0.381, va_score=0.382)),
    Submission(1, 4, PaperRow(FUSION, arousal=0.354, valence=0.386, va_score=0.37)),
    Submission(2, None, PaperRow(BASELINE, expression_score=0.30)),
    Submission(2, 1, PaperRow("2", 0.546, 0.263, 0.356)),
    Submission(2, 2, PaperRow("4", 0.48, 0.264, 0.335)),
    Submission(2, 3, PaperRow("2", 0.547, 0.311, 0.389)),
    Submission(2, 4, PaperRow(FUSION, 0.565, 0.295, 0.384)),
)
"""Test set, by track and submission. Accuracy, macro-F1, the challenge's score, and CCC as above."""
