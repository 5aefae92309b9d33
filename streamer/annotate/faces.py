"""Boxes and their labels: who, what they show, and how sure the network is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from streamer.annotate.canvas import Canvas
from streamer.annotate.layout import Layout
from streamer.annotate.lettering import Part, chip
from streamer.annotate.recorded import Seen, TrackId
from streamer.colours import COLOURS, ink_on

CASING = "#14161a"
LOW = "#e4e1da"
"""Faces that are too poor to be labelled: a broken pale line, which no expression has."""
NO_LANE = "#c9ccd1"
_CAUSES = {
    "small_face": "too small",
    "extreme_yaw": "turned away",
    "extreme_roll": "tilted",
    "weak_detection": "unclear",
    "unusable_points": "unclear",
}

Rect = tuple[int, int, int, int]


def draw_faces(canvas: Canvas, layout: Layout, faces: Sequence[Seen], colours: Mapping[TrackId, str]) -> None:
    """Draw every face's box, then every label where it hides neither another label nor, if it can, another face.

    `colours` are those of the tracks that the traces show.
    """
    largest_first = sorted(faces, key=lambda seen: (-seen.area, seen.track))
    boxes = [box_px(seen, layout) for seen in largest_first]
    for seen, box in zip(reversed(largest_first), reversed(boxes), strict=True):
        _draw_box(canvas, layout.line_px, seen, box)
    taken: list[Rect] = []
    for seen, box in zip(largest_first, boxes, strict=True):
        patch = chip(_label(seen, colours.get(seen.track, NO_LANE)), layout.text_px)
        height, width = patch.shape[:2]
        x, y = _place(width, height, box, taken, layout)
        canvas.put(patch, x, y)
        taken.append((x, y, x + width, y + height))


def box_px(seen: Seen, layout: Layout) -> Rect:
    """The outer edges of the box as it is drawn: even pixels of the output, at least a line's width apart."""
    width, height = layout.picture_wh
    left, top, wide, high = seen.box_xywh
    least = 2 * layout.line_px
    x0, x1 = _span(left * width, (left + wide) * width, least, width)
    y0, y1 = _span(top * height, (top + high) * height, least, height)
    return x0, y0, x1, y1


def _span(low: float, high: float, least: int, limit: int) -> tuple[int, int]:
    """Both ends as even numbers inside of 0 to `limit`, at least `least` apart."""
    start = min(max(0, 2 * round(low / 2)), limit - least)
    return max(0, start), min(limit, max(start + least, 2 * round(high / 2)))


def colour_of(seen: Seen) -> str:
    """The colour of the box."""
    return LOW if seen.label is None else COLOURS.get(seen.label, LOW)


def _draw_box(canvas: Canvas, line: int, seen: Seen, box: Rect) -> None:
    x0, y0, x1, y1 = box
    _frame(canvas, (x0 - 2, y0 - 2, x1 + 2, y1 + 2), 2, CASING)
    if not seen.is_low:
        _frame(canvas, box, line, colour_of(seen))
        return
    _frame(canvas, box, line, CASING)
    dash = 4 * line
    for x in range(x0, x1, 2 * dash):
        end = min(x + dash, x1)
        canvas.fill(x, y0, end, y0 + line, LOW)
        canvas.fill(x, y1 - line, end, y1, LOW)
    for y in range(y0, y1, 2 * dash):
        end = min(y + dash, y1)
        canvas.fill(x0, y, x0 + line, end, LOW)
        canvas.fill(x1 - line, y, x1, end, LOW)


def _frame(canvas: Canvas, box: Rect, line: int, colour: str) -> None:
    x0, y0, x1, y1 = box
    if x1 - x0 < 2 * line or y1 - y0 < 2 * line:
        return
    canvas.fill(x0, y0, x1, y0 + line, colour)
    canvas.fill(x0, y1 - line, x1, y1, colour)
    canvas.fill(x0, y0, x0 + line, y1, colour)
    canvas.fill(x1 - line, y0, x1, y1, colour)


def _label(seen: Seen, track_colour: str) -> tuple[Part, ...]:
    who = Part(f"#{seen.track.number}", CASING, track_colour, bold=True)
    if seen.label is None:
        why = next((_CAUSES[cause] for cause in seen.causes if cause in _CAUSES), "poor picture")
        return who, Part(f"no label: {why}", CASING, LOW)
    ground = COLOURS.get(seen.label, LOW)
    return who, Part(f"{seen.label} {seen.confidence:.0%}", ground, ink_on(seen.label), bold=True)


def _place(width: int, height: int, box: Rect, taken: Sequence[Rect], layout: Layout) -> tuple[int, int]:
    """Above the box, else below, else inside at its top or bottom: the first place that is free and in the picture."""
    picture_w, picture_h = layout.picture_wh
    x0, y0, _, y1 = box
    x = even_down(max(0, min(x0, picture_w - width)))
    line = layout.line_px
    heights = (y0 - height, y1, y0 + line, y1 - line - height)
    places = [even_down(y) for y in heights if y >= 0 and y + height <= picture_h]
    free = (y for y in places if not any(_overlap((x, y, x + width, y + height), other) for other in taken))
    return x, next(free, places[0] if places else 0)


def even_down(length: int) -> int:
    """The even number at or below."""
    return length // 2 * 2


def _overlap(a: Rect, b: Rect) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
