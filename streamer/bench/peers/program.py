"""Us and what a user would run instead, in turn on the same file, round by round; ratios within a round, medians.

A peer that cannot be installed or fails is in the result with the reason. Loading is reported apart and counted for
nobody: we are given the time from the first child's models to the end, a peer its loop over the frames.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from engines.zoo import exported_head
from streamer.bench.clips import loop_clip
from streamer.bench.peers.catalogue import GOALS, PEERS
from streamer.bench.peers.contestants import Contestant, Tell, choose_threads, one_a_core, prepare, watch
from streamer.bench.peers.counts import counted
from streamer.bench.peers.judge import against_counts, agreement
from streamer.bench.peers.ours import faces_of
from streamer.bench.peers.protocol import FaceRow
from streamer.bench.peers.resnet50 import write_random_export
from streamer.bench.record import header
from streamer.bench.whole import run_copies
from streamer.config import Config, with_models
from streamer.errors import UsageError


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured: every peer of `names`, `repeats` rounds of a clip looped to `duration_s`.

    `resnet50` is the folder of an exported ResNet50, which we run at `resnet50_precision` and peers at fp32; None: one
    with random weights is made.
    """

    names: Collection[str] = tuple(peer.name for peer in PEERS)
    n_files: int = 8
    duration_s: float = 60.0
    repeats: int = 3
    resnet50: Path | None = None
    resnet50_precision: str = "auto"
    cache: Path | None = None


def run(clip: Path, judged: Sequence[Path], config: Config, plan: Plan, tell: Tell = lambda _: None) -> dict[str, Any]:
    """Speed on `clip`, and what is seen in it and in the clips `judged`. CenterFace and face-api must be in the cache.

    Raises `UsageError` for a peer that nobody knows.
    """
    unknown = sorted(set(plan.names) - {peer.name for peer in PEERS})
    if unknown:
        raise UsageError(f"there is no peer {unknown[0]}: name some of {', '.join(peer.name for peer in PEERS)}")
    with tempfile.TemporaryDirectory(prefix="affect-streamer-peers-") as place:
        folder = Path(place)
        resnet50 = plan.resnet50
        if resnet50 is None and "afternoon-resnet50" in plan.names:
            resnet50 = write_random_export(folder / "resnet50")
        contestants = [prepare(peer, resnet50, plan.cache, tell) for peer in PEERS if peer.name in plan.names]
        looped = folder / f"loop{clip.suffix if clip.suffix in ('.mp4', '.mov', '.mkv') else '.mkv'}"
        reached_s = loop_clip(clip, looped, plan.duration_s)
        for one in contestants:
            choose_threads(one, looped, folder, tell)
        ours = _ours(config, resnet50, plan.resnet50_precision, contestants)
        rounds = [_round(number, folder, looped, ours, contestants, plan, tell) for number in range(plan.repeats)]
        clips = [clip, *(other for other in judged if other.resolve() != clip.resolve())]
        seen = _judge(clips, config, contestants, folder, tell)
    return {
        **header("peers"),
        "clip": {"name": clip.name, "looped_s": round(reached_s, 1), "files": plan.n_files},
        "models": msgspec.to_builtins(config.models),
        "resnet50": {
            "weights": "random: speed only" if plan.resnet50 is None else plan.resnet50.name,
            "our_precision": plan.resnet50_precision,
        },
        "goals": GOALS,
        "ours": _middles(rounds),
        "peers": {one.peer.name: _told(one, rounds, seen) for one in contestants},
        "clips": {name: found["ours"] for name, found in seen.items()},
        "rounds": rounds,
    }


def ratios(ours: Sequence[dict[str, dict[str, float]]], name: str, fps: Sequence[float]) -> dict[str, float]:
    """How many times as fast we are with the settings `name`: medians of the ratios within each round."""
    return {
        key: statistics.median(one[name][key] / theirs for one, theirs in zip(ours, fps, strict=True))
        for key in ("many", "one")
    }


def _ours(
    config: Config, resnet50: Path | None, precision: str, contestants: Sequence[Contestant]
) -> dict[str, Config]:
    """Our settings by what is compared: as they come, with every picture searched whole, and ResNet50 for its peer."""
    every = msgspec.structs.replace(config, detect=msgspec.structs.replace(config.detect, interval_s=0.0))
    found = {"every_frame": every}
    if config.detect.interval_s > 0:
        found = {"refine": config} | found
    if resnet50 is not None and any(one.ready and one.peer.network == "resnet50" for one in contestants):
        head = exported_head(str(resnet50))
        models = with_models(
            config.models,
            expression=str(resnet50),
            head="none" if head is None else str(head),
            precision=precision,
        )
        found["resnet50"] = msgspec.structs.replace(config, models=models)
    return found


