"""The loop that a good engineer writes in an afternoon: OpenCV reads, ONNX Runtime finds faces and names expressions.

It needs numpy, opencv-python-headless and onnxruntime, and two ONNX files: CenterFace with dynamic sizes, and a network
that takes (1,3,S,S) and answers `logits`. Every frame is searched whole; every face is looked at alone, at batch 1.
Threads are what `--threads` and `--cv-threads` say (0: the library's own choice).

    python afternoon.py --clip face.mp4 --detector centerface.onnx --classifier face-api.onnx --out seen.json
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime

SEARCH_WIDTH, SEARCH_HEIGHT = 320, 192
SCORE, OVERLAP = 0.5, 0.3
STRIDE = 4
# Where the eyes, the nose and the corners of the mouth come to lie in a crop of 112 x 112.
TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]], np.float32
)
# What follows is the face-api network's; flags name another's.
SIDE = 112
MEAN, STD = "122.782,117.001,104.298", "255,255,255"
LABELS = "Neutral,Happy,Sad,Angry,Fear,Disgust,Surprise"

Array = Any  # this file is read more often than it is type-checked


class Finder:
    """CenterFace on the frame shrunk to 320 x 192."""

    def __init__(self, path: str, threads: int) -> None:
        self.session = session(path, threads, batch=1, height=SEARCH_HEIGHT, width=SEARCH_WIDTH)
        self.canvas = np.zeros((SEARCH_HEIGHT, SEARCH_WIDTH, 3), np.uint8)

    def __call__(self, frame: Array) -> tuple[Array, Array]:
        """Boxes (n,4) as x1, y1, x2, y2 and points (n,5,2), best first, in pixels of the frame."""
        rows, columns = frame.shape[:2]
        scale = min(SEARCH_WIDTH / columns, SEARCH_HEIGHT / rows)
        width, height = round(columns * scale), round(rows * scale)
        self.canvas[:height, :width] = cv2.resize(frame, (width, height), interpolation=cv2.INTER_LINEAR)
        image = cv2.dnn.blobFromImage(self.canvas, swapRB=True)
        heat, size, offset, marks = self.session.run(["heat", "scale", "offset", "points"], {"image": image})
        ys, xs = np.nonzero(heat[0, 0] > SCORE)
        scores = heat[0, 0, ys, xs]
        h, w = np.exp(size[0][:, ys, xs]) * STRIDE
        top = (ys + offset[0, 0, ys, xs] + 0.5) * STRIDE - h / 2
        left = (xs + offset[0, 1, ys, xs] + 0.5) * STRIDE - w / 2
        keep = cv2.dnn.NMSBoxes(np.stack([left, top, w, h], 1).tolist(), scores.tolist(), SCORE, OVERLAP)
        chosen = np.array(keep, np.int64).reshape(-1)
        boxes = np.stack([left, top, left + w, top + h], 1)[chosen]
        yx = marks[0][:, ys, xs].reshape(5, 2, -1)[:, :, chosen]
        points = np.stack([yx[:, 1] * w[chosen] + left[chosen], yx[:, 0] * h[chosen] + top[chosen]], -1)
        return boxes / scale, points.transpose(1, 0, 2) / scale


class Namer:
    """The network that names an expression, one face at a time."""

    def __init__(self, path: str, threads: int, options: argparse.Namespace) -> None:
        self.session = session(path, threads, batch=1)
        self.side, self.margin = options.side, options.margin
        self.mean = np.array(options.mean.split(","), np.float32)
        self.std = np.array(options.std.split(","), np.float32)
        self.aligned, self.bgr = options.crop == "aligned", options.bgr
        self.labels: list[str] = options.labels.split(",")

    def __call__(self, frame: Array, box: Array, points: Array) -> str:
        crop = self._aligned(frame, points) if self.aligned else self._boxed(frame, box)
        if not self.bgr:
            crop = cv2.cvtColor(crop, cv2.COLOR_BGR2RGB)
        image = ((crop.astype(np.float32) - self.mean) / self.std).transpose(2, 0, 1)[None]
        (logits,) = self.session.run(["logits"], {"image": image})
        return self.labels[int(np.argmax(logits[0]))]

    def _aligned(self, frame: Array, points: Array) -> Array:
        """A similarity in the least squares takes the five points onto the template."""
        template = TEMPLATE * (self.side / 112)
        x, y = points[:, 0], points[:, 1]
        one, zero = np.ones(5), np.zeros(5)
        equations = np.concatenate([np.stack([x, -y, one, zero], 1), np.stack([y, x, zero, one], 1)])
        a, b, tx, ty = np.linalg.lstsq(equations, template.T.reshape(-1), rcond=None)[0]
        return cv2.warpAffine(frame, np.array([[a, -b, tx], [b, a, ty]]), (self.side, self.side))

    def _boxed(self, frame: Array, box: Array) -> Array:
        """The box, widened by the margin on every side and made square."""
        centre_x, centre_y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        half = max(box[2] - box[0], box[3] - box[1]) * (0.5 + self.margin)
        scale = self.side / (2 * half)
        matrix = np.array([[scale, 0, (half - centre_x) * scale], [0, scale, (half - centre_y) * scale]])
        return cv2.warpAffine(frame, matrix, (self.side, self.side))


def session(path: str, threads: int, **sizes: int) -> Any:
    """An ONNX Runtime session whose named dimensions are fixed, so that it can plan its memory."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    for name, size in sizes.items():
        options.add_free_dimension_override_by_name(name, size)
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def watch(clip: str, find: Finder, name: Namer, most: int) -> tuple[int, list[list[Any]]]:
    """Every frame of the clip, up to `most` (0: all): how many there were, and the faces as fractions of the frame."""
    capture = cv2.VideoCapture(clip)
    faces: list[list[Any]] = []
    n = 0
    while not most or n < most:
        more, frame = capture.read()
        if not more:
            break
        rows, columns = frame.shape[:2]
        boxes, points = find(frame)
        for box, marks in zip(boxes, points, strict=True):
            x1, y1, x2, y2 = (float(value) for value in box)
            label = name(frame, box, marks)
            faces.append([n, x1 / columns, y1 / rows, (x2 - x1) / columns, (y2 - y1) / rows, label])
        n += 1
    capture.release()
    return n, faces


