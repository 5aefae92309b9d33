"""Archive throughput against this machine's own bound.

bound = cores / sum of CPU seconds per frame over decode, resize and colour, detect, align, embed, each measured alone
with all cores loaded, detect and embed at their best batch. efficiency = whole / bound. Start-up is reported apart.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from streamer import machine
from streamer.bench.clips import loop_clip
from streamer.bench.record import header
from streamer.bus.open import open_bus
from streamer.bus.topics import topics
from streamer.config import Config
from streamer.errors import StreamerError
from streamer.sources import parse_all
from streamer.worker.supervisor import Supervisor

BATCHED = {"detect": (1, 4, 8), "embed": (1, 4, 8)}
PARTS = ("decode", "resize", "detect", "align", "embed")


def run(
    clip: Path,
    config: Config,
    *,
    n_files: int = 8,
    duration_s: float = 60.0,
    part_s: float = 3.0,
    repeats: int = 3,
    tell: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Everything measured `repeats` times in turn; medians, and the spread of the whole."""
    with tempfile.TemporaryDirectory(prefix="affect-streamer-bench-") as place:
        folder = Path(place)
        looped = folder / f"loop{clip.suffix if clip.suffix in ('.mp4', '.mov', '.mkv') else '.mkv'}"
        reached_s = loop_clip(clip, looped, duration_s)
        rounds = []
        for number in range(repeats):
            tell(f"round {number + 1} of {repeats}: parts alone")
            parts = {name: _best_batch(name, looped, config, part_s) for name in PARTS}
            tell(f"round {number + 1} of {repeats}: {n_files} files at once, then one")
            many = _whole(folder, looped, config, n_files, number)
            one = _whole(folder, looped, config, 1, number)
            bound = machine.n_cores() / sum(part["cpu_s_per_frame"] for part in parts.values())
            rounds.append({"parts": parts, "bound_fps": bound, "many": many, "one": one})
    return {
        **header("throughput"),
        "clip": {"name": clip.name, "looped_s": round(reached_s, 1), "files": n_files},
        "models": msgspec.to_builtins(config.models),
        "median": _medians(rounds),
        "rounds": rounds,
    }


def table(result: dict[str, Any]) -> str:
    """The result as text."""
    median = result["median"]
    lines = [f"{result['clip']['name']}, {result['machine']['cpu']}, {result['machine']['cores']} cores"]
    for name in PARTS:
        part = median["parts"][name]
        lines.append(f"  {name:8} {1000 * part['cpu_s_per_frame']:7.3f} ms CPU a frame   batch {part['batch']}")
    lines.append(f"  bound    {median['bound_fps']:7.1f} frames/s")
    for key, label in (("many", f"{result['clip']['files']} files"), ("one", "one file")):
        one = median[key]
        lines.append(
            f"  {label:8} {one['fps']:7.1f} frames/s   efficiency {one['efficiency']:.2f}   "
            f"{1000 * one['cpu_s_per_frame']:.3f} ms CPU a frame   start-up {one['loaded_s']:.2f} s   "
            f"first record after {one['first_record_s']:.2f} s"
        )
    return "\n".join(lines)


def _best_batch(name: str, clip: Path, config: Config, part_s: float) -> dict[str, Any]:
    found = [part_on_all_cores(name, clip, config, part_s, batch) for batch in BATCHED.get(name, (1,))]
    return min(found, key=lambda one: one["cpu_s_per_frame"])


def part_on_all_cores(name: str, clip: Path, config: Config, part_s: float, batch: int) -> dict[str, Any]:
    """CPU seconds per frame with one such process on every core."""
    command = [sys.executable, "-m", "streamer.bench.part", name, str(clip), "--seconds", str(part_s)]
    command += ["--batch", str(batch), "--config", msgspec.json.encode(config).decode()]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        for _ in range(machine.n_cores())
    ]
    answers = []
    for process in processes:
        out, err = process.communicate()
        if process.returncode != 0:
            raise StreamerError(
                f"measuring {name} failed: {err.strip().splitlines()[-1] if err.strip() else 'no reason'}"
            )
        answers.append(json.loads(out))
    frames = sum(answer["frames"] for answer in answers)
    cpu_s = sum(answer["cpu_s"] for answer in answers)
    wall_s = max(answer["wall_s"] for answer in answers)
    return {"batch": batch, "cpu_s_per_frame": cpu_s / frames, "fps_all_cores": frames / wall_s}


def _whole(folder: Path, clip: Path, config: Config, n_files: int, number: int) -> dict[str, Any]:
    """`n_files` names of one file through the whole product, into a fresh embedded bus."""
    names = [folder / f"{number}-{n_files}-{k}{clip.suffix}" for k in range(n_files)]
    for name in names:
        name.hardlink_to(clip)
    database = folder / f"{number}-{n_files}.db"
    chosen = msgspec.structs.replace(config, bus=f"sqlite:///{database}")
    bus = open_bus(chosen.bus)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        bus.ensure_topics(topics(chosen.topics).all())
        outcome = Supervisor(chosen, parse_all([str(name) for name in names], "archive"), bus).run()
    finally:
        bus.close()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if outcome.fatal is not None or any(result.state != "done" for result in outcome.results):
        raise StreamerError(f"the whole run failed: {outcome.fatal or outcome.results}")
    frames = sum(result.analysed for result in outcome.results)
    loaded_s = outcome.loaded_s or 0.0
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "frames": frames,
        "fps": frames / (outcome.wall_s - loaded_s),
        "cpu_s_per_frame": cpu_s / frames,
        "loaded_s": loaded_s,
        "first_record_s": outcome.first_record_s or 0.0,
        "stage_ms_per_frame": {k: 1000 * v / frames for k, v in sorted(outcome.stage_s.items())},
        "database_bytes_per_frame": database.stat().st_size / frames,
    }


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
            for name in PARTS
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
