"""What each gate saves and what it costs in agreement with a run that works on every frame, clip by clip.

In turn without gates and with each setting, whole pictures searched in every frame: see `streamer.bench.passes`.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import msgspec

from streamer.bench.passes import Pass, compare, through
from streamer.bench.record import header
from streamer.config import Config, GateSettings
from streamer.errors import UsageError
from streamer.faces.gates import FACE_CELLS, FACE_LEVELS, SCENE_CELLS, SCENE_LEVELS
from streamer.pipeline import Models

Tell = Callable[[str], None]


def run(clips: Sequence[Path], config: Config, *, repeats: int, tell: Tell) -> dict[str, Any]:
    """Measure every clip `repeats` times and give counts, agreement, and medians of CPU seconds."""
    if not clips:
        raise UsageError("there is no clip to measure: name one, or a folder with some")
    config = msgspec.structs.replace(config, detect=msgspec.structs.replace(config.detect, interval_s=0.0))
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
                passes[name].append(through(clip, msgspec.structs.replace(config, gates=gates), models))
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


def _share(value: float | None) -> str:
    return "    -" if value is None else f"{value:5.3f}"
