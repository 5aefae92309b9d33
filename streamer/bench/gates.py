"""What each gate saves and what it costs in agreement with a run that works on every frame, clip by clip.

All of a clip goes through the pipeline in archive batches, in turn without gates and with each setting. Faces of the
same frame are paired by their boxes; labels are compared where both runs found the face.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import msgspec
import numpy as np
from numpy.typing import NDArray

from streamer.bench.pairing import same_faces
from streamer.bench.record import header
from streamer.clock import SystemClock
from streamer.config import Config, GateSettings
from streamer.decode import open_source
from streamer.errors import UsageError
from streamer.faces.detect import Detected, Detector
from streamer.faces.embed import Embedded, Embedder
from streamer.faces.gates import FACE_CELLS, FACE_LEVELS, SCENE_CELLS, SCENE_LEVELS
from streamer.faces.track import Tracker
from streamer.messages import Observation
from streamer.pipeline import Models, Pipeline, StageTimes, StreamState
from streamer.pixels import Picture
from streamer.sources import parse
from streamer.state.actor import StreamActor
from streamer.state.records import StreamContext
from streamer.types import Counters, Frame, UInt8Array

MIN_IOU = 0.5
CLEAR_MARGIN = 0.1
SUFFIXES = (".mp4", ".mov", ".gif", ".avi", ".mkv", ".webm")
Tell = Callable[[str], None]


class _Counted:
    """A detector or an embedder that counts what it was asked for."""

    def __init__(self, detector: Detector, embedder: Embedder) -> None:
        self._detector, self._embedder = detector, embedder
        self.searches = self.inferences = 0

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
    """One way through a clip: what was seen in each frame, and what it took."""

    seen: dict[int, list[Observation]] = field(default_factory=dict)
    frames: int = 0
    searches: int = 0
    inferences: int = 0
    cpu_s: float = 0.0


def clips_in(folder: Path) -> list[Path]:
    """The videos of a folder, by name."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)


def run(clips: Sequence[Path], config: Config, *, repeats: int, tell: Tell) -> dict[str, Any]:
    """Measure every clip `repeats` times and give counts, agreement, and medians of CPU seconds."""
    if not clips:
        raise UsageError("there is no clip to measure: name one, or a folder with some")
    limits = config.gates
    settings = {
        "every_frame": _only(limits),
        "still_scene": _only(limits, still_scene=True),
        "same_face": _only(limits, same_face=True),
        "both": _only(limits, still_scene=True, same_face=True),
    }
    models = Models.open(config)
    result: dict[str, Any] = header("gates") | {
        "model": models.model_id,
        "precision": models.precision,
        "settings": {
            "still_max_s": limits.still_max_s,
            "same_max_s": limits.same_max_s,
            "scene_cells_at_least": SCENE_CELLS,
            "scene_levels": SCENE_LEVELS,
            "face_cells_at_least": FACE_CELLS,
            "face_levels": FACE_LEVELS,
            "repeats": repeats,
        },
        "clips": {},
    }
    for clip in clips:
        passes: dict[str, list[Pass]] = {name: [] for name in settings}
        for _ in range(repeats):  # in turn, so that a machine that slows down does so for all of them
            for name, gates in settings.items():
                passes[name].append(_through(clip, msgspec.structs.replace(config, gates=gates), models))
        result["clips"][clip.name] = _of_clip(passes)
        tell(f"{clip.name}: {passes['every_frame'][0].frames} frames")
    return result


def held(clip: Path, folder: Path, hold: int = 10) -> Path:
    """Every so-many-th picture of `clip` shown that many times, as slides or a frozen camera are, encoded anew."""
    target = folder / f"{clip.stem}, pictures held.mp4"
    with av.open(str(clip)) as source, av.open(str(target), "w") as out:
        video = source.streams.video[0]
        stream = out.add_stream("mpeg4", rate=Fraction(video.average_rate or 25))
        stream.width, stream.height, stream.pix_fmt = video.width, video.height, "yuv420p"
        stream.bit_rate = 2_000_000
        for number, frame in enumerate(source.decode(video)):
            if number % hold == 0:
                picture = frame.to_ndarray(format="yuv420p")
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="yuv420p")))
        out.mux(stream.encode(None))
    return target


