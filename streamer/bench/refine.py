"""What searching whole pictures at an interval saves, and what it costs in agreement with searching every one.

Clip by clip, in turn with `detect.interval_s` 0 and as configured: see `streamer.bench.passes`.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from streamer.bench.passes import Pass, compare, paired, through
from streamer.bench.record import header
from streamer.bench.rendered import MOVES, rendered
from streamer.config import Config
from streamer.errors import UsageError
from streamer.messages import Observation
from streamer.pipeline import Models

GOAL_CLEAR_EQUAL = 0.97
GOAL_NEW_FACE_S = 0.25
Tell = Callable[[str], None]


def run(clips: Sequence[Path], config: Config, *, repeats: int, tell: Tell, rendered_frames: int = 0) -> dict[str, Any]:
    """Measure every clip `repeats` times: counts, agreement, and medians of CPU seconds.

    With `rendered_frames` clips that show a face are also seen by moving cameras, so many frames each, counted apart.
    """
    if not clips:
        raise UsageError("there is no clip to measure: name one, or a folder with some")
    if config.detect.interval_s <= 0:
        raise UsageError("detect.interval_s is 0: that is what refining is compared with; choose more")
    every = msgspec.structs.replace(config, detect=msgspec.structs.replace(config.detect, interval_s=0.0))
    models = Models.open(config)
    found: dict[str, Any] = {}

    def measure(clip: Path, *, made: bool) -> None:
        passes: tuple[list[Pass], list[Pass]] = ([], [])
        for _ in range(repeats):  # in turn, so that a machine that slows down does so for both
            for kept, settings in zip(passes, (every, config), strict=True):
                kept.append(through(clip, settings, models))
        found[clip.name] = of_clip(*passes) | {"rendered": made}
        tell(f"{clip.name}: {passes[0][0].frames} frames")

    for clip in clips:
        measure(clip, made=False)
    with tempfile.TemporaryDirectory(prefix="affect-streamer-rendered-") as folder:
        for clip in clips if rendered_frames else ():
            for move in MOVES if found[clip.name]["faces"] else ():
                measure(rendered(clip, Path(folder), move, rendered_frames), made=True)
    whole = overall(one for one in found.values() if not one["rendered"])
    made = [one for one in found.values() if one["rendered"]]
    return header("refine") | {
        "model": models.model_id,
        "precision": models.precision,
        "settings": msgspec.to_builtins(config.detect) | {"repeats": repeats},
        "clips": found,
        "all": whole,
        "all_rendered": overall(made) if made else None,
        "good": (whole["clear_labels_equal"] is None or whole["clear_labels_equal"] >= GOAL_CLEAR_EQUAL)
        and whole["new_face_delay_s"] <= GOAL_NEW_FACE_S,
    }


def of_clip(every: Sequence[Pass], refined: Sequence[Pass]) -> dict[str, Any]:
    """One clip: `every` frame searched whole beside whole searches at the interval."""
    whole, saving = every[0], refined[0]
    whole_cpu_s, saving_cpu_s = (statistics.median(one.cpu_s for one in passes) for passes in (every, refined))
    return {
        "frames": whole.frames,
        "faces": sum(map(len, whole.seen.values())),
        "searches": saving.searches,
        "squares": saving.regions,
        "cpu_s_per_frame": {"every": whole_cpu_s / whole.frames, "refined": saving_cpu_s / whole.frames},
        "speed": whole_cpu_s / saving_cpu_s,
        "new_face_delay_s": new_face_delay_s(whole.seen, saving.seen),
    } | compare(whole.seen.items(), saving.seen)


def new_face_delay_s(
    every: dict[int, list[Observation]], saving: dict[int, list[Observation]]
) -> dict[str, float | int | None]:
    """How much later a face was seen first: of each track of `every` frame, from its first frame to the first in which
    the other run has a face in its place; `never` counts those that were not seen at all."""
    first_s: dict[int, float] = {}
    seen_s: dict[int, float] = {}
    for index, faces in sorted(every.items()):
        for face in faces:
            first_s.setdefault(face.track.number, face.media_time_s)
        for face, _ in paired(faces, saving.get(index, [])):
            seen_s.setdefault(face.track.number, face.media_time_s)
    delays = [seen_s[track] - begun_s for track, begun_s in first_s.items() if track in seen_s]
    return {"tracks": len(first_s), "max": max(delays, default=None), "never": len(first_s) - len(delays)}


def overall(clips: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """All clips together, faces counting alike."""
    clips = list(clips)
    counted = sum(one["clear_compared"] for one in clips)
    equal = sum(one["clear_compared"] * (one["clear_labels_equal"] or 0.0) for one in clips)
    faces = sum(one["faces"] for one in clips)
    again = sum(one["faces"] * (one["faces_found_again"] or 0.0) for one in clips)
    return {
        "frames": sum(one["frames"] for one in clips),
        "clear_compared": counted,
        "clear_labels_equal": equal / counted if counted else None,
        "faces_found_again": again / faces if faces else None,
        "faces_more": sum(one["faces_more"] for one in clips),
        "new_face_delay_s": max((one["new_face_delay_s"]["max"] or 0.0 for one in clips), default=None),
    }


def table(result: dict[str, Any]) -> str:
    """The result for people: agreement beside saving."""
    chosen = result["settings"]
    lines = [
        f"whole pictures every {chosen['interval_s']} s, in between squares of {chosen['region_px']} px",
        "clip                                  frames  searched  faster  labels equal  clear ones  found  more  later",
    ]
    for name, one in result["clips"].items():
        delay_s = one["new_face_delay_s"]["max"]
        lines.append(
            f"{name[:36]:36}  {one['frames']:6d}  {one['searches']:8d}  {one['speed']:5.2f}x         "
            f"{_share(one['labels_equal'])}       {_share(one['clear_labels_equal'])}  "
            f"{_share(one['faces_found_again'])}  {one['faces_more']:4d}  "
            + ("    -" if delay_s is None else f"{delay_s:.2f} s")
        )
    for name, whole in (("real", result["all"]), ("rendered", result["all_rendered"])):
        if whole is not None:
            lines.append(_all(name, whole))
    return "\n".join(lines)


def _all(name: str, whole: dict[str, Any]) -> str:
    return (
        f"all {name} ones: {whole['frames']} frames, {_share(whole['clear_labels_equal'])} of "
        f"{whole['clear_compared']} clear labels equal (goal {GOAL_CLEAR_EQUAL}), new faces at most "
        f"{whole['new_face_delay_s']:.2f} s later (goal {GOAL_NEW_FACE_S})"
    )


def _share(value: float | None) -> str:
    return "    -" if value is None else f"{value:5.3f}"
