"""One part of the pipeline alone: a process that repeats it and says how many CPU seconds each frame cost.

Started once per core at the same time, so that a part is measured while the machine is as busy as in a real run.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import cv2
import msgspec
import numpy as np

from engines.spec import CropGeometry
from streamer.clock import SystemClock
from streamer.config import Config
from streamer.decode import open_source
from streamer.errors import UsageError
from streamer.faces.align import align
from streamer.faces.detect import Detector, shape_for
from streamer.faces.refine import Refiner
from streamer.pipeline import Models, unnumbered
from streamer.pixels import Picture
from streamer.sources import parse
from streamer.types import Detections, Frame, TrackedFace, UInt8Array

PARTS = ("decode", "resize", "detect", "refine", "align", "embed")
N_PICTURES = 48


def measure(part: str, clip: Path, config: Config, duration_s: float, batch: int) -> dict[str, float]:
    """Repeat `part` for `duration_s` seconds: frames done and CPU seconds of the whole process meanwhile."""
    work = _work(part, clip, config, batch)
    next(work)  # warm
    start_cpu_s, start_s, n = time.process_time(), time.monotonic(), 0
    while time.monotonic() - start_s < duration_s:
        n += next(work)
    return {"frames": n, "cpu_s": time.process_time() - start_cpu_s, "wall_s": time.monotonic() - start_s}


def _work(part: str, clip: Path, config: Config, batch: int) -> Iterator[int]:
    """Yields how many frames' worth of work was done since the last time."""
    if part == "decode":
        return _decode(clip, config)
    pictures = [frame.picture for frame in islice(_frames(clip, config), N_PICTURES)]
    if part == "resize":
        return _resize(pictures, config)
    models = Models.open(config)
    models.detector.prepare(pictures[0].width, pictures[0].height)
    if part == "detect":
        return _detect(pictures, models.detector, batch)
    found = models.detector.detect(pictures)
    if part == "refine":
        return _refine(pictures, found, Refiner(models.detector, config.track.new_track_score), batch)
    faces = [(picture, face) for picture, one in zip(pictures, found, strict=True) for face in unnumbered(one)]
    if not faces:
        raise UsageError(f"{clip} shows no face: align and embed cannot be measured on it")
    geometry = models.expression.crop
    assert geometry is not None
    if part == "align":
        return _align(faces, len(faces) / len(pictures), geometry)
    crops = np.stack([align(picture, face, geometry) for picture, face in faces])
    return _embed(crops, len(faces) / len(pictures), models, batch)


def _frames(clip: Path, config: Config) -> Iterator[Frame]:
    [source] = parse(str(clip), "archive")
    with open_source(source, config.decode, SystemClock()) as decoder:
        yield from decoder


def _decode(clip: Path, config: Config) -> Iterator[int]:
    while True:
        for _ in _frames(clip, config):
            yield 1


def _resize(pictures: list[Picture], config: Config) -> Iterator[int]:
    while True:
        for picture in pictures:
            picture.letterbox(*shape_for(picture.width, picture.height, config.detect.input_size), "rgb")
            yield 1


def _detect(pictures: list[Picture], detector: Detector, batch: int) -> Iterator[int]:
    """Inference and post-processing on prepared images: resizing is a part of its own."""
    shape = detector.prepare(pictures[0].width, pictures[0].height)
    images = [picture.letterbox(*shape, "rgb")[0] for picture in pictures]
    while True:
        for at in range(0, max(1, len(images) - batch + 1), batch):
            chosen = images[at : at + batch]
            detector.search(shape, chosen)
            yield len(chosen)


def _refine(pictures: list[Picture], found: list[Detections], refiner: Refiner, batch: int) -> Iterator[int]:
    """Each picture's own faces are looked for in it again: sampling, inference and post-processing."""
    while True:
        for at in range(0, len(pictures) - batch + 1, batch):
            refiner.refine(list(zip(pictures[at : at + batch], found[at : at + batch], strict=True)))
            yield batch


def _align(faces: list[tuple[Picture, TrackedFace]], faces_per_frame: float, geometry: CropGeometry) -> Iterator[int]:
    owed = 0.0
    while True:
        for picture, face in faces:
            align(picture, face, geometry)
            owed += 1 / faces_per_frame
            yield int(owed)
            owed -= int(owed)


def _embed(crops: UInt8Array, faces_per_frame: float, models: Models, batch: int) -> Iterator[int]:
    owed = 0.0
    while True:
        for at in range(0, max(1, len(crops) - batch + 1), batch):
            chosen = crops[at : at + batch]
            models.embedder.embed(chosen)
            owed += len(chosen) / faces_per_frame
            yield int(owed)
            owed -= int(owed)


def main() -> int:
    """Measure what the arguments say and print it as JSON."""
    arguments = argparse.ArgumentParser(prog="python -m streamer.bench.part", description=__doc__)
    arguments.add_argument("part", choices=PARTS)
    arguments.add_argument("clip", type=Path)
    arguments.add_argument("--config", default="{}")
    arguments.add_argument("--seconds", type=float, default=3.0)
    arguments.add_argument("--batch", type=int, default=1)
    chosen = arguments.parse_args()
    cv2.setNumThreads(1)
    config = msgspec.json.decode(chosen.config, type=Config)
    sys.stdout.write(json.dumps(measure(chosen.part, chosen.clip, config, chosen.seconds, chosen.batch)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