def _only(limits: GateSettings, **chosen: bool) -> GateSettings:
    """Those gates alone, with the times of `limits`."""
    return GateSettings(still_max_s=limits.still_max_s, same_max_s=limits.same_max_s, **chosen)


def table(result: dict[str, Any]) -> str:
    """The result for people: agreement beside saving."""
    lines = [
        "clip, setting                                    searches  inferences   CPU   labels equal  clear ones  found"
    ]
    for clip, found in result["clips"].items():
        lines.append(f"{clip}: {found['frames']} frames, {found['every_frame']['inferences']} faces")
        for name, one in found.items():
            if isinstance(one, dict) and name != "every_frame":
                lines.append(
                    f"  {name:46} {_share(one['searches_saved'])}    {_share(one['inferences_saved'])}  "
                    f"{_share(one['cpu_saved'])}        {_share(one['labels_equal'])}      "
                    f"{_share(one['clear_labels_equal'])}  {_share(one['faces_found_again'])}"
                )
    return "\n".join(lines)


def compare(every: Iterable[tuple[int, list[Observation]]], gated: dict[int, list[Observation]]) -> dict[str, Any]:
    """How a run agrees with the one that worked on `every` frame; None where there is nothing to compare.

    `labels_equal` is of paired faces with a label in both, `clear_labels_equal` of those whose label in the run of
    every frame leads by `CLEAR_MARGIN` or more.
    """
    n = found = labelled = equal = clear = clear_equal = bare_equal = 0
    distances: list[float] = []
    valences: list[float] = []
    for pts, theirs in every:
        n += len(theirs)
        for one, other in _paired(theirs, gated.get(pts, [])):
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
        "faces_found_again": _ratio(found, n),
        "faces_more": sum(map(len, gated.values())) - found,
        "labels_equal": _ratio(equal, labelled),
        "clear_labels_equal": _ratio(clear_equal, clear),
        "bare_labels_equal": _ratio(bare_equal, found),
        "labels_compared": labelled,
        "valence_difference_mean": statistics.fmean(valences) if valences else None,
        "box_difference_max": max(distances, default=None),
    }


def _paired(a: Sequence[Observation], b: Sequence[Observation]) -> list[tuple[Observation, Observation]]:
    """Faces of one frame whose boxes overlap, best first."""
    return [(a[i], b[j]) for i, j in same_faces(_boxes(a), _boxes(b), MIN_IOU)]


def _boxes(seen: Sequence[Observation]) -> NDArray[np.float64]:
    return np.array([one.box_xywh for one in seen], np.float64).reshape(-1, 4)


def _through(clip: Path, config: Config, models: Models) -> Pass:
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
    made.frames, made.searches, made.inferences = len(made.seen), counted.searches, counted.inferences
    made.cpu_s = sum(times.seconds.values())
    return made


def _of_clip(passes: dict[str, list[Pass]]) -> dict[str, Any]:
    every = passes["every_frame"][0]
    every_cpu_s = statistics.median(one.cpu_s for one in passes["every_frame"])
    found: dict[str, Any] = {
        "frames": every.frames,
        "every_frame": {
            "searches": every.searches,
            "inferences": every.inferences,
            "cpu_s_per_frame": every_cpu_s / every.frames,
        },
    }
    for name, runs in passes.items():
        if name == "every_frame":
            continue
        first, cpu_s = runs[0], statistics.median(one.cpu_s for one in runs)
        found[name] = {
            "searches": first.searches,
            "inferences": first.inferences,
            "searches_saved": 1 - first.searches / every.searches,
            "inferences_saved": 1 - first.inferences / every.inferences if every.inferences else None,
            "cpu_s_per_frame": cpu_s / every.frames,
            "cpu_saved": 1 - cpu_s / every_cpu_s,
        } | compare(every.seen.items(), first.seen)
    return found


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _share(value: float | None) -> str:
    return "    -" if value is None else f"{value:5.3f}"
