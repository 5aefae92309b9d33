"""What it costs to remember: STAT an observation, a recurrent head whatever its window and age, and snapshots.

CPU seconds of the measuring thread. Contestants take turns in short chunks, so that a machine that slows down does so
for all of them; medians of the chunks are given.
"""

from __future__ import annotations

import dataclasses
import itertools
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from engines.runtime import open_head
from engines.spec import N_PROBS, StatKind, stat_size
from engines.zoo import load_head
from streamer.bench.record import header
from streamer.bench.restore import SHAPES, costs
from streamer.config import CheckpointSettings, StateSettings
from streamer.state.actor import StreamActor
from streamer.state.head_batch import HeadNeeds
from streamer.state.heads import EngineHead
from streamer.state.records import StreamContext
from streamer.state.stat import Ring
from streamer.types import Counters, Embedding, FaceObservation, FloatArray, FrameFaces, TrackedFace

STAT_GOAL_MS = 0.1
FLAT_GOAL = 1.2
"""The dearest of the recurrent head's four costs over the cheapest."""
WINDOWS = (16, 128)
RATE_FPS = 25
_HEAD = "temporal"
_SHAPES: tuple[tuple[str, StatKind, int, int], ...] = (
    ("D 2048, s 128", "min_max_mean", 2048, 128),
    ("D 2048, s 16", "min_max_mean", 2048, 16),
    ("D 256, s 16 (the default model)", "min_max_mean", 256, 16),
    ("probabilities alone, s 16", "probs", 0, 16),
)
_GOAL_SHAPE = _SHAPES[0][0]
_N_ROWS = 64


Work = Callable[[int], None]
"""Takes in so many observations."""


def run(
    *,
    repeats: int = 9,
    n_observations: int = 1000,
    n_before: int = 50_000,
    tell: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """`repeats` chunks of `n_observations` of each; the old tracks have had `n_before` observations before."""
    tell("STAT")
    rings = {name: _ring(kind, n_features, window) for name, kind, n_features, window in _SHAPES}
    stat_ms = in_turn(rings, repeats, n_observations)
    spec, path = load_head(_HEAD)
    head = EngineHead(open_head(path, spec, precision="fp32"), spec)
    tracks = {f"s {window}, {age}": _track(head, window) for age in ("young", "old") for window in WINDOWS}
    tell(f"the recurrent head, old tracks first through {n_before} observations")
    for name, work in tracks.items():
        work(n_before if name.endswith("old") else max(WINDOWS))
    head_ms = in_turn(tracks, repeats, n_observations)
    tell("snapshots")
    shapes = {f"{_HEAD}, s {spec.window}": HeadNeeds.of(spec), **SHAPES}
    return {
        **header("state"),
        "repeats": repeats,
        "observations": n_observations,
        "observations_before": n_before,
        "stat_ms": stat_ms,
        "head": spec.model_id,
        "head_ms": head_ms,
        "snapshots": costs(shapes, CheckpointSettings().live_interval_s),
        **verdict(stat_ms[_GOAL_SHAPE]["median"], [one["median"] for one in head_ms.values()]),
    }


def verdict(stat_ms: float, head_ms: Sequence[float]) -> dict[str, Any]:
    """The two figures that have a goal, and whether each is reached."""
    spread = max(head_ms) / min(head_ms)
    return {
        "stat": {"ms": stat_ms, "goal_ms": STAT_GOAL_MS, "reached": stat_ms <= STAT_GOAL_MS},
        "flat": {"dearest_over_cheapest": spread, "goal": FLAT_GOAL, "reached": spread <= FLAT_GOAL},
    }


def table(result: dict[str, Any]) -> str:
    """The result as text."""
    lines = [f"{result['machine']['cpu']}, ms of CPU an observation (median, least, most of {result['repeats']})"]
    for title, costs_ms in (("STAT", result["stat_ms"]), (f"head {result['head']}", result["head_ms"])):
        lines.append(f"  {title}")
        lines += [f"    {name:32} {_spread(one)}" for name, one in costs_ms.items()]
    for name, unit in (("stat", "ms"), ("flat", "dearest_over_cheapest")):
        one = result[name]
        goal = next(value for key, value in one.items() if key.startswith("goal"))
        lines.append(f"  {name}: {one[unit]:.3f}, goal at most {goal:g}: {'yes' if one['reached'] else 'no'}")
    lines.append("  snapshots")
    lines += [
        f"    {one['shape']:32} {one['live_bytes'] / 1024:7.1f} KiB a track live, "
        f"{one['archive_bytes'] / 1024:7.1f} archive"
        for one in result["snapshots"]
    ]
    return "\n".join(lines)


def in_turn(
    contestants: Mapping[str, Work], repeats: int, n: int, clock: Callable[[], float] = time.thread_time
) -> dict[str, dict[str, float]]:
    """Milliseconds an observation of each: chunks of `n`, every contestant once in each of `repeats` rounds."""
    found: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(repeats):
        for name, work in contestants.items():
            began_s = clock()
            work(n)
            found[name].append(1000 * (clock() - began_s) / n)
    return {
        name: {"median": statistics.median(each), "least": min(each), "most": max(each)} for name, each in found.items()
    }


def _ring(kind: StatKind, n_features: int, window: int) -> Work:
    """One track's ring, full, that takes in rows made beforehand."""
    ring = Ring(window, kind, n_features)
    rng = np.random.default_rng(0)
    features = np.maximum(rng.standard_normal((_N_ROWS, n_features), np.float32), 0)
    probs = _probs(rng)
    out = np.empty(stat_size(kind, n_features), np.float32)

    def work(n: int) -> None:
        for k in range(n):
            ring.stage(features[k % _N_ROWS], probs[k % _N_ROWS], out)
            ring.commit()

    work(2 * window)
    return work


def _track(head: EngineHead, window: int) -> Work:
    """A stream with one face in view for good: all of the actor's work and the head's, from embedding to records."""
    needs = dataclasses.replace(head.needs, window=window)
    context = StreamContext("bench", "run", "session", "model", "fp32")
    actor = StreamActor(context, StateSettings(), needs, Counters())
    box = np.array([100, 100, 200, 220], np.float32)
    face = TrackedFace(1, box, np.repeat(box[None, :2], 5, axis=0), 0.9, 100.0)
    nothing = np.empty(0, np.float32)
    seen = [FaceObservation(face, Embedding(nothing, row)) for row in _probs(np.random.default_rng(0))]
    frames = itertools.count()

    def work(n: int) -> None:
        for k in itertools.islice(frames, n):
            one = (seen[k % _N_ROWS],)
            frame = FrameFaces(0, k, k, k / RATE_FPS, None, "none", (1280, 720), one)
            pending = actor.observe(frame)
            [output] = head.infer_all([pending.inputs])
            actor.resolve(pending, output)

    return work


def _probs(rng: np.random.Generator) -> FloatArray:
    odds = np.exp(rng.standard_normal((_N_ROWS, N_PROBS), np.float32))
    probs: FloatArray = odds / odds.sum(axis=1, keepdims=True)
    return probs


def _spread(one: dict[str, float]) -> str:
    return f"{one['median']:.4f}   {one['least']:.4f} to {one['most']:.4f}"
