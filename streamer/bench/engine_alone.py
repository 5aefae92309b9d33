"""The expression network alone on the crops of a clip: CPU seconds a crop at one batch size, printed as JSON."""

from __future__ import annotations

import argparse
import json
import sys
import time
from itertools import islice
from pathlib import Path

import cv2
import msgspec
import numpy as np

from streamer.clock import SystemClock
from streamer.config import Config
from streamer.decode import open_source
from streamer.errors import UsageError
from streamer.faces.align import align
from streamer.pipeline import Models
from streamer.sources import parse
from streamer.types import TrackedFace, UInt8Array

N_PICTURES = 48


def measure(clip: Path, config: Config, batch: int, duration_s: float) -> dict[str, float]:
    """Infer batches of the clip's crops for `duration_s` seconds: crops done, and CPU seconds of this thread."""
    models = Models.open(config)
    crops = _crops(clip, config, models)
    while len(crops) < batch:
        crops = np.concatenate([crops, crops])
    starts = range(0, len(crops) - batch + 1, batch)
    models.embedder.embed(crops[:batch])  # warm
    began_cpu_s, began_s, n = time.thread_time(), time.monotonic(), 0
    while time.monotonic() - began_s < duration_s:
        for at in starts:
            models.embedder.embed(crops[at : at + batch])
            n += batch
    return {"crops": n, "cpu_s": time.thread_time() - began_cpu_s}


def _crops(clip: Path, config: Config, models: Models) -> UInt8Array:
    [source] = parse(str(clip), "archive")
    with open_source(source, config.decode, SystemClock()) as decoder:
        pictures = [frame.picture for frame in islice(decoder, N_PICTURES)]
        models.detector.prepare(pictures[0].width, pictures[0].height)
        geometry = models.expression.crop
        assert geometry is not None, "an expression model always has a crop geometry"
        crops = [
            align(picture, TrackedFace(0, box, points, float(score), float(size)), geometry)
            for picture, found in zip(pictures, models.detector.detect(pictures), strict=True)
            for box, points, score, size in zip(
                found.boxes_xyxy, found.points_xy, found.scores, found.face_px, strict=True
            )
        ]
    if not crops:
        raise UsageError(f"{clip} shows no face: choose another clip")
    return np.stack(crops)


def main() -> int:
    """Measure what the arguments say and print it as JSON."""
    arguments = argparse.ArgumentParser(prog="python -m streamer.bench.engine_alone", description=__doc__)
    arguments.add_argument("clip", type=Path)
    arguments.add_argument("--config", default="{}")
    arguments.add_argument("--seconds", type=float, default=3.0)
    arguments.add_argument("--batch", type=int, default=1)
    chosen = arguments.parse_args()
    cv2.setNumThreads(1)
    config = msgspec.json.decode(chosen.config, type=Config)
    sys.stdout.write(json.dumps(measure(chosen.clip, config, chosen.batch, chosen.seconds)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