def main() -> None:
    """Watch the clip once and write what was seen and what it took."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--clip", required=True)
    arguments.add_argument("--detector", required=True)
    arguments.add_argument("--classifier", required=True)
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--frames", type=int, default=0, help="stop after so many; 0: at the end")
    arguments.add_argument("--threads", type=int, default=0, help="of ONNX Runtime, for each of the two networks")
    arguments.add_argument("--cv-threads", type=int, default=0, help="of OpenCV")
    arguments.add_argument("--crop", choices=["aligned", "box"], default="aligned")
    arguments.add_argument("--side", type=int, default=SIDE)
    arguments.add_argument("--margin", type=float, default=0.0)
    arguments.add_argument("--mean", default=MEAN, help="by channel, of 0 to 255, in the network's order")
    arguments.add_argument("--std", default=STD)
    arguments.add_argument("--bgr", action="store_true", help="the network wants blue first")
    arguments.add_argument("--labels", default=LABELS)
    options = arguments.parse_args()
    began_s = time.perf_counter()
    if options.cv_threads:
        cv2.setNumThreads(options.cv_threads)
    find, name = Finder(options.detector, options.threads), Namer(options.classifier, options.threads, options)
    watch(options.clip, find, name, 1)  # what the libraries do once only is no part of the speed
    ready_s, ready_cpu_s = time.perf_counter(), time.process_time()
    n, faces = watch(options.clip, find, name, options.frames)
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
