"""One way of a whole clip through the pipeline in archive batches, and how far two such ways agree.

Faces of the same frame are paired by their boxes; labels are compared where both ways found the face.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from streamer.bench.pairing import same_faces
from streamer.clock import SystemClock
from streamer.config import Config, DetectSettings
from streamer.decode import open_source
from streamer.faces.detect import Detected, Detector, Shape
from streamer.faces.embed import Embedded, Embedder
from streamer.faces.track import Tracker
from streamer.messages import Observation
from streamer.pipeline import Models, Pipeline, StageTimes, StreamState
from streamer.pixels import Picture
from streamer.sources import parse
from streamer.state.actor import StreamActor
from streamer.state.records import StreamContext
from streamer.types import Counters, Detections, DropCause, Frame, UInt8Array

MIN_IOU = 0.5
CLEAR_MARGIN = 0.1
SUFFIXES = (".mp4", ".mov", ".gif", ".avi", ".mkv", ".webm")


class _Counted:
    """A detector and an embedder that count what they were asked for."""

    def __init__(self, detector: Detector, embedder: Embedder) -> None:
        self._detector, self._embedder = detector, embedder
        self.searches = self.regions = self.inferences = 0

    @property
    def settings(self) -> DetectSettings:
        return self._detector.settings

    @property
    def colour(self) -> Literal["rgb", "bgr"]:
        return self._detector.colour

    def search(self, shape: Shape, images: Sequence[UInt8Array]) -> list[Detections | DropCause]:
        self.regions += len(images)
        return self._detector.search(shape, images)

    def detect_each(self, pictures: Sequence[Picture]) -> Detected:
        self.searches += len(pictures)
        return self._detector.detect_each(pictures)

    def prepare(self, width: int, height: int) -> object:
        return self._detector.prepare(width, height)

    def embed(self, crops: UInt8Array) -> Embedded:
        self.inferences += len(crops)
        return self._embedder.embed(crops)


@dataclass(slots=True)
class Pass:
    """One way through a clip: what was seen in each frame, by its index, and what it took."""

    seen: dict[int, list[Observation]] = field(default_factory=dict)
    frames: int = 0
    searches: int = 0
    regions: int = 0
    inferences: int = 0
    cpu_s: float = 0.0


def clips_in(folder: Path) -> list[Path]:
    """The videos of a folder, by name."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)


def through(clip: Path, config: Config, models: Models) -> Pass:
    """All of `clip`, by models that were opened before."""
    counted = _Counted(models.detector, models.embedder)
    watched = replace(models, detector=cast(Detector, counted), embedder=cast(Embedder, counted))
    times = StageTimes()
    pipeline = Pipeline(watched, config, times)
    counters = Counters()
    context = StreamContext(clip.stem, "bench", "bench", models.model_id, models.precision)
    state = StreamState(
        Tracker(config.track), StreamActor(context, config.state, models.head.needs, counters), counters
    )
    made = Pass()
    [source] = parse(str(clip), "archive")
    batch: list[Frame] = []

    def step() -> None:
        for frame, (_, records) in zip(batch, pipeline.step([(state, one) for one in batch]), strict=True):
            made.seen[frame.index] = [record for record in records if isinstance(record, Observation)]
        batch.clear()

    with open_source(source, config.decode, SystemClock()) as decoder:
        pipeline.prepare(decoder.info.display_wh)
        for frame in decoder:
            batch.append(frame)
            if len(batch) == config.batch.max_frames:
                step()
    if batch:
        step()
    made.frames, made.searches = len(made.seen), counted.searches
    made.regions, made.inferences = counted.regions, counted.inferences
    made.cpu_s = sum(times.seconds.values())
    return made


def compare(every: Iterable[tuple[int, list[Observation]]], saving: dict[int, list[Observation]]) -> dict[str, Any]:
    """How a run agrees with the one that worked on `every` frame; None where there is nothing to compare.

    `labels_equal` is of paired faces with a label in both, `clear_labels_equal` of those whose label in the run of
    every frame leads by `CLEAR_MARGIN` or more.
    """
    n = found = labelled = equal = clear = clear_equal = bare_equal = 0
    distances: list[float] = []
    valences: list[float] = []
    for pts, theirs in every:
        n += len(theirs)
        for one, other in paired(theirs, saving.get(pts, [])):
            found += 1
            distances.append(max(abs(a - b) for a, b in zip(one.box_xywh, other.box_xywh, strict=True)))
            valences.append(abs(one.valence - other.valence))
            bare_equal += one.bare.label == other.bare.label
            if one.label is None or other.label is None:
                continue
            labelled += 1
            same = one.label == other.label
            equal += same
            second, best = sorted(one.probs)[-2:]
            if best - second >= CLEAR_MARGIN:
                clear += 1
                clear_equal += same
    return {
        "faces_found_again": ratio(found, n),
        "faces_more": sum(map(len, saving.values())) - found,
        "labels_equal": ratio(equal, labelled),
        "clear_labels_equal": ratio(clear_equal, clear),
        "bare_labels_equal": ratio(bare_equal, found),
        "labels_compared": labelled,
        "clear_compared": clear,
        "valence_difference_mean": statistics.fmean(valences) if valences else None,
        "box_difference_max": max(distances, default=None),
    }


def paired(a: Sequence[Observation], b: Sequence[Observation]) -> list[tuple[Observation, Observation]]:
    """Faces of one frame whose boxes overlap, best first."""
    return [(a[i], b[j]) for i, j in same_faces(_boxes(a), _boxes(b), MIN_IOU)]


def _boxes(seen: Sequence[Observation]) -> NDArray[np.float64]:
    return np.array([one.box_xywh for one in seen], np.float64).reshape(-1, 4)


def ratio(part: int, whole: int) -> float | None:
    """None of nothing."""
    return part / whole if whole else None