def _round(
    number: int,
    folder: Path,
    clip: Path,
    ours: dict[str, Config],
    contestants: Sequence[Contestant],
    plan: Plan,
    tell: Tell,
) -> dict[str, dict[str, float]]:
    """Frames a second of ours by settings, and of every peer, into its `speeds`."""
    found: dict[str, dict[str, float]] = {}
    for name, config in ours.items():
        tell(f"round {number + 1} of {plan.repeats}: ours ({name}), {plan.n_files} files at once, then one")
        place = folder / f"{name}-{number}"
        place.mkdir()
        many = run_copies(place, clip, config, plan.n_files, number)
        one = run_copies(place, clip, config, 1, number) if plan.n_files > 1 else many
        found[name] = {"many": many["fps"], "one": one["fps"], "frames": one["frames"]}
        found[name] |= {f"{k}_cpu_s_per_frame": v["cpu_s_per_frame"] for k, v in (("many", many), ("one", one))}
    for peer in contestants:
        if not peer.ready:
            continue
        tell(f"round {number + 1} of {plan.repeats}: {peer.peer.name}")
        answer = watch(peer, clip, folder)
        if answer is not None:
            peer.speeds.append(answer)
            if peer.peer.network != "own":
                one_a_core(peer, clip, folder)
    return found


def _judge(
    clips: Sequence[Path], config: Config, contestants: Sequence[Contestant], folder: Path, tell: Tell
) -> dict[str, dict[str, dict[str, Any]]]:
    """By clip and contestant: recall, false boxes, and labels against ours."""
    tell(f"what is seen in {len(clips)} clips")
    ours = faces_of(clips, config, folder / "judged.db")
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for clip, (frames, rows) in zip(clips, ours, strict=True):
        there = counted(clip)
        of_clip = {"ours": {"frames": frames, **_counts(rows, there)}}
        for one in contestants:
            if one.peer.network == "resnet50" or not one.ready:  # it finds what `afternoon` finds; see there
                continue
            answer = watch(one, clip, folder)
            if answer is not None:
                of_clip[one.peer.name] = {
                    "frames": answer.frames,
                    **_counts(answer.faces, there),
                    **agreement(rows, answer.faces),
                }
        found[clip.name] = of_clip
    return found


def _counts(rows: Sequence[FaceRow], there: Sequence[int] | None) -> dict[str, Any]:
    if there is None:
        return {"boxes": len(rows), "faces": None, "found": None, "recall": None, "false_boxes": None}
    return {"boxes": len(rows), **against_counts(rows, there)}


def _middles(rounds: Sequence[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    return {
        name: {key: statistics.median(one[name][key] for one in rounds) for key in of_first}
        for name, of_first in rounds[0].items()
    }


def _told(one: Contestant, rounds: Sequence[dict[str, dict[str, float]]], seen: dict[str, Any]) -> dict[str, Any]:
    """One peer's part of the result."""
    peer = one.peer
    told: dict[str, Any] = {
        "about": peer.about,
        "licence": peer.licence,
        "network": peer.network,
        "requirements": list(peer.requirements),
        "versions": {} if one.home is None else one.home.versions,
        "missing": one.reason,
    }
    if len(one.speeds) < len(rounds) or not one.ready:
        return told
    against = [name for name in rounds[0] if (name == "resnet50") == (peer.network == "resnet50")]
    fps = [answer.fps for answer in one.speeds]
    frames = {answer.frames for answer in one.speeds}
    return told | {
        "fps": statistics.median(fps),
        "fps_rounds": fps,
        "frames": one.speeds[0].frames,
        "same_frames": frames == {int(rounds[0][against[0]]["frames"])},
        "cpu_s_per_frame": statistics.median(answer.cpu_s / answer.frames for answer in one.speeds),
        "ready_s": statistics.median(answer.ready_s for answer in one.speeds),
        "threads_tried": one.probes,
        "one_process_a_core_fps": statistics.median(one.one_a_core_fps) if one.one_a_core_fps else None,
        "ratio": {name: ratios(rounds, name, fps) for name in against},
        "clips": {name: found[peer.name] for name, found in seen.items() if peer.name in found},
    }
