"""Archive throughput against this machine's own bound.

bound = cores / sum of CPU seconds per frame over decode, resize and colour, detect, refine, align, embed, each measured
alone with all cores loaded, networks at their best batch; what happens to some frames alone (whole pictures are
searched at an interval, in between known faces are refined) counts by its share of them. efficiency = whole / bound.
Start-up is reported apart.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from streamer import machine
from streamer.bench.clips import loop_clip
from streamer.bench.loaded import on_every_core
from streamer.bench.part import PARTS
from streamer.bench.record import header
from streamer.bench.whole import run_copies
from streamer.clock import SystemClock
from streamer.config import Config
from streamer.decode import open_source
from streamer.faces.chains import place_of
from streamer.sources import parse_all

BATCHED = {"detect": (1, 4, 8), "refine": (1, 4, 8), "embed": (1, 4, 8)}


def run(
    clip: Path,
    config: Config,
    *,
    n_files: int = 8,
    duration_s: float = 60.0,
    part_s: float = 3.0,
    repeats: int = 3,
    label: str = "",
    tell: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Everything measured `repeats` times in turn; medians, and the spread of the whole. `label` ends its name."""
    with tempfile.TemporaryDirectory(prefix="affect-streamer-bench-") as place:
        folder = Path(place)
        looped = folder / f"loop{clip.suffix if clip.suffix in ('.mp4', '.mov', '.mkv') else '.mkv'}"
        reached_s = loop_clip(clip, looped, duration_s)
        rounds = []
        shares = part_shares(looped, config)
        parts_there = [name for name in PARTS if shares[name] > 0]
        for number in range(repeats):
            tell(f"round {number + 1} of {repeats}: parts alone")
            parts = {name: best_batch(name, looped, config, part_s) for name in parts_there}
            tell(f"round {number + 1} of {repeats}: {n_files} files at once, then one")
            many = run_copies(folder, looped, config, n_files, number)
            one = run_copies(folder, looped, config, 1, number)
            bound = machine.n_cores() / sum(shares[name] * part["cpu_s_per_frame"] for name, part in parts.items())
            rounds.append({"parts": parts, "bound_fps": bound, "many": many, "one": one})
    return {
        **header("-".join(filter(None, ("throughput", "refine" if config.detect.interval_s > 0 else "", label)))),
        "clip": {"name": clip.name, "looped_s": round(reached_s, 1), "files": n_files},
        "models": msgspec.to_builtins(config.models),
        "search": {"interval_s": config.detect.interval_s, "region_px": config.detect.region_px, "shares": shares},
        "median": _medians(rounds),
        "rounds": rounds,
    }


def part_shares(clip: Path, config: Config) -> dict[str, float]:
    """The share of a clip's frames that each part has to do with: by their times, whole pictures or squares of them."""
    searched = 1.0
    if config.detect.interval_s > 0:
        [source] = parse_all([str(clip)], "archive")
        with open_source(source, config.decode, SystemClock()) as decoder:
            places = [place_of(frame, config.detect.interval_s) for frame in decoder]
        searched = len(set(places)) / len(places)
    return dict.fromkeys(PARTS, 1.0) | {"resize": searched, "detect": searched, "refine": 1 - searched}


def table(result: dict[str, Any]) -> str:
    """The result as text."""
    median = result["median"]
    lines = [f"{result['clip']['name']}, {result['machine']['cpu']}, {result['machine']['cores']} cores"]
    for name, part in median["parts"].items():
        lines.append(
            f"  {name:8} {1000 * part['cpu_s_per_frame']:7.3f} ms CPU a frame   batch {part['batch']}   "
            f"{result['search']['shares'][name]:.2f} of the frames"
        )
    lines.append(f"  bound    {median['bound_fps']:7.1f} frames/s")
    for key, label in (("many", f"{result['clip']['files']} files"), ("one", "one file")):
        one = median[key]
        lines.append(
            f"  {label:8} {one['fps']:7.1f} frames/s   efficiency {one['efficiency']:.2f}   "
            f"{1000 * one['cpu_s_per_frame']:.3f} ms CPU a frame   start-up {one['loaded_s']:.2f} s   "
            f"first record after {one['first_record_s']:.2f} s"
        )
    return "\n".join(lines)


def best_batch(name: str, clip: Path, config: Config, part_s: float) -> dict[str, Any]:
    """A part alone on every core, at the batch at which it costs the least CPU a frame."""
    found = [part_on_all_cores(name, clip, config, part_s, batch) for batch in BATCHED.get(name, (1,))]
    return min(found, key=lambda one: one["cpu_s_per_frame"])


def part_on_all_cores(name: str, clip: Path, config: Config, part_s: float, batch: int) -> dict[str, Any]:
    """CPU seconds per frame with one such process on every core."""
    arguments = [name, str(clip), "--seconds", str(part_s), "--batch", str(batch)]
    answers = on_every_core("streamer.bench.part", [*arguments, "--config", msgspec.json.encode(config).decode()], name)
    frames = sum(answer["frames"] for answer in answers)
    cpu_s = sum(answer["cpu_s"] for answer in answers)
    wall_s = max(answer["wall_s"] for answer in answers)
    return {"batch": batch, "cpu_s_per_frame": cpu_s / frames, "fps_all_cores": frames / wall_s}


def _medians(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    def middle(pick: Callable[[dict[str, Any]], float]) -> float:
        return statistics.median(pick(one) for one in rounds)

    bound = middle(lambda one: one["bound_fps"])
    found: dict[str, Any] = {
        "bound_fps": bound,
        "parts": {
            name: {
                "cpu_s_per_frame": middle(lambda one, n=name: one["parts"][n]["cpu_s_per_frame"]),  # type: ignore[misc]
                "batch": rounds[0]["parts"][name]["batch"],
            }
            for name in rounds[0]["parts"]
        },
    }
    for key in ("many", "one"):
        fields = ("fps", "cpu_s_per_frame", "loaded_s", "first_record_s")
        found[key] = {f: middle(lambda one, k=key, f=f: one[k][f]) for f in fields}  # type: ignore[misc]
        found[key]["efficiency"] = middle(lambda one, k=key: one[k]["fps"] / one["bound_fps"])  # type: ignore[misc]
        found[key]["stage_ms_per_frame"] = {
            stage: middle(lambda one, k=key, s=stage: one[k]["stage_ms_per_frame"].get(s, 0.0))  # type: ignore[misc]
            for stage in rounds[0][key]["stage_ms_per_frame"]
        }
    return found
