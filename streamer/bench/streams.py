"""How many live streams this machine holds at their full rate, as a share of what its CPU time would allow.

bound = cores / sum of CPU seconds per frame over decode, detect (whole at the set interval, squares of known faces in
between) and embed, each measured alone
with all cores loaded, detect and embed at their best batch / frames a second of a stream. The cores that the load
generator and the broker took in the run itself are left out of `cores`.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from streamer import machine
from streamer.bench.broker import Broker
from streamer.bench.load import HEIGHT_PX, Plan, camera_file, check, free_cores, hold
from streamer.bench.part import PARTS
from streamer.bench.record import header
from streamer.bench.throughput import best_batch, part_shares
from streamer.config import Config

BOUND_PARTS = ("decode", "detect", "refine", "embed")
GOAL = 0.8
LOST_ALLOWED = 0.001
EDGES_ALLOWED = 0.01
"""A camera's frames do not begin and end with the measurement: a frame more or less a stream is no loss."""
MOST_STREAMS = 1000
Held = dict[str, Any]


def run(
    clip: Path,
    config: Config,
    plan: Plan,
    *,
    part_s: float = 3.0,
    repeats: int = 1,
    first: int | None = None,
    most: int = MOST_STREAMS,
    broker: Broker | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Measure the bound, then search from 80 % of it (or from `first`) for the largest number of streams that is held.

    No more than `most` are tried.

    `plan` is for one trial; its number of streams does not matter.
    The whole is done `repeats` times; medians.
    """
    check(plan)
    rounds = []
    with tempfile.TemporaryDirectory(prefix="affect-streamer-streams-") as place:
        folder = Path(place)
        shown = camera_file(clip, folder, plan)
        shares = part_shares(shown, config)
        for number in range(repeats):
            tell(f"round {number + 1} of {repeats}: parts alone")
            parts = {name: best_batch(name, shown, config, part_s) for name in PARTS if shares[name] > 0}
            bound = bound_streams(parts, machine.n_cores(), plan.fps, shares)
            tell(f"round {number + 1} of {repeats}: bound {bound:.1f} streams")

            def trial(n_streams: int, number: int = number) -> Held:
                run_folder = folder / f"streams-{number}-{n_streams}"
                run_folder.mkdir()
                one = hold(shown, config, _with(plan, n_streams), run_folder, broker=broker)
                one["held"] = is_held(one, exact=not plan.rtsp)
                tell(
                    f"  {n_streams} streams: {'held' if one['held'] else 'not held'}, "
                    f"{100 * one['missing_share']:.2f} % missing"
                )
                return one

            trials: dict[int, Held] = {}
            held = search(trial, first or max(1, int(GOAL * bound)), trials, most)
            rounds.append(_round(parts, trials, held, plan.fps, shares))
    return {
        **header("streams"),
        "clip": {"name": clip.name, "height_px": HEIGHT_PX, "fps": plan.fps},
        "models": msgspec.to_builtins(config.models),
        "source": plan.source,
        "bus": "sqlite" if broker is None else "kafka",
        "broker": "none: the embedded bus is written by the worker, among whose CPU seconds that is"
        if broker is None
        else "on this machine: the CPU seconds it took are left out of the cores that the bound is of",
        "measured_s": plan.measure_s,
        "search": {"interval_s": config.detect.interval_s, "region_px": config.detect.region_px, "shares": shares},
        "lost_allowed": LOST_ALLOWED,
        "goal": GOAL,
        "median": {
            key: statistics.median(one[key] for one in rounds)
            for key in ("held", "bound_streams", "bound_of_all_parts", "share_of_bound")
        },
        "good": statistics.median(one["share_of_bound"] for one in rounds) >= GOAL,
        "rounds": rounds,
    }


def bound_streams(
    parts: Mapping[str, Mapping[str, float]],
    cores: float,
    fps: float,
    shares: Mapping[str, float],
    names: tuple[str, ...] = BOUND_PARTS,
) -> float:
    """How many streams `cores` could serve if nothing but these parts took any time; not a whole number.

    `shares` is the share of the frames that each part has to do with.
    """
    cost_s = sum(shares[name] * parts[name]["cpu_s_per_frame"] for name in names if name in parts)
    return cores / cost_s / fps


def is_held(one: Mapping[str, Any], *, exact: bool) -> bool:
    """Whether less than `LOST_ALLOWED` of the frames was lost. `exact`: how many were due is known to the frame."""
    missing_allowed = LOST_ALLOWED if exact else EDGES_ALLOWED
    return bool(one["lost_share"] < LOST_ALLOWED and one["missing_share"] < missing_allowed)


def search(trial: Callable[[int], Held], first: int, trials: dict[int, Held], most: int = MOST_STREAMS) -> int:
    """The largest number of streams that was held while one more was not (0 where not even one is).

    Upward from `first` in growing steps, or downward by halves, then by halving what is left between. `trials` takes
    up every trial; no number is tried twice.
    """

    def held(n_streams: int) -> bool:
        if n_streams not in trials:
            trials[n_streams] = trial(n_streams)
        return bool(trials[n_streams]["held"])

    low, high = 0, most + 1
    at, step = min(first, most), 1
    while held(at):
        low = at
        if at == most:
            return most
        at, step = min(at + step, most), 2 * step
    high = at
    while low == 0 and high > 1:
        at = high // 2
        if held(at):
            low = at
        else:
            high = at
    while high - low > 1:
        at = (low + high) // 2
        if held(at):
            low = at
        else:
            high = at
    return low


def _round(
    parts: Mapping[str, Mapping[str, float]],
    trials: Mapping[int, Held],
    most: int,
    fps: int,
    shares: Mapping[str, float],
) -> dict[str, Any]:
    cores = free_cores(trials[most]) if most else float(machine.n_cores())
    bound = bound_streams(parts, cores, fps, shares)
    return {
        "held": most,
        "cores_free": cores,
        "bound_streams": bound,
        "bound_of_all_parts": bound_streams(parts, cores, fps, shares, PARTS),
        "share_of_bound": most / bound,
        "parts": dict(parts),
        "trials": [trials[n_streams] for n_streams in sorted(trials)],
    }


def _with(plan: Plan, n_streams: int) -> Plan:
    return Plan(n_streams, plan.fps, plan.measure_s, plan.warm_s, plan.rtsp)
