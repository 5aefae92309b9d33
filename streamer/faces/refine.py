"""Fresh boxes and points of known faces: the detector on a small square around each, batched over all of them.

Every square has one shape whatever the stream's, so that faces of all streams share batches. Which of what is found in
a square is the face that was looked for is a matter of place alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from streamer.faces.boxes import iou_matrix
from streamer.faces.detect import Detector, shape_for
from streamer.pixels import Picture
from streamer.pixels.geometry import Affine
from streamer.types import Detections, DropCause, FloatArray, UInt8Array

WIDENED = 2.0
"""Side of the square, in longer sides of the face's box: a face may move by half its size between two frames."""
MIN_IOU = 0.3
"""Overlap with where the face was, from which on what is found in its square is that face."""
SAME_FACE_IOU = 0.5
"""Two faces that come to lie on each other that much have become one."""
MAX_BATCH = 16


@dataclass(frozen=True, slots=True)
class Refined:
    """The faces found again, in the order of those asked for, and whether one of those that count was not."""

    faces: Detections
    lost: bool


@dataclass(frozen=True, slots=True)
class Square:
    """What is shown of a picture: display pixel p appears at (p - corner) * scale."""

    x: float
    y: float
    scale: float

    @staticmethod
    def around(box_xyxy: FloatArray, side_px: int) -> Square:
        """The square of `side_px` pixels a side that shows the box in its middle.

        Its corner and its side are whole display pixels: else the last digits of one frame's boxes, in which engines
        differ, would be in the pixels of the next one's square, and grow from frame to frame.
        """
        x0, y0, x1, y1 = box_xyxy.tolist()
        side = max(2, round(max(x1 - x0, y1 - y0) * WIDENED))
        return Square(round((x0 + x1 - side) / 2), round((y0 + y1 - side) / 2), side_px / side)

    def to_square(self) -> Affine:
        """The map (2,3) from display pixels into the square."""
        return np.array([[self.scale, 0.0, -self.scale * self.x], [0.0, self.scale, -self.scale * self.y]])


class Refiner:
    """Finds known faces again. `sure_score` is the score from which on a face that is not found counts as lost.

    Owned by the thread that owns the detector, which must have been prepared for the pictures' sizes.
    """

    def __init__(self, detector: Detector, sure_score: float) -> None:
        self._detector = detector
        self._sure_score = sure_score

    def most_faces(self, picture: Picture) -> int:
        """Up to so many faces of a picture take less work one by one than a search of the whole."""
        width, height = shape_for(picture.width, picture.height, self._detector.settings.input_size)
        return (width * height) // self._detector.settings.region_px**2

    def refine(self, asked: Sequence[tuple[Picture, Detections]]) -> list[Refined | DropCause]:
        """Per picture its `faces` as they are now, in display pixels; a cause where the engine failed.

        What fails in company is tried once more alone.
        """
        side = self._detector.settings.region_px
        squares = [[Square.around(box, side) for box in known.boxes_xyxy] for _, known in asked]
        colour = self._detector.colour
        images = [
            picture.warp(square.to_square(), side, side, colour, "area")
            for (picture, _), around in zip(asked, squares, strict=True)
            for square in around
        ]
        results = iter(self._search(images))
        refined: list[Refined | DropCause] = []
        for (picture, known), around in zip(asked, squares, strict=True):
            found = [next(results) for _ in around]
            failed = [one for one in found if isinstance(one, str)]
            if failed:
                refined.append(failed[0])
                continue
            refined.append(self._read(picture, known, around, [one for one in found if not isinstance(one, str)]))
        return refined

    def _search(self, images: Sequence[UInt8Array]) -> list[Detections | DropCause]:
        shape = (self._detector.settings.region_px,) * 2
        results: list[Detections | DropCause] = []
        for at in range(0, len(images), MAX_BATCH):
            part = images[at : at + MAX_BATCH]
            found = self._detector.search(shape, part)
            for image, one in zip(part, found, strict=True):
                results += self._detector.search(shape, [image]) if isinstance(one, str) and len(part) > 1 else [one]
        return results

    def _read(
        self, picture: Picture, known: Detections, squares: Sequence[Square], found: Sequence[Detections]
    ) -> Refined:
        width, height = shape_for(picture.width, picture.height, self._detector.settings.input_size)
        search_scale = min(width / picture.width, height / picture.height)
        boxes: list[FloatArray] = []
        points: list[FloatArray] = []
        scores: list[float] = []
        sizes: list[float] = []
        lost = False
        for k, (square, seen) in enumerate(zip(squares, found, strict=True)):
            corner = np.array([square.x, square.y], np.float32)
            shown = seen.boxes_xyxy / np.float32(square.scale) + np.tile(corner, 2)
            overlap = iou_matrix(known.boxes_xyxy[k : k + 1], shown)[0] if len(seen) else np.zeros(0)
            best = int(overlap.argmax()) if len(overlap) else -1
            box = shown[best] if best >= 0 and overlap[best] >= MIN_IOU else None
            if box is not None and boxes and iou_matrix(box[None], np.stack(boxes)).max() >= SAME_FACE_IOU:
                box = None
            if box is not None:
                sizes.append(float(min(box[2] - box[0], box[3] - box[1])) * search_scale)
                box[0::2] = np.clip(box[0::2], 0, picture.width)
                box[1::2] = np.clip(box[1::2], 0, picture.height)
            if box is None or not (box[2] > box[0] and box[3] > box[1]):
                lost |= bool(known.scores[k] >= self._sure_score)
                continue
            boxes.append(box)
            points.append(seen.points_xy[best] / np.float32(square.scale) + corner)
            scores.append(float(seen.scores[best]))
        if not boxes:
            return Refined(Detections.none(), lost)
        faces = Detections(np.stack(boxes), np.stack(points), np.array(scores, np.float32), np.array(sizes, np.float32))
        return Refined(faces, lost)
