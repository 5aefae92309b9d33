"""Text for the ABAW challenge: a header, then a line for every frame of a video.

Two layouts. That of 2020 (Kollias, Schulc, Hajiyev, Zafeiriou, arXiv 2001.11409) is Aff-Wild2's own: a file a video,
named after it. That of 2022 and since (the organisers' `predictions.txt`) is one file for all videos, whose lines begin
with the frame's picture, `VIDEO/00001.jpg`, and which knows an eighth class, Other, that is never given here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import BinaryIO, Literal

from streamer.export.frames import Answer
from streamer.types import EXPRESSIONS

Challenge = Literal["expression", "va"]

CLASSES = ("Neutral", "Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise")
"""The challenge's words for EXPRESSIONS, in the same order: a class number is a place in both."""
_HEADERS: dict[Challenge, tuple[str, ...]] = {"expression": CLASSES, "va": ("valence", "arousal")}
_CODE = {name: str(code) for code, name in enumerate(EXPRESSIONS)}


def write_header(challenge: Challenge, into: BinaryIO, *, with_pictures: bool = False) -> None:
    """The first line of the layout of 2020 or, `with_pictures`, of 2022."""
    words = _HEADERS[challenge]
    if with_pictures:
        words = ("image_location", *words, *(("Other",) if challenge == "expression" else ()))
    into.write((",".join(words) + "\n").encode())


def write_lines(answers: Iterable[Answer], challenge: Challenge, into: BinaryIO, *, video: str | None = None) -> int:
    """A line an answer, beginning with the frame's picture where `video` is given; returns how many."""
    n = 0
    for answer in answers:
        said = _CODE[answer.label] if challenge == "expression" else f"{answer.valence:.6f},{answer.arousal:.6f}"
        place = "" if video is None else f"{video}/{answer.frame + 1:05d}.jpg,"
        into.write(f"{place}{said}\n".encode())
        n += 1
    return n
