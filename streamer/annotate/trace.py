"""The strip below the picture: valence and arousal of the last seconds, one line a track."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from streamer.annotate.layout import Layout
from streamer.annotate.lettering import width_px, write
from streamer.annotate.recorded import Seen, TrackId
from streamer.colours import TRACK_COLOURS, rgb

SPAN_S = 10.0
MAX_LANES = len(TRACK_COLOURS)
GROUND, RAISED, INK, MUTED, RULE = "#14161a", "#1c1f25", "#eae7e1", "#a0a5ad", "#4a505a"
"""Those of the report at night."""
_GAP_S = 0.5
_MARK_S = 5
_FRACTION_BITS = 4
_ONE = 1 << _FRACTION_BITS


@dataclass(frozen=True, slots=True)
class _Point:
    t_s: float
    valence: float
    arousal: float
    is_low: bool


@dataclass(slots=True)
class _Lane:
    """One track that is shown, with what is known of its last seconds."""

    track: TrackId
    colour: str
    points: deque[_Point] = field(default_factory=deque)

    def is_over(self, now_s: float) -> bool:
        return not self.points or self.points[-1].t_s < now_s - SPAN_S


class Traces:
    """Valence and arousal of at most `MAX_LANES` tracks over the last `SPAN_S` seconds of media time.

    A track keeps its lane, and so its colour, until nothing of it is left to be shown; free lanes go to the largest
    faces. `step_s` is the usual distance of two observations of one face.
    """

    def __init__(self, step_s: float) -> None:
        self._lanes: list[_Lane | None] = [None] * MAX_LANES
        self._gap_s = max(_GAP_S, 4 * step_s)
        self._derived = False

    @property
    def colours(self) -> dict[TrackId, str]:
        """The colour of each track that is shown."""
        return {lane.track: lane.colour for lane in self._lanes if lane is not None}

    def add(self, now_s: float, faces: Sequence[Seen]) -> None:
        """Take in what was seen in the frame at `now_s`."""
        for k, lane in enumerate(self._lanes):
            if lane is not None and lane.is_over(now_s):
                self._lanes[k] = None
        lanes = {lane.track: lane for lane in self._lanes if lane is not None}
        for seen in sorted(faces, key=lambda seen: -seen.area):
            lane = lanes.get(seen.track)
            if lane is None and None in self._lanes:
                free = self._lanes.index(None)
                lane = self._lanes[free] = _Lane(seen.track, TRACK_COLOURS[free])
            if lane is None:
                continue
            lane.points.append(_Point(now_s, seen.valence, seen.arousal, seen.is_low))
            while lane.points[0].t_s < now_s - SPAN_S - self._gap_s:
                lane.points.popleft()
            self._derived = seen.va_origin == "derived"

    def draw(self, now_s: float, layout: Layout) -> NDArray[np.uint8]:
        """The strip (strip_h, picture width, 3), RGB."""
        image = _ground(layout, self._derived).copy()
        lanes = [lane for lane in self._lanes if lane is not None]
        for name, area in _areas(layout).items():
            panel = _Panel(image, area, layout.text_px, now_s)
            panel.draw_marks()
            for lane in lanes:
                panel.draw_line(lane, [getattr(point, name) for point in lane.points], self._gap_s)
            panel.write_values(
                [(lane, getattr(lane.points[-1], name)) for lane in lanes if lane.points[-1].t_s > now_s - self._gap_s]
            )
        return image


def _areas(layout: Layout) -> dict[str, tuple[int, int, int, int]]:
    """Left, top, right and bottom of each panel."""
    width, height = layout.size_wh[0], layout.strip_h
    if layout.stacked:
        return {"valence": (0, 0, width, height // 2), "arousal": (0, height // 2, width, height)}
    return {"valence": (0, 0, width // 2, height), "arousal": (width // 2, 0, width, height)}


@lru_cache(maxsize=8)
def _ground(layout: Layout, derived: bool) -> NDArray[np.uint8]:
    """The strip without anything that moves."""
    image = np.full((layout.strip_h, layout.size_wh[0], 3), rgb(GROUND), np.uint8)
    for name, area in _areas(layout).items():
        _Panel(image, area, layout.text_px, 0.0).draw_ground(f"{name} (derived)" if derived else name)
    return image


class _Panel:
    """One number over time: `now_s` at its right, `SPAN_S` before it at its left, -1 to 1 from bottom to top."""

    def __init__(self, image: NDArray[np.uint8], area: tuple[int, int, int, int], text_px: int, now_s: float) -> None:
        left, top, right, bottom = area
        self._image, self._now_s = image, now_s
        self._text, self._small = text_px, round(0.85 * text_px)
        self._line = max(1, round(text_px / 9))
        self._hair = max(1, self._line // 2)
        self._left, self._top = left + width_px("+1", self._small) + text_px, top + round(1.5 * text_px)
        self._right = right - width_px("#88 +0.88", self._small) - round(1.2 * text_px)
        self._bottom = bottom - round(1.35 * text_px)
        self._title_y = top + 0.8 * text_px
        self._label_y = bottom - 0.7 * text_px

    def draw_ground(self, title: str) -> None:
        """The axis and what is shown."""
        image = self._image
        image[self._top : self._bottom, self._left : self._right] = rgb(RAISED)
        write(image, title, self._left, self._title_y, self._small, INK)
        for value, text in ((1.0, "+1"), (0.0, "0"), (-1.0, "−1")):
            y = round(self._y(value))
            image[y : y + self._hair, self._left : self._right] = rgb(RULE)
            x = self._left - width_px(text, self._small) - self._text // 2
            write(image, text, x, y, self._small, MUTED)

    def draw_marks(self) -> None:
        """Lines at every few whole seconds, with the time."""
        for mark in range(math.ceil((self._now_s - SPAN_S) / _MARK_S), math.floor(self._now_s / _MARK_S) + 1):
            x = round(self._x(mark * _MARK_S))
            if mark < 0 or not self._left <= x < self._right:
                continue
            self._image[self._top : self._bottom, x : x + self._hair] = rgb(RULE)
            text = _clock(mark * _MARK_S)
            half = width_px(text, self._small) // 2
            if self._left <= x - half and x + half <= self._right:
                write(self._image, text, x - half, self._label_y, self._small, MUTED)

    def draw_line(self, lane: _Lane, values: Sequence[float], gap_s: float) -> None:
        """The lane's line, broken where the face was not seen, faint where it was poorly seen."""
        drawn = self._image[self._top - self._line : self._bottom + self._line, self._left : self._right]
        bright, faint = rgb(lane.colour), rgb(_faint(lane.colour))
        stretch: list[tuple[int, int]] = []
        before: _Point | None = None
        for point, value in zip(lane.points, values, strict=True):
            here = self._fixed(point.t_s, value)
            if before is not None and (point.t_s - before.t_s > gap_s or point.is_low != before.is_low):
                self._stroke(drawn, stretch, faint if before.is_low else bright)
                stretch = stretch[-1:] if point.t_s - before.t_s <= gap_s else []
            stretch.append(here)
            before = point
        if before is not None:
            self._stroke(drawn, stretch, faint if before.is_low else bright)

    def _stroke(self, drawn: NDArray[np.uint8], points: list[tuple[int, int]], colour: tuple[int, int, int]) -> None:
        if len(points) > 1:
            line = np.array(points, np.int32)
            cv2.polylines(drawn, [line], False, colour, self._line, cv2.LINE_AA, _FRACTION_BITS)

    def write_values(self, now: list[tuple[_Lane, float]]) -> None:
        """The newest value of each lane beside its end, apart from one another."""
        step = 1.15 * self._small
        ordered = sorted(now, key=lambda pair: -pair[1])
        heights = _spread([self._y(value) for _, value in ordered], step, self._top, self._bottom)
        for (lane, value), y in zip(ordered, heights, strict=True):
            centre = (round(self._right * _ONE), round(self._y(value) * _ONE))
            radius = round(1.4 * self._line * _ONE)
            colour = _faint(lane.colour) if lane.points[-1].is_low else lane.colour
            cv2.circle(self._image, centre, radius, rgb(colour), -1, cv2.LINE_AA, _FRACTION_BITS)
            text = f"#{lane.track.number} {value:+.2f}".replace("-", "−")
            write(self._image, text, self._right + self._text // 2, y, self._small, colour)

    def _x(self, t_s: float) -> float:
        return self._right - (self._now_s - t_s) / SPAN_S * (self._right - self._left)

    def _y(self, value: float) -> float:
        return self._top + (1.0 - min(1.0, max(-1.0, value))) / 2 * (self._bottom - self._top)

    def _fixed(self, t_s: float, value: float) -> tuple[int, int]:
        """A point of the line inside its window, in parts of a pixel."""
        x, y = self._x(t_s) - self._left, self._y(value) - self._top + self._line
        return round(x * _ONE), round(y * _ONE)


def _spread(wanted: Sequence[float], step: float, top: float, bottom: float) -> list[float]:
    """`wanted` (ascending) moved as little as needed so that neighbours are a `step` apart, between the limits."""
    found: list[float] = []
    for y in wanted:
        found.append(max(y, found[-1] + step) if found else max(y, top))
    limit = bottom
    for k in range(len(found) - 1, -1, -1):
        found[k] = min(found[k], limit)
        limit = found[k] - step
    return found


def _faint(colour: str) -> str:
    mixed = (round(0.55 * a + 0.45 * b) for a, b in zip(rgb(colour), rgb(RAISED), strict=True))
    return "#" + bytes(mixed).hex()


def _clock(whole_s: int) -> str:
    hours, minutes, seconds = whole_s // 3600, whole_s // 60 % 60, whole_s % 60
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
