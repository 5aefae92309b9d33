"""The tracker against a plain one on made-up scenes, in one run with fixed seeds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from streamer.bench.record import header
from streamer.bench.scenes import KINDS, Kind, Scene, make
from streamer.bench.tracking_metrics import Seen, Tally, tally
from streamer.config import TrackSettings
from streamer.faces.boxes import iou_matrix
from streamer.faces.track import Tracker
from streamer.types import Detections

Follow = Callable[[Detections, float], Seen]
"""Takes one frame's detections and its media time, gives track numbers and boxes."""


def run(seed: int = 0, n_scenes: int = 60) -> dict[str, Any]:
    """IDF1, switches and so on of the tracker and of greedy overlap matching, over all scenes and per kind of scene.

    Scenes are shared evenly among the kinds; the same seed gives the same scenes and figures.
    """
    contenders: dict[str, Callable[[], Follow]] = {"tracker": ours, "greedy_iou": GreedyIou}
    tallies: dict[tuple[str, Kind], Tally] = {}
    for index in range(n_scenes):
        scene = make(KINDS[index % len(KINDS)], np.random.default_rng([seed, index]))
        for name, start in contenders.items():
            key = (name, scene.kind)
            tallies[key] = tallies.get(key, Tally()) + follow(scene, start())
    used = [kind for kind in KINDS if ("tracker", kind) in tallies]
    result: dict[str, Any] = {**header("tracking"), "seed": seed, "n_scenes": n_scenes}
    for name in contenders:
        result[name] = sum((tallies[name, kind] for kind in used), Tally()).figures()
    result["by_kind"] = {kind: {name: tallies[name, kind].figures() for name in contenders} for kind in used}
    return result


def follow(scene: Scene, step: Follow) -> Tally:
    """One tracker over one scene."""
    reported = [step(found, float(t)) for found, t in zip(scene.detections, scene.times_s, strict=True)]
    return tally(scene.truth, reported)


def ours(settings: TrackSettings | None = None) -> Follow:
    """A new tracker of this package."""
    tracker = Tracker(settings or TrackSettings())

    def step(found: Detections, media_time_s: float) -> Seen:
        faces = tracker.update(found, media_time_s).faces
        boxes = np.array([face.box_xyxy for face in faces], np.float64).reshape(-1, 4)
        return np.array([face.track for face in faces], np.int64), boxes

    return step


class GreedyIou:
    """The baseline: each track waits where it was last seen, pairs are taken by falling overlap.

    Same scores and lifetimes as the tracker's defaults, no motion, no second pass for weak detections.
    """

    def __init__(self, min_iou: float = 0.3, settings: TrackSettings | None = None) -> None:
        self._min_iou = min_iou
        self._settings = settings or TrackSettings()
        self._last: dict[int, tuple[np.ndarray[Any, Any], float]] = {}
        self._next = 1

    def __call__(self, found: Detections, media_time_s: float) -> Seen:
        boxes = found.boxes_xyxy[found.scores >= self._settings.new_track_score].astype(np.float64)
        patience_s = self._settings.lost_after_s
        self._last = {n: (box, t) for n, (box, t) in self._last.items() if media_time_s - t <= patience_s}
        numbers = np.zeros(len(boxes), np.int64)
        known = list(self._last)
        overlap = iou_matrix(np.array([self._last[n][0] for n in known]).reshape(-1, 4), boxes)
        while overlap.size and overlap.max() >= self._min_iou:
            row, column = np.unravel_index(overlap.argmax(), overlap.shape)
            numbers[column] = known[row]
            overlap[row], overlap[:, column] = -1, -1
        for column in np.flatnonzero(numbers == 0):
            numbers[column] = self._next
            self._next += 1
        for number, box in zip(numbers.tolist(), boxes, strict=True):
            self._last[number] = (box, media_time_s)
        return numbers, boxes
