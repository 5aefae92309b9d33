"""What stands for a frame in which nothing changed: the last search of a scene, the last answer about a face.

A gate decides from the frames of its own stream alone, in their order, and from media time: never from a batch or a
wall clock, so that the same frames give the same answers however they came.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import cv2
import numpy as np

from streamer.pixels import Picture
from streamer.pixels.sampling import halved
from streamer.types import DropCause, UInt8Array

Answer = TypeVar("Answer")

SCENE_CELLS = (160, 90)
"""A scene is looked at in cells: its first plane averaged down by halves to at least so many across and down."""
SCENE_LEVELS = 12
"""Grey levels, of 256, by which one cell may change while the scene counts as still. See docs/decisions/gates.md."""
FACE_CELLS = 28
"""... and a face's crop at least so many each way."""
FACE_LEVELS = 20


@dataclass(frozen=True, slots=True)
class Look:
    """A small likeness of what was shown: `cells` (rows,cols[,n]) and the size `whole_wh` of what they were made of."""

    whole_wh: tuple[int, int]
    cells: UInt8Array

    def is_like(self, other: Look, levels: int) -> bool:
        """Whether no cell differs by more than that: a mean would not see a mouth that opens."""
        if self.whole_wh != other.whole_wh or self.cells.shape != other.cells.shape:
            return False
        return cv2.norm(self.cells, other.cells, cv2.NORM_INF) <= levels


def look_at_scene(picture: Picture) -> Look:
    """The picture's first plane (luma, where it has one) in small, never turned. About 0.05 ms at 640x360."""
    pixels = picture.planes[0].pixels
    rows, cols = pixels.shape[:2]
    cells, _, _ = halved(pixels, cols / SCENE_CELLS[0], rows / SCENE_CELLS[1])
    unused_bits = 0 if cells.dtype == np.uint8 else picture.space.bits - 8 + picture.space.shift
    # A copy in any case: where nothing was halved these are still the decoder's own samples.
    return Look((picture.width, picture.height), np.right_shift(cells, unused_bits).astype(np.uint8))


def look_at_face(crop: UInt8Array) -> Look:
    """The aligned crop (H,W,3) in small."""
    rows, cols = crop.shape[:2]
    cells, _, _ = halved(crop, cols / FACE_CELLS, rows / FACE_CELLS)
    return Look((cols, rows), np.array(cells, np.uint8))


@dataclass(slots=True)
class Given(Generic[Answer]):
    """An answer, what was looked at for it, and when in media time; `answer` is None until it has come."""

    look: Look
    at_s: float
    answer: Answer | None = None


@dataclass(slots=True)
class Gate(Generic[Answer]):
    """Holds the last answer as long as it may stand."""

    last: Given[Answer] | None = None

    def standing(self, look: Look, at_s: float, levels: int, max_s: float) -> Given[Answer] | None:
        """The last answer, where it still stands for `look` at `at_s`."""
        last = self.last
        if last is None or not 0 <= at_s - last.at_s <= max_s or not last.look.is_like(look, levels):
            return None
        return last


@dataclass(frozen=True, slots=True)
class Asking(Generic[Answer]):
    """One thing that may have to be asked: behind which gate, how it looks, and when."""

    gate: Gate[Answer]
    look: Look
    at_s: float


def ask_where_changed(
    askings: Sequence[Asking[Answer]],
    ask: Callable[[Sequence[int]], Sequence[Answer | DropCause]],
    levels: int,
    max_s: float,
) -> tuple[list[Answer | DropCause], list[bool]]:
    """The answer to each asking, and whether it stood from before.

    `ask` is called for the positions of those that do not stand, all together. The result is that of one asking after
    the other: what failed stands for nothing, so whatever came after it at the same gate is decided once more.
    """
    answers: list[Answer | DropCause] = ["engine_error"] * len(askings)
    stood = [False] * len(askings)
    todo = list(range(len(askings)))
    while todo:
        waiting: list[tuple[int, Given[Answer]]] = []
        asked: list[int] = []
        for i in todo:
            one = askings[i]
            given = one.gate.standing(one.look, one.at_s, levels, max_s)
            stood[i] = given is not None
            if given is None:
                given = one.gate.last = Given(one.look, one.at_s)
                asked.append(i)
            waiting.append((i, given))
        failed: dict[int, int] = {}  # by gate, the first position at which it got no answer
        given_at = dict(waiting)
        for i, answer in zip(asked, ask(asked) if asked else (), strict=True):
            answers[i] = answer
            if isinstance(answer, str):
                failed.setdefault(id(askings[i].gate), i)
            else:
                given_at[i].answer = answer
        again: list[int] = []
        for i, given in waiting:
            first = failed.get(id(askings[i].gate), len(askings))
            if i > first:
                again.append(i)
            elif i == first:
                askings[i].gate.last = None
            elif given.answer is not None:
                answers[i] = given.answer
        todo = again
    return answers, stood
