"""Aff-Wild2's annotation files: a header line, then one line a frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines.data.frames import NOT_ANNOTATED
from engines.errors import BadData

EXPRESSION_HEADER = ("Neutral", "Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise")
"""The classes of 2020, numbered in this order: that of EXPRESSIONS in other words."""
RATING_HEADER = ("valence", "arousal")
_INVALID_RATING = -5.0


def read_expressions(path: Path) -> tuple[NDArray[np.int64] | None, str]:
    """(L,) the expression of frames 1 to L, NOT_ANNOTATED for -1; or None and what is wrong with the file.

    Raises `BadData` when the header names other classes or another order: reading on would mix up classes.
    """
    lines, cause = _lines(path, EXPRESSION_HEADER)
    if lines is None:
        return None, cause
    values = np.full(len(lines), NOT_ANNOTATED, np.int64)
    for at, line in enumerate(lines):
        try:
            values[at] = int(line)
        except ValueError:
            return None, f"line {at + 2} is no class number"
        if not NOT_ANNOTATED <= values[at] < len(EXPRESSION_HEADER):
            return None, f"line {at + 2} is {values[at]}, not a class from 0 to 6 or -1"
    return values, ""


def read_valence_arousal(path: Path) -> tuple[NDArray[np.float64] | None, str]:
    """(L,2) valence and arousal of frames 1 to L, NaN where either is -5; or None and what is wrong with the file.

    Raises `BadData` when the header is not `valence,arousal`.
    """
    lines, cause = _lines(path, RATING_HEADER)
    if lines is None:
        return None, cause
    values = np.empty((len(lines), 2))
    for at, line in enumerate(lines):
        try:
            valence, arousal = line.split(",")
            values[at] = float(valence), float(arousal)
        except ValueError:
            return None, f"line {at + 2} is no pair of numbers"
    invalid = (values == _INVALID_RATING).any(1)
    outside = ~invalid & ~(np.abs(values) <= 1).all(1)
    if outside.any():
        return None, f"line {int(np.argmax(outside)) + 2} is outside [-1, 1]"
    values[invalid] = np.nan
    return values, ""


def _lines(path: Path, header: tuple[str, ...]) -> tuple[list[str] | None, str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        return None, str(error).partition(":")[0]
    lines = text.rstrip().splitlines()
    if not lines:
        return None, "it is empty"
    named = tuple(word.strip() for word in lines[0].split(","))
    if named != header:
        raise BadData(
            f"{path} begins with {lines[0][:80]!r} where {','.join(header)} is expected: it is of another year's "
            "challenge or another track"
        )
    if len(lines) == 1:
        return None, "it has a header and no frame"
    return lines[1:], ""
