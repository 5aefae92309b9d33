"""Python libraries that name expressions, as their own documents say they are to be used: frame by frame, defaults.

It needs the library that `--library` names in its environment, and no more.

    python libraries.py --library fer-haar --clip face.mp4 --out seen.json
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2

Look = Callable[[Any], list[tuple[Any, dict[str, float]]]]
"""Takes a frame as OpenCV gives it, answers (x, y, width, height) and the scores of each face."""

LABELS = {
    "neutral": "Neutral",
    "angry": "Angry",
    "anger": "Angry",
    "disgust": "Disgust",
    "fear": "Fear",
    "happy": "Happy",
    "sad": "Sad",
    "sadness": "Sad",
    "surprise": "Surprise",
    "surprised": "Surprise",
}


def fer(*, mtcnn: bool) -> Look:
    """The package `fer` with one of its two detectors."""
    from fer.fer import FER

    detector = FER(mtcnn=mtcnn)
    return lambda frame: [(face["box"], face["emotions"]) for face in detector.detect_emotions(frame)]


def facex() -> Look:
    """The package `facex`."""
    import facex

    pool = facex.PoolManager(pool_size=1)
    return lambda frame: [(face["bbox"], face["emot"]) for face in pool.predict(frame)]


LIBRARIES: dict[str, Callable[[], Look]] = {
    "fer-haar": lambda: fer(mtcnn=False),
    "fer-mtcnn": lambda: fer(mtcnn=True),
    "facex": facex,
}


def watch(clip: str, look: Look, most: int) -> tuple[int, list[list[Any]]]:
    """Every frame of the clip, up to `most` (0: all): how many there were, and the faces as fractions of the frame."""
    capture = cv2.VideoCapture(clip)
    faces: list[list[Any]] = []
    n = 0
    while not most or n < most:
        more, frame = capture.read()
        if not more:
            break
        rows, columns = frame.shape[:2]
        for (x, y, width, height), scores in look(frame):
            label = LABELS[max(scores, key=lambda name: scores[name])]
            faces.append([n, float(x) / columns, float(y) / rows, float(width) / columns, float(height) / rows, label])
        n += 1
    capture.release()
    return n, faces


def main() -> None:
    """Watch the clip once and write what was seen and what it took."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--library", choices=LIBRARIES, required=True)
    arguments.add_argument("--clip", required=True)
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--frames", type=int, default=0, help="stop after so many; 0: at the end")
    options = arguments.parse_args()
    began_s = time.perf_counter()
    look = LIBRARIES[options.library]()
    watch(options.clip, look, 1)  # what the libraries do once only is no part of the speed
    ready_s, ready_cpu_s = time.perf_counter(), time.process_time()
    n, faces = watch(options.clip, look, options.frames)
    seen = {
        "frames": n,
        "wall_s": time.perf_counter() - ready_s,
        "cpu_s": time.process_time() - ready_cpu_s,
        "ready_s": ready_s - began_s,
        "faces": faces,
    }
    options.out.write_text(json.dumps(seen), encoding="utf-8")


if __name__ == "__main__":
    main()
