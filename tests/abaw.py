"""Whether a text is one that the ABAW challenge takes, and what it says of each frame."""

from __future__ import annotations

import re
from pathlib import Path

CLASSES = "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise"
RATINGS = "valence,arousal"
_PICTURE = re.compile(r"([^/,]+)/(\d{5,})\.jpg,(.*)")


def expressions(path: Path, n_frames: int) -> list[int]:
    """The classes in a file of one video."""
    return [_class(line, 6) for line in _lines(path, CLASSES, n_frames)]


def ratings(path: Path, n_frames: int) -> list[tuple[float, float]]:
    """Valence and arousal in a file of one video."""
    return [_rating(line) for line in _lines(path, RATINGS, n_frames)]


def all_expressions(path: Path, n_frames: int) -> dict[str, list[int]]:
    """By video, the classes in one file of all."""
    found = _by_video(_lines(path, f"image_location,{CLASSES},Other", n_frames))
    return {video: [_class(line, 7) for line in lines] for video, lines in found.items()}


def all_ratings(path: Path, n_frames: int) -> dict[str, list[tuple[float, float]]]:
    """By video, valence and arousal in one file of all."""
    found = _by_video(_lines(path, f"image_location,{RATINGS}", n_frames))
    return {video: [_rating(line) for line in lines] for video, lines in found.items()}


def _lines(path: Path, header: str, n_frames: int) -> list[str]:
    first, *rest = path.read_bytes().decode("utf-8").split("\n")
    assert first == header
    assert rest.pop() == "", "the last line ends too"
    assert len(rest) == n_frames, "one line for every frame"
    return rest


def _by_video(lines: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in lines:
        match = _PICTURE.fullmatch(line)
        assert match is not None, line
        own = found.setdefault(match[1], [])
        own.append(match[3])
        assert int(match[2]) == len(own), "pictures are numbered from 1"
    return found


def _class(text: str, most: int) -> int:
    assert re.fullmatch(r"\d", text), text
    assert int(text) <= most
    return int(text)


def _rating(text: str) -> tuple[float, float]:
    valence, arousal = map(float, text.split(","))
    assert max(abs(valence), abs(arousal)) <= 1, text
    return valence, arousal
