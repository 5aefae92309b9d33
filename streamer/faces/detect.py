"""Pictures to faces: fit, infer in batches across streams, read the maps, remove doubles, return to display pixels."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np

from engines.errors import EngineError
from engines.runtime.protocol import Runner
from streamer.config import DetectSettings
from streamer.errors import ModelError
from streamer.faces.boxes import suppress
from streamer.faces.candidates import Decoder, NotFinite
from streamer.faces.centerface import CenterFace
from streamer.faces.yunet import YuNet
from streamer.pixels import Picture
from streamer.types import Detections, DropCause, FloatArray, UInt8Array

Shape = tuple[int, int]
"""Width and height of a detector's input in pixels, multiples of 32."""

SHAPES: Mapping[Literal["small", "medium", "large"], tuple[Shape, ...]] = {
    "small": ((320, 192), (288, 224), (256, 256), (224, 288), (192, 320)),
    "medium": ((448, 256), (384, 320), (352, 352), (320, 384), (256, 448)),
    "large": ((640, 384), (576, 448), (512, 512), (448, 576), (384, 640)),
}
"""Input shapes per size: about 61, 120 and 250 thousand pixels each, wide to tall. Few shapes, so that few engines
serve streams of every size and their pictures share batches."""

DECODERS: Mapping[str, Decoder] = {"centerface": CenterFace(), "yunet": YuNet()}


def shape_for(width: int, height: int, input_size: Literal["small", "medium", "large"]) -> Shape:
    """The input shape that shows a picture of `width` x `height` largest; the widest of equals."""
    return max(SHAPES[input_size], key=lambda shape: min(shape[0] / width, shape[1] / height))


@dataclass(frozen=True, slots=True)
class Detected:
    """Per picture its faces and, when they could not be had, why; a picture with a cause has no faces."""

    detections: list[Detections]
    causes: list[DropCause | None]


class Detector:
    """A face detector for pictures of any size.

    `name` is the zoo's name and picks how the maps are read; `open_runner(shape)` compiles the network for one input
    shape. Owned by one thread, as its runners are; only `prepare` may be called from others. Nothing here assumes whole
    frames: `Refiner` has it search small squares of them.
    """

    def __init__(self, name: str, open_runner: Callable[[Shape], Runner], settings: DetectSettings) -> None:
        if name not in DECODERS:
            raise ModelError(f"no decoder for the detector {name!r}; choose one of {', '.join(sorted(DECODERS))}")
        self.name = name
        self.settings = settings
        self._decoder = DECODERS[name]
        self._open_runner = open_runner
        self._runners: dict[Shape, Runner] = {}
        self._opening = threading.Lock()

    @property
    def colour(self) -> Literal["rgb", "bgr"]:
        """In which order the network wants its colours."""
        return self._decoder.colour

    def prepare(self, width: int, height: int) -> Shape:
        """Opens the runners for displayed pictures of this size (seconds, once per shape) and returns their shape.

        May be called from any thread: whoever opens a stream need not make those wait that run.
        """
        if width <= 0 or height <= 0:
            raise ModelError(f"a picture of {width}x{height} pixels cannot be searched for faces")
        shape = shape_for(width, height, self.settings.input_size)
        region = (self.settings.region_px,) * 2
        wanted = (shape, region) if self.settings.interval_s > 0 else (shape,)
        with self._opening:
            missing = [one for one in dict.fromkeys(wanted) if one not in self._runners]
            if missing:
                with ThreadPoolExecutor(len(missing)) as threads:  # the first stream waits for the longest of them only
                    self._runners |= zip(missing, threads.map(self._open_runner, missing), strict=True)
        return shape

    def detect(self, pictures: Sequence[Picture]) -> list[Detections]:
        """The faces of each picture in display pixels; `EngineError` when any of them could not be searched."""
        detected = self.detect_each(pictures)
        failed = [cause for cause in detected.causes if cause is not None]
        if failed:
            raise EngineError(
                f"the detector {self.name} failed on {len(failed)} of {len(pictures)} pictures: {failed[0]}"
            )
        return detected.detections

    def detect_each(self, pictures: Sequence[Picture]) -> Detected:
        """The faces of each picture in display pixels, with a cause where the engine failed or gave no numbers.

        Pictures of one shape go through the network together. Their sizes must have been prepared; `ModelError`
        otherwise, because compiling takes seconds. What fails in company is tried once more alone.
        """
        groups: dict[Shape, list[int]] = {}
        for index, picture in enumerate(pictures):
            groups.setdefault(shape_for(picture.width, picture.height, self.settings.input_size), []).append(index)
        found: list[Detections] = [Detections.none()] * len(pictures)
        causes: list[DropCause | None] = [None] * len(pictures)
        for shape, members in groups.items():
            fitted = [pictures[i].letterbox(*shape, self._decoder.colour) for i in members]
            results = self.search(shape, [image for image, _ in fitted])
            for i, (image, scale), result in zip(members, fitted, results, strict=True):
                if isinstance(result, str) and len(members) > 1:
                    (result,) = self.search(shape, [image])
                if isinstance(result, str):
                    causes[i] = result
                else:
                    found[i] = _on_display(result, scale, pictures[i])
        return Detected(found, causes)

    def search(self, shape: Shape, images: Sequence[UInt8Array]) -> list[Detections | DropCause]:
        """Per image, already of `shape` and in the network's colours, its faces in pixels of `shape`, or a cause.

        One batch, no second try: `detect_each` is what streams want.
        """
        runner = self._runner(shape)
        batch = images[0][None] if len(images) == 1 else np.stack(images)
        try:
            maps = runner.infer({"image": batch})
        except EngineError:
            return ["engine_error"] * len(images)
        return [self._read(maps, row, shape) for row in range(len(images))]

    def close(self) -> None:
        """Frees the engines."""
        for runner in self._runners.values():
            runner.close()
        self._runners.clear()

    def _runner(self, shape: Shape) -> Runner:
        try:
            return self._runners[shape]
        except KeyError:
            raise ModelError(
                f"the detector is not prepared for {shape[0]}x{shape[1]}: call prepare() when a stream opens"
            ) from None

    def _read(self, maps: Mapping[str, FloatArray], row: int, shape: Shape) -> Detections | DropCause:
        try:
            candidates = self._decoder.candidates(maps, row, shape, self.settings.score_threshold)
        except NotFinite:
            return "not_finite"
        boxes = candidates.boxes_xyxy
        if not len(boxes):
            return Detections.none()
        kept = suppress(boxes, candidates.scores, self.settings.iou_threshold, self.settings.max_faces)
        boxes = boxes[kept]
        face_px = np.minimum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
        return Detections(boxes, candidates.points_xy[kept], candidates.scores[kept], face_px)


def _on_display(found: Detections, scale: float, picture: Picture) -> Detections:
    """`found` in display pixels, boxes cut at the picture's edges (points are not), boxes wholly outside left out."""
    if not len(found):
        return found
    boxes = found.boxes_xyxy / np.float32(scale)
    np.clip(boxes[:, 0::2], 0, picture.width, out=boxes[:, 0::2])
    np.clip(boxes[:, 1::2], 0, picture.height, out=boxes[:, 1::2])
    points = found.points_xy / np.float32(scale)
    inside = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    if inside.all():
        return Detections(boxes, points, found.scores, found.face_px)
    return Detections(boxes[inside], points[inside], found.scores[inside], found.face_px[inside])
