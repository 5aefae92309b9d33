"""What a crop costs inside the pipeline with many streams against the engine alone, and how full batches are.

Alone: the expression network on ready crops at its best batch, one process on every core. Inside: the real worker,
all streams in as few children as are asked for; the CPU time of the stage `embed`, which is the engine's call and what
the pipeline does around it. Both are CPU seconds of the thread that calls.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from streamer.bench.clips import loop_clip
from streamer.bench.counted_child import FOLDER, Calls, CountedChildren
from streamer.bench.loaded import on_every_core
from streamer.bench.record import header
from streamer.bench.whole import run_files
from streamer.config import Config
from streamer.errors import StreamerError
from streamer.messages import Mode

GOAL = 0.80
BATCHES = (1, 4, 8)


@dataclass(frozen=True, slots=True)
class Plan:
    """`n_streams` streams of a clip looped to `duration_s` in `n_children` processes, `repeats` times.

    `archive`: as fast as it goes. `live`: at the pace of the clip, so that batches are as full as the load makes them.
    The engine alone is tried with `batches`.
    """

    n_streams: int = 16
    n_children: int = 1
    duration_s: float = 20.0
    part_s: float = 3.0
    repeats: int = 3
    mode: Mode = "archive"
    batches: tuple[int, ...] = BATCHES


def run(clip: Path, config: Config, plan: Plan, tell: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Alone and inside in turn, medians of the rounds. Raises `StreamerError` where the clip shows no face."""
    rounds: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="affect-streamer-batching-") as place:
        folder = Path(place)
        looped = folder / f"loop{clip.suffix if clip.suffix in ('.mp4', '.mov', '.mkv') else '.mkv'}"
        reached_s = loop_clip(clip, looped, plan.duration_s)
        for number in range(plan.repeats):
            tell(f"round {number + 1} of {plan.repeats}: the engine alone")
            alone = _alone(looped, config, plan)
            tell(f"round {number + 1} of {plan.repeats}: {plan.n_streams} streams")
            inside = _inside(folder / str(number), looped, config, plan)
            rounds.append({"alone": alone, "inside": inside, **compared(alone, inside)})
    return {
        **header("batching"),
        "clip": {"name": clip.name, "looped_s": round(reached_s, 1)},
        "models": msgspec.to_builtins(config.models),
        "plan": {"streams": plan.n_streams, "children": plan.n_children, "mode": plan.mode, "repeats": plan.repeats},
        "max_frames": config.batch.archive_frames if plan.mode == "archive" else config.batch.max_frames,
        "goal": GOAL,
        "median": {name: statistics.median(one[name] for one in rounds) for name in compared(alone, inside)},
        "rounds": rounds,
    }


def table(result: dict[str, Any]) -> str:
    """The result as text."""
    plan, median = result["plan"], result["median"]
    return "\n".join(
        (
            f"{result['clip']['name']}, {plan['streams']} streams ({plan['mode']}) in {plan['children']} processes, "
            f"{result['machine']['cpu']}",
            f"  alone        {1000 * median['alone_cpu_s_per_crop']:.3f} ms CPU a crop at batch "
            f"{median['alone_batch']:g}",
            f"  inside       {1000 * median['inside_cpu_s_per_crop']:.3f} ms CPU a crop, of which the engine's calls "
            f"{1000 * median['calls_cpu_s_per_crop']:.3f}",
            f"  alone/inside {median['ratio']:.2f}, goal {result['goal']:.2f}",
            f"  batch fill   {median['crops_a_call']:.1f} crops a call of {result['max_frames']} frames at most, "
            f"{median['frames_a_search']:.1f} frames a search",
        )
    )


def compared(alone: Mapping[str, float], inside: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """The figures of one round. `alone`: batch and cpu_s_per_crop; `inside`: by stage its calls, items and CPU."""
    embed, detect = inside["embed"], inside["detect"]
    if not embed["items"] or not detect["calls"]:
        raise StreamerError("no face was analysed in the whole run: choose a clip that shows one throughout")
    inside_s = embed["stage_s"] / embed["items"]
    return {
        "alone_batch": alone["batch"],
        "alone_cpu_s_per_crop": alone["cpu_s_per_crop"],
        "inside_cpu_s_per_crop": inside_s,
        "calls_cpu_s_per_crop": embed["cpu_s"] / embed["items"],
        "ratio": alone["cpu_s_per_crop"] / inside_s,
        "crops_a_call": embed["items"] / embed["calls"],
        "frames_a_search": detect["items"] / detect["calls"],
    }


def _alone(clip: Path, config: Config, plan: Plan) -> dict[str, float]:
    tried = [_alone_at(batch, clip, config, plan.part_s) for batch in plan.batches]
    return min(tried, key=lambda one: one["cpu_s_per_crop"])


def _alone_at(batch: int, clip: Path, config: Config, part_s: float) -> dict[str, float]:
    settings = msgspec.json.encode(config).decode()
    arguments = [str(clip), "--seconds", str(part_s), "--batch", str(batch), "--config", settings]
    answers = on_every_core("streamer.bench.engine_alone", arguments, "the engine alone")
    crops = sum(answer["crops"] for answer in answers)
    return {"batch": batch, "cpu_s_per_crop": sum(answer["cpu_s"] for answer in answers) / crops}


def _inside(folder: Path, clip: Path, config: Config, plan: Plan) -> dict[str, dict[str, float]]:
    """By stage what the children counted, summed, with the CPU seconds of the whole stage."""
    folder.mkdir()
    names = [folder / f"stream-{k}{clip.suffix}" for k in range(plan.n_streams)]
    for name in names:
        name.hardlink_to(clip)
    worker = msgspec.structs.replace(
        config.worker,
        children=plan.n_children,
        streams_per_child=max(config.worker.streams_per_child, -(-plan.n_streams // plan.n_children)),
    )
    with _told_where(folder):
        outcome = run_files(
            names,
            msgspec.structs.replace(config, worker=worker),
            folder / "bus.db",
            mode=plan.mode,
            children=CountedChildren(),
        )
    counted = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    return {name: summed(name, counted) | {"stage_s": outcome.stage_s[name]} for name in ("detect", "embed")}


def summed(name: str, counted: Sequence[Mapping[str, Mapping[str, float]]]) -> dict[str, float]:
    """What all children counted of one model."""
    return {key: sum(one[name][key] for one in counted) for key in Calls.__dataclass_fields__}


@contextmanager
def _told_where(folder: Path) -> Iterator[None]:
    """Children that are started inside learn where to put their counts."""
    before = os.environ.get(FOLDER)
    os.environ[FOLDER] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ[FOLDER]
        else:
            os.environ[FOLDER] = before
